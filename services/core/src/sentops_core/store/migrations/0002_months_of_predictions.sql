-- Partitions of predictions are made on demand and dropped by age; the statements need names, so they live here.

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
           AND (to_date(substr(c.relname, 13), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= moment
         ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        RETURN NEXT name;
    END LOOP;
END
$$;

-- Erasing a person's predictions looks for what was built from them.
CREATE INDEX examples_prediction ON examples (prediction_id) WHERE prediction_id IS NOT NULL;
CREATE INDEX dataset_members_prediction ON dataset_members (prediction_id) WHERE prediction_id IS NOT NULL;
CREATE INDEX feedback_client ON feedback (client);
