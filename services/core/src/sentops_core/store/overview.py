"""What the overview of the platform counts and lists, each by one short statement."""

from dataclasses import dataclass
from datetime import date, datetime

from sentops_core.domain.attention import Mention
from sentops_core.store.feedback_inbox import COUNTED_VOTES
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class DayOfAnswers:
    day: date
    answers: int


@dataclass(frozen=True)
class DayOfVotes:
    """Votes on the answers that one version gave on a day (in UTC); `right` of them agree."""

    day: date
    model_version: str
    votes: int
    right: int


@dataclass(frozen=True)
class Work:
    """What waits for people: texts to label, texts that they disagree on, votes nobody looked at.

    Votes are counted up to COUNTED_VOTES: there are so many, or more.
    """

    open_texts: int
    contested_texts: int
    new_votes: int
    votes_since_dataset: int


# Ten minutes that changed since they were counted: few where a monitor runs, all of them where none does.
_UNCOUNTED = """
SELECT DISTINCT bucket
  FROM tallies_due
 WHERE bucket >= $1 AND bucket < $2
 LIMIT $3
"""
# The counts of days, without those of ten minutes that are no longer true, and with what these hold now.
_ANSWERS = """
SELECT d.day::date AS day,
       (SELECT coalesce(sum(t.answers), 0) FROM day_tallies t WHERE t.day = d.day::date)::bigint
       - (SELECT coalesce(sum(t.answers), 0)
            FROM unnest($3::timestamptz[]) AS due (bucket)
            JOIN answer_tallies t USING (bucket)
           WHERE due.bucket >= d.day AND due.bucket < d.day + interval '1 day')::bigint
       + (SELECT count(*)
            FROM unnest($3::timestamptz[]) AS due (bucket)
           CROSS JOIN LATERAL (
                     SELECT
                       FROM predictions p
                      WHERE p.created_at >= due.bucket AND p.created_at < due.bucket + interval '10 minutes'
                        AND NOT p.shadow
                     OFFSET 0
                 ) AS p
           WHERE due.bucket >= d.day AND due.bucket < d.day + interval '1 day') AS answers
  FROM generate_series($1::timestamptz, $2::timestamptz - interval '1 microsecond', '1 day') AS d (day)
 ORDER BY 1
"""
_VOTES = """
WITH due AS (
    SELECT bucket FROM unnest($3::timestamptz[]) AS due (bucket)
), counted AS (
    SELECT day, model_version, votes, agreed
      FROM day_tallies
     WHERE day >= ($1::timestamptz AT TIME ZONE 'UTC')::date AND day < ($2::timestamptz AT TIME ZONE 'UTC')::date
     UNION ALL
    SELECT (bucket AT TIME ZONE 'UTC')::date, model_version, -votes,
           -(SELECT coalesce(sum(count::bigint), 0)
               FROM jsonb_each(agreed) AS by_label, jsonb_array_elements_text(by_label.value) AS count)
      FROM due JOIN vote_tallies USING (bucket)
     UNION ALL
    SELECT (due.bucket AT TIME ZONE 'UTC')::date, v.model_version, 1, (v.label = v.answered)::integer
      FROM due
     CROSS JOIN LATERAL (
               SELECT p.model_version, v.label, p.label AS answered
                 FROM counted_votes v
                 JOIN predictions p ON p.created_at = v.predicted_at AND p.id = v.prediction_id
                WHERE v.predicted_at >= due.bucket AND v.predicted_at < due.bucket + interval '10 minutes'
                  AND NOT p.shadow
               OFFSET 0
           ) AS v
)
SELECT day, model_version, sum(votes)::bigint AS votes, sum(agreed)::bigint AS "right"
  FROM counted
 GROUP BY day, model_version
HAVING sum(votes) > 0
 ORDER BY day, model_version
"""
# Day by day: grouping by a day would sort every row of the weeks.
_ANSWERS_WITHOUT_COUNTS = """
SELECT d.day::date AS day,
       (SELECT count(*)
          FROM predictions p
         WHERE p.created_at >= d.day AND p.created_at < d.day + interval '1 day' AND NOT p.shadow) AS answers
  FROM generate_series($1::timestamptz, $2::timestamptz - interval '1 microsecond', '1 day') AS d (day)
 ORDER BY 1
"""
_VOTES_WITHOUT_COUNTS = """
SELECT (v.predicted_at AT TIME ZONE 'UTC')::date AS day, p.model_version, count(*) AS votes,
       count(*) FILTER (WHERE v.label = p.label) AS "right"
  FROM counted_votes v
  JOIN predictions p ON p.created_at = v.predicted_at AND p.id = v.prediction_id
 WHERE v.voted_at >= $1
   AND v.predicted_at >= $1 AND v.predicted_at < $2 AND p.created_at >= $1 AND p.created_at < $2
   AND NOT p.shadow
 GROUP BY 1, 2
 ORDER BY 1, 2
"""
# The condition that moved last says best what is the matter.
_NOTED_VERSIONS = """
SELECT v.name, v.phase, coalesce(newest.reason, '') AS reason, coalesce(newest.message, '') AS message,
       coalesce(newest.at, v.updated_at) AS at
  FROM model_versions v
  LEFT JOIN LATERAL (
      SELECT c ->> 'reason' AS reason, c ->> 'message' AS message, (c ->> 'lastTransitionTime')::timestamptz AS at
        FROM jsonb_array_elements(v.status -> 'conditions') WITH ORDINALITY AS one (c, place)
       ORDER BY 3 DESC, place DESC
       LIMIT 1
  ) AS newest ON true
 WHERE v.model_name = $1
   AND (v.phase = 'Paused'
        OR v.phase = 'Pending' AND v.status -> 'conditions' @> '[{"reason": "AwaitingApproval"}]'
        OR v.phase IN ('Quarantined', 'RolledBack') AND newest.at >= $2)
   AND v.metadata ->> 'deletionTimestamp' IS NULL
 ORDER BY v.version DESC
 LIMIT $3
"""
# A failure that a later training made up for is of the past.
_FAILED_JOBS = """
SELECT j.name, j.phase, coalesce(newest.reason, '') AS reason, coalesce(newest.message, '') AS message,
       coalesce((j.status ->> 'completionTime')::timestamptz, j.updated_at) AS at
  FROM training_jobs j
  LEFT JOIN LATERAL (
      SELECT c ->> 'reason' AS reason, c ->> 'message' AS message
        FROM jsonb_array_elements(j.status -> 'conditions') WITH ORDINALITY AS one (c, place)
       ORDER BY (c ->> 'lastTransitionTime')::timestamptz DESC, place DESC
       LIMIT 1
  ) AS newest ON true
 WHERE j.model_name = $1 AND j.phase IN ('Failed', 'Rejected') AND j.created_at >= $2
   AND NOT EXISTS (SELECT FROM training_jobs later
                    WHERE later.model_name = j.model_name AND later.created_at > j.created_at
                      AND later.phase = 'Succeeded')
 ORDER BY j.created_at DESC
 LIMIT $3
"""
_WORK = """
SELECT (SELECT count(*) FROM labelling_items WHERE state = 'open') AS open_texts,
       (SELECT count(*) FROM labelling_items WHERE state = 'contested') AS contested_texts,
       (SELECT count(*) FROM (SELECT FROM feedback WHERE status = 'new' LIMIT $1) AS counted) AS new_votes,
       (SELECT count(*)
          FROM (SELECT FROM feedback
                 WHERE voted_at > coalesce((SELECT max(created_at) FROM dataset_versions), 'epoch')
                 LIMIT $1) AS counted) AS votes_since_dataset
"""
_MOST = 20
_MOST_UNCOUNTED = 300


