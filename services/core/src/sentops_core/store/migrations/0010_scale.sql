-- works-with: 2
-- An answer is looked up by its id and the moment in it, which the primary key serves within one month.
DROP INDEX predictions_id;

-- A client's votes and those of one way in are read newest first, a page at a time.
CREATE INDEX feedback_client_recent ON feedback (client, voted_at DESC);
DROP INDEX feedback_client;
CREATE INDEX feedback_source_recent ON feedback (source, voted_at DESC);
DROP INDEX feedback_source;
CREATE INDEX feedback_corrected ON feedback (voted_at DESC) WHERE corrected_label IS NOT NULL;
CREATE INDEX feedback_refused ON feedback (voted_at DESC) WHERE status = 'refused' AND corrected_label IS NULL;

-- The month was asked of any table of the database where the planner thought so, and failed on other names.
CREATE OR REPLACE FUNCTION drop_predictions_before(moment timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
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

-- Each batch of answers changes the row of its ten minutes: dead versions must not pile up between two vacuums.
ALTER TABLE tallies_due SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The counts of ten minutes added up by day (in UTC), in the transaction that changes them.
CREATE TABLE day_tallies (
    day            date        NOT NULL,
    model_version  text        NOT NULL,
    answers        bigint      NOT NULL,
    votes          bigint      NOT NULL,
    agreed         bigint      NOT NULL,             -- votes that say what was answered
    PRIMARY KEY (day, model_version)
);
INSERT INTO day_tallies (day, model_version, answers, votes, agreed)
SELECT day, model_version, sum(answers), sum(votes), sum(agreed)
  FROM (SELECT (bucket AT TIME ZONE 'UTC')::date AS day, model_version, answers, 0 AS votes, 0 AS agreed
          FROM answer_tallies
         UNION ALL
        SELECT (bucket AT TIME ZONE 'UTC')::date, model_version, 0, votes,
               (SELECT coalesce(sum(count::bigint), 0)
                  FROM jsonb_each(agreed) AS by_label, jsonb_array_elements_text(by_label.value) AS count)
          FROM vote_tallies) AS counted
 GROUP BY day, model_version;
