-- works-with: 2
-- How long predictions are kept. One row: what an admin chose, and what housekeeping was last told and did.
CREATE TABLE retention (
    singleton    boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    chosen_days  integer     CHECK (chosen_days BETWEEN 1 AND 36500),  -- NULL: nobody chose, only the limit counts
    chosen_by    text,
    chosen_at    timestamptz,
    limit_days   integer,                                -- of the environment of whoever tidied last: never kept longer
    tidied_at    timestamptz,
    postponed    boolean     NOT NULL DEFAULT false      -- somebody read what was due to go
);
INSERT INTO retention DEFAULT VALUES;

ALTER TABLE api_tokens ADD COLUMN last_used_at timestamptz;  -- to the quarter of an hour

-- What the page Audit filters by.
CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_at ON audit_log (at);

CREATE INDEX sessions_user ON sessions (user_name, created_at);
CREATE INDEX model_versions_phase ON model_versions (model_name, phase);
CREATE INDEX training_jobs_recent ON training_jobs (created_at DESC, name DESC);
