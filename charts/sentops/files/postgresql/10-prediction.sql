-- The programs own their database and nothing else of the server; the superuser's password stays with this pod.
\getenv password SENTOPS_DATABASE_PASSWORD
CREATE ROLE sentops LOGIN PASSWORD :'password';
CREATE DATABASE prediction OWNER sentops;