class Overview:
    """Of one model, as it stands in the database now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def answers_by_day(self, since: datetime, until: datetime) -> list[DayOfAnswers]:
        """Every day from `since`, the beginning of one in UTC, to before `until`, as they are now."""
        due = await self._uncounted(since, until)
        if due is None:
            rows = await self._connection.fetch(_ANSWERS_WITHOUT_COUNTS, since, until)
        else:
            rows = await self._connection.fetch(_ANSWERS, since, until, due)
        return [DayOfAnswers(**row) for row in rows]

    async def votes_by_day(self, since: datetime, until: datetime) -> list[DayOfVotes]:
        """On answers of those days; days and versions without a vote are absent."""
        due = await self._uncounted(since, until)
        if due is None:
            rows = await self._connection.fetch(_VOTES_WITHOUT_COUNTS, since, until)
        else:
            rows = await self._connection.fetch(_VOTES, since, until, due)
        return [DayOfVotes(**row) for row in rows]

    async def _uncounted(self, since: datetime, until: datetime) -> list[datetime] | None:
        """The ten minutes to look at; None where there are so many that looking at everything is no more work."""
        rows = await self._connection.fetch(_UNCOUNTED, since, until, _MOST_UNCOUNTED + 1)
        return None if len(rows) > _MOST_UNCOUNTED else [row["bucket"] for row in rows]

    async def noted_versions(self, model_name: str, since: datetime) -> list[Mention]:
        """Those that wait for somebody, and those that were found wanting since then."""
        rows = await self._connection.fetch(_NOTED_VERSIONS, model_name, since, _MOST)
        return [Mention(**row) for row in rows]

    async def failed_jobs(self, model_name: str, since: datetime) -> list[Mention]:
        """Trainings asked for since then that came to nothing, and that no later one made up for."""
        rows = await self._connection.fetch(_FAILED_JOBS, model_name, since, _MOST)
        return [Mention(**row) for row in rows]

    async def work(self) -> Work:
        row = await self._connection.fetchrow(_WORK, COUNTED_VOTES)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
        return Work(**row)
