-- works-with: 2
-- Uploads between their two steps: every replica finds them, a restart loses none. Bounded in size, number and time.
CREATE TABLE staged_uploads (
    id             uuid        PRIMARY KEY,
    owner          text        NOT NULL,             -- nobody else sees it
    filename_text  text        NOT NULL,             -- as it was sent: to show, never to open
    file_bytes     bigint      NOT NULL,
    choices_text   jsonb       NOT NULL,             -- columns and labels, as the owner mapped them
    preview_text   jsonb       NOT NULL,             -- what reading it that way gives
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL
);
CREATE INDEX staged_uploads_owner ON staged_uploads (owner, created_at);
CREATE INDEX staged_uploads_expiry ON staged_uploads (expires_at);

CREATE TABLE staged_pieces (
    upload   uuid    NOT NULL REFERENCES staged_uploads (id) ON DELETE CASCADE,
    number   integer NOT NULL,
    content  bytea   NOT NULL,
    PRIMARY KEY (upload, number)
);
ALTER TABLE staged_pieces ALTER COLUMN content SET STORAGE EXTERNAL;  -- workbooks are packed already

-- Search in texts. The extension comes with PostgreSQL, and the owner of a database may add it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX examples_search ON examples USING gin (text gin_trgm_ops);
-- Edits wait for the next version, and are few.
CREATE INDEX examples_edited ON examples (content_hash) WHERE source = 'edited';
