"""A database that has grown for years: rows as the programs write them, made by SQL, with every trigger and index on.

A platform of ten thousand answers is a month old, and a year older with each ten times as many. The newest answer is an
hour old, so that what a benchmark writes itself lies apart.
"""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sentops_core.store.pool import Connection

VOTES_PER_ANSWER = 10 / 256
DATASET_ROWS = 20_000
_CHUNK = 100_000
_LONG = 3600.0  # seconds that one statement may take here

Say = Callable[[str], None]

# What answers are made of: 8,000 texts of 10 to 400 characters, mostly short, each with what a model said of it.
_PALETTE = """
CREATE TABLE IF NOT EXISTS bench_palette AS
SELECT n AS number, one.text, one.label, one.score::real AS score,
       CASE one.label
            WHEN 'negative' THEN jsonb_build_object('negative', score, 'neutral', rest, 'positive', other)
            WHEN 'neutral' THEN jsonb_build_object('negative', rest, 'neutral', score, 'positive', other)
            ELSE jsonb_build_object('negative', other, 'neutral', rest, 'positive', score)
       END AS scores,
       (ARRAY['it', 'it', 'it', 'en', 'en', 'de', NULL])[1 + n % 7] AS language
  FROM generate_series(0, 7999) AS n,
       LATERAL (SELECT round((1 - 0.6 * power(random(), 2) + 0 * n)::numeric, 4) AS score,
                       (ARRAY['negative', 'neutral', 'positive', 'positive'])[1 + n % 4] AS label,
                       (SELECT string_agg(substr(md5((w.number + 0 * n)::text), 1, 2 + w.number % 9), ' ')
                          FROM (SELECT floor(power(random(), 3) * 4000)::integer AS number
                                  FROM generate_series(1, 3 + floor(power(random(), 3) * 60)::integer + 0 * n)) AS w)
                           AS text) AS one,
       LATERAL (SELECT round((1 - score) * 0.7, 4) AS rest, round((1 - score) * 0.3, 4) AS other) AS others
"""
# Each hundredth answer was given a second time, in the shadow. A fifth comes from three programs that ask a great deal,
# the rest from visitors with about twenty texts each. The version changes every two months. One vote in ten says
# something else than the answer; staff have looked at some of the older ones.
_FILL = """
WITH numbered AS (
    SELECT n, n - (n % 100 = 1)::integer AS asked, md5(n::text) AS digits,
           date_trunc('milliseconds', $3::timestamptz + ($4::timestamptz - $3::timestamptz)
                                      * ((n - $1)::float8 / ($2 - $1))) AS at
      FROM generate_series($5::bigint, $6::bigint - 1) AS n
), answered AS (
    INSERT INTO predictions (id, created_at, client, text, text_hash, label, score, scores, language, truncated, variant,
                             model_version, digest, shadow)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(digits, 1, 3) || '8' ||
            substr(digits, 4, 15))::uuid,
           at,
           CASE WHEN asked % 5 = 0 THEN 'id-' || repeat('p', 31) || asked / 5 % 3
                ELSE 'web-' || md5((asked / 100 * 100 + hashint8(asked) % 5)::text) END,
           t.text || ' ' || asked, sha256((t.text || asked)::bytea), said.label, said.score, said.scores, t.language,
           length(t.text) > 360, CASE WHEN n % 100 = 1 THEN 'candidate' ELSE 'champion' END,
           'sentiment-v' || (extract(epoch FROM at)::bigint / 5184000 - 300 + (n % 100 = 1)::integer),
           'sha256:' || encode(sha256((extract(epoch FROM at)::bigint / 5184000)::text::bytea), 'hex'), n % 100 = 1
      FROM numbered
      JOIN bench_palette t ON t.number = asked % 8000
      JOIN bench_palette said ON said.number = n % 8000
    RETURNING id, created_at, client, label, shadow, get_byte(uuid_send(id), 15) AS chance,
              get_byte(uuid_send(id), 14) AS other
)
INSERT INTO feedback (prediction_id, client, label, note, vote_id, voted_at, predicted_at, source, status, corrected_label,
                      reviewed_by, reviewed_at)
SELECT id, client, CASE WHEN other < 26 THEN 'neutral' ELSE label END,
       CASE WHEN other % 8 = 0 THEN 'The parcel was late, not the shop.' END,
       (lpad(to_hex((extract(epoch FROM created_at) * 1000)::bigint + 40000), 12, '0') || substr(id::text, 15))::uuid,
       created_at + interval '40 seconds', created_at, CASE WHEN other % 16 = 0 THEN 'api' ELSE 'web' END,
       CASE WHEN NOT looked_at THEN 'new' WHEN other % 7 = 0 THEN 'refused' ELSE 'accepted' END,
       CASE WHEN looked_at AND other % 14 = 0 THEN 'positive' END,
       CASE WHEN looked_at THEN 'bruno' END, CASE WHEN looked_at THEN created_at + interval '1 day' END
  FROM (SELECT answered.*, other % 3 = 0 AND created_at < $4 - interval '7 days' AS looked_at FROM answered) AS answered
 WHERE chance < 10 AND NOT shadow
"""
_ENSURE_MONTH = "SELECT ensure_predictions_month($1)"
# What annotators have done does not grow with the answers but with the months.
_LABELLED = """
INSERT INTO labelling_items (content_hash, text, language, prediction_id, predicted_at, predicted_label, predicted_score,
                             model_version, reason, value, drawn, state, opinions, label, decided_at)
SELECT text_hash, text, language, id, created_at, label, score, model_version, 'uncertain', 1 - score, random() < 0.2,
       'done', 1, label, created_at + interval '2 days'
  FROM (SELECT * FROM predictions WHERE created_at >= $1 AND created_at < $2 AND NOT shadow LIMIT 300) AS early
    ON CONFLICT DO NOTHING
"""
# One dataset of a usual size in two versions, and what a version of the model says of where it comes from.
_DATASET = [
    """
    INSERT INTO examples (content_hash, text, label, language, source)
    SELECT sha256(n::text::bytea), t.text || ' ' || n, t.label, t.language, 'upload:reviews'
      FROM generate_series(1, $1::integer) AS n JOIN bench_palette t ON t.number = n % 8000
        ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO datasets (name, labels, split_salt)
    SELECT 'reviews', ARRAY['negative', 'neutral', 'positive'], 'salt' WHERE $1 > 0 ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO dataset_versions (name, number, dataset, parent, content_hash, holdout_hash, storage_uri, rows_train,
                                  rows_holdout, label_counts, report, created_by, created_at)
    SELECT 'v' || number, number, 'reviews', CASE WHEN number > 1 THEN 'v1' END, 'sha256:data' || number,
           'sha256:held', 'file:///nowhere', $1 * 4 / 5, $1 / 5, '{}', '{}', 'anna', now() - interval '14 days'
      FROM generate_series(1, 2) AS number ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO dataset_members (dataset_version, content_hash, label, split, source)
    SELECT v.name, sha256(n::text::bytea), t.label, CASE WHEN n % 5 = 0 THEN 'holdout' ELSE 'train' END,
           'upload:reviews'
      FROM generate_series(1, $1::integer) AS n
      JOIN bench_palette t ON t.number = n % 8000
      JOIN dataset_versions v ON v.dataset = 'reviews'
        ON CONFLICT DO NOTHING
    """,
]
_MODEL_VERSIONS = """
INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, created_by)
SELECT DISTINCT ON (model_version) model_version, 'sentiment', substr(model_version, 12)::integer, digest,
       '{"datasetHash": "sha256:data1"}', '{"conditions": []}', '{}', 'Archived', 'anna'
  FROM (SELECT model_version, digest FROM predictions WHERE created_at >= now() - interval '3 months') AS seen
    ON CONFLICT DO NOTHING
"""
# By the hour for 40 days, by the day for 400.
_FIGURES = [
    """
    INSERT INTO quality_figures (model_version, time_window, language, hour, taken_at, answers, votes, accuracy,
                                 accuracy_low, accuracy_high)
    SELECT 'sentiment-v' || v, w, l, hour, hour, 1000, 40, 0.8, 0.7, 0.9
      FROM generate_series(1, 2) AS v, unnest(ARRAY['1h', '24h', '7d', '28d']) AS w,
           unnest(ARRAY['all', 'it', 'en', 'de']) AS l,
           (SELECT hour FROM generate_series(date_trunc('hour', $1::timestamptz), now(), '1 hour') AS hour
             WHERE hour > now() - interval '40 days'
                OR extract(hour FROM hour) = 23 AND hour > now() - interval '400 days') AS hours
        ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO drift_figures (model_version, time_window, feature, hour, taken_at, samples, reference_samples, distance,
                               p_value, adjusted_p_value, drifted)
    SELECT model_version, time_window, feature, hour, hour, 1000, 1000, 0.1, 0.5, 0.5, false
      FROM quality_figures, unnest(ARRAY['length', 'language', 'words', 'labels', 'confidence']) AS feature
     WHERE language = 'all' AND hour >= $1
        ON CONFLICT DO NOTHING
    """,
]
_BY_TABLE = """
SELECT regexp_replace(c.relname, '_\\d{4}_\\d\\d$', '') AS name,
       sum(pg_total_relation_size(c.oid))::bigint AS bytes, sum(pg_indexes_size(c.oid))::bigint AS index_bytes
  FROM pg_class c
 WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
 GROUP BY 1
 ORDER BY 2 DESC
 LIMIT 8
"""


