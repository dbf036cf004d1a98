-- works-with: 2
-- Which ten minutes of answers the monitor has to count (again). Triggers write here, whoever changes the tables; a row
-- goes when its count has been stored and nothing changed meanwhile.
CREATE TABLE tallies_due (
    kind     text        NOT NULL CHECK (kind IN ('answers', 'votes')),
    bucket   timestamptz NOT NULL,                   -- beginning of ten minutes of predictions.created_at
    changes  bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (kind, bucket)
);

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
CREATE INDEX feedback_source ON feedback (source, predicted_at);
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

-- Everything of the last four weeks is to be counted.
INSERT INTO tallies_due (kind, bucket)
SELECT kind, bucket
  FROM generate_series(tally_bucket(now() - interval '28 days'), tally_bucket(now()), interval '10 minutes') AS bucket,
       (VALUES ('answers'), ('votes')) AS kinds (kind)
 WHERE EXISTS (SELECT FROM predictions p WHERE p.created_at >= bucket AND p.created_at < bucket + interval '10 minutes');
