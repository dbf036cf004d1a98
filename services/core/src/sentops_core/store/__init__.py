"""The database: its schema, migrations, pool, and one module per group of tables."""