def months_of(size: int) -> int:
    """How old a platform with so many answers is."""
    return max(1, round(12 * (math.log10(max(size, 10_000)) - 4)))


async def grow(connection: Connection, before: int, after: int, *, now: datetime, say: Say) -> None:
    """From so many answers to so many, spread over the platform's life, with votes and all that hangs on them."""
    end = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    begin = end - timedelta(days=30 * months_of(after))
    await connection.execute("SET statement_timeout = 0")
    await connection.execute(_PALETTE, timeout=_LONG)
    for month in _months(begin, now + timedelta(days=40)):
        await connection.execute(_ENSURE_MONTH, month)
    said = time.monotonic()
    for first in range(before, after, _CHUNK):
        last = min(first + _CHUNK, after)
        await connection.execute(_FILL, before, after, begin, end, first, last, timeout=_LONG)
        if time.monotonic() - said > 20:
            said = time.monotonic()
            say(f"  {last:,} of {after:,} answers")
    for month in _months(begin, end):
        await connection.execute(_LABELLED, month, month + timedelta(days=28), timeout=_LONG)
    for statement in _DATASET:
        await connection.execute(statement, DATASET_ROWS, timeout=_LONG)
    await connection.execute(_MODEL_VERSIONS, timeout=_LONG)
    for statement in _FIGURES:
        await connection.execute(statement, begin, timeout=_LONG)
    await connection.execute("VACUUM ANALYZE", timeout=_LONG)
    await connection.execute("CHECKPOINT", timeout=_LONG)


async def bytes_by_table(connection: Connection) -> dict[str, dict[str, int]]:
    rows = await connection.fetch(_BY_TABLE)
    return {row["name"]: {"bytes": row["bytes"], "of_indexes": row["index_bytes"]} for row in rows}


def _months(begin: datetime, end: datetime) -> list[datetime]:
    """The first moment of each."""
    numbers = range(begin.year * 12 + begin.month - 1, end.year * 12 + end.month)
    return [datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in numbers]
