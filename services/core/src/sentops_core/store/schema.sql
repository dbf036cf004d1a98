-- The whole database as it is after the last migration; `tests/core` proves it equal to migrations/ applied in order.
-- On one machine training_jobs, model_versions and routing are the truth; in a cluster they mirror the custom resources.

CREATE TABLE schema_migrations (
    version     integer PRIMARY KEY,
    name        text        NOT NULL,
    checksum    text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    works_with  integer                              -- oldest schema whose programs work on this one; NULL: only its own
);

-- One row per answered text. The id is a UUIDv7, so its own timestamp names the partition: created_at is derived from it.
CREATE TABLE predictions (
    id             uuid        NOT NULL,
    created_at     timestamptz NOT NULL,
    client         text        NOT NULL,             -- opaque key of the asking client; the erasure key
    text           text,                             -- NULL after retention or erasure
    text_hash      bytea       NOT NULL,             -- SHA-256 of the normalised text
    label          text        NOT NULL,
    score          real        NOT NULL,
    scores         jsonb       NOT NULL,
    language       text,
    truncated      boolean     NOT NULL,
    variant        text        NOT NULL,
    model_version  text        NOT NULL,
    digest         text        NOT NULL,
    shadow         boolean     NOT NULL DEFAULT false,
    path           text        CHECK (path IN ('full', 'fast')), -- NULL before there was a choice
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
CREATE INDEX predictions_client_recent ON predictions (client, created_at DESC);
CREATE INDEX predictions_version_recent ON predictions (model_version, created_at DESC);
-- What feeds the labelling queue: unsure answers, and what candidates in the shadow said.
CREATE INDEX predictions_uncertain ON predictions (score) WHERE score < 0.8 AND NOT shadow AND text IS NOT NULL;
CREATE INDEX predictions_shadow ON predictions (created_at DESC) WHERE shadow;

-- Partitions are made on demand and dropped by age.
CREATE FUNCTION ensure_predictions_month(moment timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    month timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    name  text      := to_char(month, '"predictions_"FMYYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    LOCK TABLE predictions IN SHARE UPDATE EXCLUSIVE MODE;  -- two writers, one new month
    IF to_regclass(name) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    -- Attaching, unlike CREATE TABLE ... PARTITION OF, lets others read and write meanwhile.
    EXECUTE format('CREATE TABLE %I (LIKE predictions INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE predictions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                   month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
    RETURN name;
END
$$;

CREATE FUNCTION drop_predictions_before(moment timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'predictions'::regclass
         ORDER BY c.relname
    LOOP
        -- Not in the query: there the planner may ask it of other tables, whose names hold no month.
        IF (to_date(substr(name, 13), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= moment THEN
            EXECUTE format('DROP TABLE %I', name);
            RETURN NEXT name;
        END IF;
    END LOOP;
END
$$;

-- The last vote of one client on one prediction; a new vote replaces the old one.
CREATE TABLE feedback (
    prediction_id  uuid        NOT NULL,
    client         text        NOT NULL,
    label          text        NOT NULL,
    note           text,
    vote_id        uuid        NOT NULL,             -- UUIDv7 of the vote: the newest one wins whatever order they arrive in
    voted_at       timestamptz NOT NULL,
    predicted_at   timestamptz NOT NULL,             -- of the prediction, so that joins touch one partition
    source         text        NOT NULL DEFAULT 'web',
    status         text        NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'accepted', 'refused')),
    corrected_label text,                            -- by staff; such a vote is refused, and this counts in its place
    reviewed_by    text,
    reviewed_at    timestamptz,
    PRIMARY KEY (prediction_id, client)
);
CREATE INDEX feedback_recent ON feedback (voted_at DESC);
CREATE INDEX feedback_client_recent ON feedback (client, voted_at DESC);
CREATE INDEX feedback_source_recent ON feedback (source, voted_at DESC);
CREATE INDEX feedback_corrected ON feedback (voted_at DESC) WHERE corrected_label IS NOT NULL;
CREATE INDEX feedback_refused ON feedback (voted_at DESC) WHERE status = 'refused' AND corrected_label IS NULL;
CREATE INDEX feedback_status_recent ON feedback (status, voted_at DESC);
CREATE INDEX feedback_vote ON feedback (vote_id);

-- Votes taken back. The vote itself leaves feedback; this remembers that an older one must not come back, since votes
-- wait in spools and arrive in any order and any number of times.
CREATE TABLE withdrawn_votes (
    prediction_id  uuid        NOT NULL,
    client         text        NOT NULL,
    withdrawal_id  uuid        NOT NULL,             -- UUIDv7: it undoes the votes with a smaller vote_id
    withdrawn_at   timestamptz NOT NULL,
    predicted_at   timestamptz NOT NULL,             -- of the prediction; both go at the same age
    PRIMARY KEY (prediction_id, client)
);
CREATE INDEX withdrawn_votes_client ON withdrawn_votes (client);

-- Whose votes count nowhere until a person lets them again.
CREATE TABLE quarantined_sources (
    kind            text        NOT NULL CHECK (kind IN ('client', 'source')),
    name            text        NOT NULL,
    note            text        NOT NULL DEFAULT '',
    evidence_text   text        NOT NULL DEFAULT '',   -- the figures that were on the page when it was decided
    quarantined_by  text        NOT NULL,
    quarantined_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);

-- Which ten minutes of answers the monitor has to count (again). Triggers write here, whoever changes the tables; a row
-- goes when its count has been stored and nothing changed meanwhile.
CREATE TABLE tallies_due (
    kind     text        NOT NULL CHECK (kind IN ('answers', 'votes')),
    bucket   timestamptz NOT NULL,                   -- beginning of ten minutes of predictions.created_at
    changes  bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (kind, bucket)
);
-- Each batch of answers changes the row of its ten minutes: dead versions must not pile up between two vacuums.
ALTER TABLE tallies_due SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE FUNCTION tally_bucket(moment timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('10 minutes', moment, TIMESTAMPTZ '2000-01-01 00:00:00+00');

-- In one order always, so that two writers never wait for each other.
CREATE FUNCTION tally_answers_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies_due AS due (kind, bucket)
    SELECT DISTINCT 'answers', tally_bucket(created_at) FROM changed ORDER BY 2
        ON CONFLICT (kind, bucket) DO UPDATE SET changes = due.changes + 1;
    RETURN NULL;
END
$$;
CREATE FUNCTION tally_votes_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies_due AS due (kind, bucket)
    SELECT DISTINCT 'votes', tally_bucket(predicted_at) FROM changed ORDER BY 2
        ON CONFLICT (kind, bucket) DO UPDATE SET changes = due.changes + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER predictions_tally AFTER INSERT ON predictions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tally_answers_due();
CREATE TRIGGER feedback_tally_new AFTER INSERT ON feedback
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tally_votes_due();
CREATE TRIGGER feedback_tally_changed AFTER UPDATE ON feedback
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tally_votes_due();
CREATE TRIGGER feedback_tally_gone AFTER DELETE ON feedback
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tally_votes_due();

-- Votes of a source in quarantine count nowhere, so all their ten minutes are counted again.
CREATE INDEX feedback_predicted ON feedback (predicted_at);
CREATE FUNCTION tally_quarantine_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies_due AS due (kind, bucket)
    SELECT DISTINCT 'votes', tally_bucket(f.predicted_at)
      FROM changed q
      JOIN feedback f ON q.kind = 'client' AND f.client = q.name OR q.kind = 'source' AND f.source = q.name
     ORDER BY 2
        ON CONFLICT (kind, bucket) DO UPDATE SET changes = due.changes + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER quarantined_sources_tally_new AFTER INSERT ON quarantined_sources
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tally_quarantine_due();
CREATE TRIGGER quarantined_sources_tally_gone AFTER DELETE ON quarantined_sources
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tally_quarantine_due();

-- The votes that count, each as what it counts: not those of sources in quarantine, nor refused ones, unless staff said
-- what would be right.
CREATE VIEW counted_votes AS
SELECT f.prediction_id, f.client, CASE WHEN f.status = 'refused' THEN f.corrected_label ELSE f.label END AS label,
       f.note, f.vote_id, f.voted_at, f.predicted_at, f.source, f.status,
       CASE WHEN f.status <> 'new' THEN f.reviewed_by END AS reviewed_by
  FROM feedback f
 WHERE (f.status <> 'refused' OR f.corrected_label IS NOT NULL)
   AND NOT EXISTS (SELECT FROM quarantined_sources q WHERE q.kind = 'client' AND q.name = f.client)
   AND NOT EXISTS (SELECT FROM quarantined_sources q WHERE q.kind = 'source' AND q.name = f.source);

-- What was answered in ten minutes, in counts that add up to any window. Shadows are left out.
CREATE TABLE answer_tallies (
    bucket         timestamptz NOT NULL,
    model_version  text        NOT NULL,
    language       text        NOT NULL,             -- 'unknown' where none was recognised
    answers        bigint      NOT NULL,
    labels         jsonb       NOT NULL,             -- by label: answers
    confidences    jsonb       NOT NULL,             -- by label: answers per twentieth of the score
    scores         jsonb       NOT NULL,             -- by label: sum of those scores in millionths, per twentieth
    lengths        bigint[]    NOT NULL,             -- answers by length; edges in sentops_core.domain.tallies
    sampled        bigint      NOT NULL,             -- answers whose words were counted
    words          bigint      NOT NULL,             -- in those
    unseen_words   bigint,                           -- of them not among the version's own; NULL: it brought none
    word_slots     bigint[]    NOT NULL,             -- words by hash, 256 slots
    PRIMARY KEY (bucket, model_version, language)
);

-- What people said of the answers of those ten minutes, by counted_votes.
CREATE TABLE vote_tallies (
    bucket         timestamptz NOT NULL,             -- of the answer, not of the vote
    model_version  text        NOT NULL,
    language       text        NOT NULL,
    votes          bigint      NOT NULL,
    confusion      jsonb       NOT NULL,             -- what people meant -> what was answered -> votes
    voted          jsonb       NOT NULL,             -- by answered label: votes per twentieth of the answer's score
    agreed         jsonb       NOT NULL,             -- of these, those that say what was answered
    scores         jsonb       NOT NULL,             -- sum of those scores in millionths, once per vote
    PRIMARY KEY (bucket, model_version, language)
);

-- The counts of ten minutes added up by day (in UTC), in the transaction that changes them.
CREATE TABLE day_tallies (
    day            date        NOT NULL,
    model_version  text        NOT NULL,
    answers        bigint      NOT NULL,
    votes          bigint      NOT NULL,
    agreed         bigint      NOT NULL,             -- votes that say what was answered
    PRIMARY KEY (day, model_version)
);

-- Which monitor counted last: another one has to read the counts again before it goes on.
CREATE TABLE tally_keeper (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    keeper     uuid        NOT NULL,
    since      timestamptz NOT NULL DEFAULT now()
);

-- Quality as it was last seen in each hour, per version, window and language; 'all' is every language together.
-- What is not known is NULL.
CREATE TABLE quality_figures (
    model_version            text        NOT NULL,
    time_window              text        NOT NULL CHECK (time_window IN ('1h', '24h', '7d', '28d')),
    language                 text        NOT NULL,
    hour                     timestamptz NOT NULL,
    taken_at                 timestamptz NOT NULL,
    answers                  bigint      NOT NULL,
    votes                    bigint      NOT NULL,
    accuracy                 double precision,
    accuracy_low             double precision,
    accuracy_high            double precision,
    macro_f1                 double precision,
    macro_f1_low             double precision,
    macro_f1_high            double precision,
    calibration_error        double precision,
    calibration_error_low    double precision,
    calibration_error_high   double precision,
    classes                  jsonb       NOT NULL DEFAULT '{}', -- by label: precision, recall, their ends, and counts
    estimated_accuracy       double precision,       -- without labels, from calibrated confidence
    estimated_accuracy_low   double precision,
    estimated_accuracy_high  double precision,
    estimate_refused         text,                   -- why there is no estimate
    feedback_rate            double precision,
    largest_source_share     double precision,       -- of the votes, by the client that gave most
    PRIMARY KEY (model_version, time_window, language, hour)
);
CREATE INDEX quality_figures_hour ON quality_figures (hour);

CREATE TABLE drift_figures (
    model_version      text             NOT NULL,
    time_window        text             NOT NULL CHECK (time_window IN ('1h', '24h', '7d', '28d')),
    feature            text             NOT NULL CHECK (feature IN ('length', 'language', 'words', 'unseen_words', 'labels', 'confidence')),
    hour               timestamptz      NOT NULL,
    taken_at           timestamptz      NOT NULL,
    samples            bigint           NOT NULL,
    reference_samples  bigint           NOT NULL,
    distance           double precision NOT NULL,    -- Jensen-Shannon distance, 0 to 1
    p_value            double precision NOT NULL,
    adjusted_p_value   double precision NOT NULL,    -- for all features looked at together
    drifted            boolean          NOT NULL,
    PRIMARY KEY (model_version, time_window, feature, hour)
);
CREATE INDEX drift_figures_hour ON drift_figures (hour);

-- What each version was trained on, in the same counts. From its artefact; the words stay hashes.
CREATE TABLE version_references (
    model_version  text        PRIMARY KEY,
    digest         text        NOT NULL,
    profile_text   jsonb,                            -- sentops_core.domain.reference; NULL: the artefact has none
    read_at        timestamptz NOT NULL DEFAULT now()
);

-- Labelled texts, one row per distinct normalised text; a relabelling keeps its history in audit_log.
CREATE TABLE examples (
    content_hash   bytea       PRIMARY KEY,          -- SHA-256 of the normalised text
    text           text        NOT NULL,
    label          text        NOT NULL,
    language       text,
    group_key      text,                             -- rows of one group (a review, a thread) go to one side of the split
    source         text        NOT NULL,             -- 'upload:<dataset>', 'feedback', 'sample:amazon-reviews', ...
    annotator      text,
    prediction_id  uuid,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX examples_source ON examples (source);
CREATE INDEX examples_prediction ON examples (prediction_id) WHERE prediction_id IS NOT NULL;

-- The labelling queue: texts that wait for people, who has which just now, and what they said.
CREATE TABLE labelling_items (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content_hash     bytea       UNIQUE,               -- one text is one item; NULL once the text is gone
    text             text,                             -- NULL after erasure, or after retention where nobody decided
    language         text,
    prediction_id    uuid,                             -- the answer that brought it here; NULL: written by an admin
    predicted_at     timestamptz,
    predicted_label  text,
    predicted_score  real,
    model_version    text,
    candidate_label  text,                             -- where a candidate in the shadow answered otherwise
    candidate_version text,
    reason           text        NOT NULL CHECK (reason IN ('disagreement', 'contested', 'uncertain', 'random', 'given')),
    drawn            boolean     NOT NULL DEFAULT false, -- of the random share, whatever else it is
    value            real        NOT NULL,             -- sentops_core.domain.labelling.worth
    state            text        NOT NULL DEFAULT 'open'
                     CHECK (state IN ('open', 'contested', 'done', 'dropped', 'expired')),
    opinions         integer     NOT NULL DEFAULT 0,   -- labels given, skips not counted
    label            text,                             -- what was agreed or decided
    decided_by       text,                             -- NULL where the annotators agreed by themselves
    decided_at       timestamptz,
    gold_label       text,                             -- known for certain: annotators are measured by it
    gold_at          timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX labelling_items_next ON labelling_items ((opinions > 0) DESC, value DESC, id) WHERE state = 'open';
CREATE INDEX labelling_items_drawn ON labelling_items ((opinions > 0) DESC, id) WHERE state = 'open' AND drawn;
CREATE INDEX labelling_items_gold ON labelling_items (id) WHERE gold_label IS NOT NULL;
CREATE INDEX labelling_items_state ON labelling_items (state, id DESC);
CREATE INDEX labelling_items_predicted ON labelling_items (predicted_at);

-- The last word of one annotator on one item; undoing takes it away, the audit log keeps that it was said.
CREATE TABLE labelling_votes (
    item        bigint      NOT NULL REFERENCES labelling_items (id) ON DELETE CASCADE,
    annotator   text        NOT NULL,
    label       text,                                 -- NULL: skipped
    note        text,
    voted_at    timestamptz NOT NULL,
    PRIMARY KEY (item, annotator)
);
CREATE INDEX labelling_votes_annotator ON labelling_votes (annotator, voted_at DESC);

-- Who was given which item; after the time limit it may be given to another, and a late answer is still taken.
CREATE TABLE labelling_claims (
    item        bigint      NOT NULL REFERENCES labelling_items (id) ON DELETE CASCADE,
    annotator   text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (item, annotator)
);
CREATE INDEX labelling_claims_annotator ON labelling_claims (annotator, expires_at);

-- One row: how the queue works, and when it last looked for new texts.
CREATE TABLE labelling_settings (
    singleton     boolean          PRIMARY KEY DEFAULT true CHECK (singleton),
    opinions      integer          NOT NULL DEFAULT 1 CHECK (opinions BETWEEN 1 AND 5),
    random_share  double precision NOT NULL DEFAULT 0.2 CHECK (random_share BETWEEN 0 AND 1),
    gold_share    double precision NOT NULL DEFAULT 0.1 CHECK (gold_share BETWEEN 0 AND 0.5),
    claim_minutes integer          NOT NULL DEFAULT 15 CHECK (claim_minutes BETWEEN 1 AND 1440),
    filled_at     timestamptz      NOT NULL DEFAULT 'epoch'
);
INSERT INTO labelling_settings DEFAULT VALUES;

-- Search in texts. The extension comes with PostgreSQL, and the owner of a database may add it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX examples_search ON examples USING gin (text gin_trgm_ops);
-- Edits wait for the next version, and are few.
CREATE INDEX examples_edited ON examples (content_hash) WHERE source = 'edited';

CREATE TABLE datasets (
    name         text        PRIMARY KEY,
    description  text        NOT NULL DEFAULT '',
    licence      text        NOT NULL DEFAULT '',
    origin       text        NOT NULL DEFAULT '',    -- where it comes from and how labels were made
    labels       text[]      NOT NULL,
    split_salt   text        NOT NULL,               -- decides once and for all which texts are held out
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Immutable: a version never changes once inserted; erasure only marks it.
CREATE TABLE dataset_versions (
    name           text        PRIMARY KEY,          -- 'v1', 'v2', ...: what {"dataset_id": "v1"} names
    number         integer     NOT NULL UNIQUE,
    dataset        text        NOT NULL REFERENCES datasets (name),
    parent         text        REFERENCES dataset_versions (name),
    content_hash   text        NOT NULL UNIQUE,      -- sha256:... over every (content_hash, label, split)
    holdout_hash   text        NOT NULL,
    storage_uri    text        NOT NULL,             -- folder with train.parquet, holdout.parquet, dataset.json
    rows_train     integer     NOT NULL,
    rows_holdout   integer     NOT NULL,
    label_counts   jsonb       NOT NULL,
    report         jsonb       NOT NULL,             -- what was kept and why each other row was not
    erased_rows    integer     NOT NULL DEFAULT 0,
    created_by     text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE dataset_members (
    dataset_version  text  NOT NULL REFERENCES dataset_versions (name),
    content_hash     bytea NOT NULL,
    label            text  NOT NULL,                 -- as it was when the version was built
    split            text  NOT NULL CHECK (split IN ('train', 'holdout')),
    source           text  NOT NULL,
    annotator        text,
    prediction_id    uuid,
    PRIMARY KEY (dataset_version, content_hash)
);
CREATE INDEX dataset_members_content ON dataset_members (content_hash);
CREATE INDEX dataset_members_prediction ON dataset_members (prediction_id) WHERE prediction_id IS NOT NULL;

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

CREATE TABLE training_jobs (
    name             text        PRIMARY KEY,
    spec             jsonb       NOT NULL,
    status           jsonb       NOT NULL,
    metadata         jsonb       NOT NULL,           -- labels, annotations, uid, generation
    phase            text        NOT NULL,           -- = status.phase, for queries
    model_name       text        NOT NULL,
    dataset_version  text        REFERENCES dataset_versions (name),
    cancel_requested boolean     NOT NULL DEFAULT false,
    created_by       text        NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX training_jobs_recent ON training_jobs (created_at DESC, name DESC);
CREATE INDEX training_jobs_open ON training_jobs (created_at) WHERE phase NOT IN ('Succeeded', 'Rejected', 'Failed');

CREATE TABLE training_events (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    training_job  text        NOT NULL REFERENCES training_jobs (name) ON DELETE CASCADE,
    at            timestamptz NOT NULL DEFAULT now(),
    reason        text        NOT NULL,
    message       text        NOT NULL,
    progress      jsonb
);
CREATE INDEX training_events_job ON training_events (training_job, id);

CREATE TABLE model_versions (
    name           text        PRIMARY KEY,
    model_name     text        NOT NULL,
    version        integer     NOT NULL,
    digest         text        NOT NULL,
    spec           jsonb       NOT NULL,
    status         jsonb       NOT NULL,
    metadata       jsonb       NOT NULL,
    phase          text        NOT NULL,
    training_job   text        REFERENCES training_jobs (name),
    created_by     text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model_name, version)
);
CREATE INDEX model_versions_phase ON model_versions (model_name, phase);

-- One row per model name: who serves now, and who would serve after a rollback.
CREATE TABLE routing (
    model_name        text        PRIMARY KEY,
    revision          bigint      NOT NULL,
    champion          text        REFERENCES model_versions (name),
    previous_champion text        REFERENCES model_versions (name),
    variants          jsonb       NOT NULL,
    updated_at        timestamptz NOT NULL DEFAULT now()
);

-- When to train again without being told. On one machine these rows are the truth; in a cluster they mirror the
-- RetrainPolicy resources.
CREATE TABLE retrain_policies (
    name        text        PRIMARY KEY,
    model_name  text        NOT NULL,
    spec        jsonb       NOT NULL,
    status      jsonb       NOT NULL,
    metadata    jsonb       NOT NULL,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- What the trainer's MLflow mirror has said already, so that each round looks only at what changed. Nothing is lost with it:
-- a row that is missing is said again, and MLflow's own objects are found by their tags.
CREATE TABLE mlflow_mirror (
    kind  text        NOT NULL CHECK (kind IN ('experiment', 'training_job', 'model_version', 'aliases')),
    name  text        NOT NULL,
    seen  timestamptz NOT NULL,                      -- updated_at of the row that it was read from
    said  text        NOT NULL,                      -- hash of what MLflow was told; of an experiment: the mark left in it
    PRIMARY KEY (kind, name)
);

CREATE TABLE users (
    name                  text        PRIMARY KEY,
    password_hash         text        NOT NULL,      -- argon2id
    role                  text        NOT NULL CHECK (role IN ('viewer', 'annotator', 'admin')),
    must_change_password  boolean     NOT NULL DEFAULT true,
    disabled              boolean     NOT NULL DEFAULT false,
    created_at            timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    token_hash  bytea       PRIMARY KEY,             -- SHA-256 of the cookie
    user_name   text        NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    csrf_token  text        NOT NULL,
    user_agent  text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_name, created_at);

CREATE TABLE api_tokens (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL,
    token_hash  bytea       NOT NULL UNIQUE,         -- SHA-256: tokens are 256 random bits, so no slow hash is needed
    scope       text        NOT NULL CHECK (scope IN ('viewer', 'annotator', 'admin')),
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz,
    last_used_at timestamptz                         -- to the quarter of an hour
);

-- How long predictions are kept. One row: what an admin chose, and what housekeeping was last told and did.
CREATE TABLE retention (
    singleton    boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    chosen_days  integer     CHECK (chosen_days BETWEEN 1 AND 36500),  -- NULL: nobody chose, only the limit counts
    chosen_by    text,
    chosen_at    timestamptz,
    limit_days   integer,                            -- of the environment of whoever tidied last: never kept longer
    tidied_at    timestamptz,
    postponed    boolean     NOT NULL DEFAULT false  -- somebody read what was due to go
);
INSERT INTO retention DEFAULT VALUES;

CREATE TABLE audit_log (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    actor     text        NOT NULL,
    action    text        NOT NULL,                  -- 'model_version.promoted', 'dataset.created', ...
    subject   text        NOT NULL,
    evidence  jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_subject ON audit_log (subject, id);
CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_at ON audit_log (at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
