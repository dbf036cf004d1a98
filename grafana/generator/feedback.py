"""What people say of the answers, who they are in number, and what becomes of it."""

from grafana.generator.panels import (
    DOTTED,
    Row,
    bars,
    lines,
    on,
    on_all,
    prom,
    sql,
    steps,
    table,
)
from grafana.generator.shared import LANGUAGE, MODEL, VERSION, dashboard, window

_RATE = """
SELECT hour AS time, model_version AS metric, {figure} AS value
  FROM quality_figures
 WHERE $__timeFilter(hour)
   AND model_version = ANY (ARRAY[$version]::text[])
   AND time_window = '$window'
   AND language = {language}
   AND {figure} IS NOT NULL
 ORDER BY 1, 2
"""
_GROUPED = """
SELECT $__timeGroup(voted_at, $__interval) AS time, {column} AS metric, count(*) AS value
  FROM feedback
 WHERE $__timeFilter(voted_at)
 GROUP BY 1, 2
 ORDER BY 1, 2
"""

VOTES = Row(
    "Votes",
    (
        lines(
            "Votes by what they say",
            "When people voted, and what they meant. A vote that replaces an earlier one counts once. Of all models.",
            sql(_GROUPED.format(column="label"), series=True),
            unit="short",
            draw="bars",
            least_interval="10m",
            stacked="normal",
            least=0,
        ),
        lines(
            "Votes by way",
            "Through the page (web), the API, or an import. Of all models.",
            sql(_GROUPED.format(column="source"), series=True),
            unit="short",
            draw="bars",
            least_interval="10m",
            stacked="normal",
            least=0,
        ),
        lines(
            "Feedback rate",
            "Votes for each answer of the chosen window. When it collapses, something is broken: the buttons, or the way from web "
            "to the database.",
            sql(_RATE.format(figure="feedback_rate", language="'$language'"), series=True),
            unit="percentunit",
            least=0,
            gap_hours=3,
        ),
        lines(
            "Share of the largest source",
            "How much of the votes one client gave. High: the accuracy is one person's opinion, or somebody tries to bend it.",
            sql(_RATE.format(figure="largest_source_share", language="'all'"), series=True),
            unit="percentunit",
            least=0,
            most=1,
            gap_hours=3,
            thresholds=steps((None, "transparent"), (0.5, "orange")),
        ),
    ),
)
AGREEMENT = Row(
    "Agreement",
    (
        lines(
            "Votes that agree and that do not",
            "By the time of the answer, of the chosen versions; only votes that count (not those in quarantine or refused).",
            sql(
                """
                SELECT $__timeGroup(t.bucket, $__interval) AS time,
                       CASE WHEN meant.key = answered.key THEN 'agree' ELSE 'disagree' END AS metric,
                       sum(answered.value::bigint) AS value
                  FROM vote_tallies t
                 CROSS JOIN LATERAL jsonb_each(t.confusion) AS meant
                 CROSS JOIN LATERAL jsonb_each_text(meant.value) AS answered
                 WHERE $__timeFilter(t.bucket)
                   AND t.model_version = ANY (ARRAY[$version]::text[])
                   AND ('$language' = 'all' OR t.language = '$language')
                 GROUP BY 1, 2
                 ORDER BY 1, 2
                """,
                series=True,
            ),
            unit="short",
            draw="bars",
            least_interval="10m",
            stacked="normal",
            least=0,
        ),
        lines(
            "Votes as web takes them",
            "Each second, at the moment they arrive. 'unknown': the answer was not at hand to compare with.",
            prom(
                "sum by (agreement) (rate(sentops_web_votes_total[$__rate_interval]))",
                "{{agreement}}",
            ),
            unit="cps",
            least=0,
        ),
        lines(
            "Votes of a day, and what is usual",
            "On the answers of the last 24 hours, of all versions; usual: by the rate of 28 days. Under a quarter of it, the alert fires.",
            prom("sum(sentops:feedback_votes:24h)", "votes"),
            prom("sum(sentops:feedback_votes_expected:24h)", "usual"),
            unit="short",
            least=0,
            overrides=[on("usual", custom_lineStyle=DOTTED)],
        ),
        lines(
            "Largest source and feedback rate now",
            "As Prometheus knows them, in the chosen window.",
            prom(
                'max by (version) (sentops_feedback_largest_source_share_ratio{version=~"$version", window="$window"})',
                "{{version}} largest source",
            ),
            prom(
                'sentops_feedback_rate_ratio{version=~"$version", window="$window", language="$language"}',
                "{{version}} feedback rate",
            ),
            unit="percentunit",
            least=0,
            overrides=[on_all(" largest source$", custom_lineStyle=DOTTED)],
        ),
        table(
            "Votes by version and label",
            "Of the chosen time, by the time of the answer.",
            sql("""
                SELECT t.model_version AS "Version", t.language AS "Language", meant.key AS "People meant",
                       sum(answered.value::bigint) AS "Votes",
                       sum(answered.value::bigint) FILTER (WHERE meant.key = answered.key) AS "Agree",
                       sum(answered.value::bigint) FILTER (WHERE meant.key <> answered.key) AS "Disagree"
                  FROM vote_tallies t
                 CROSS JOIN LATERAL jsonb_each(t.confusion) AS meant
                 CROSS JOIN LATERAL jsonb_each_text(meant.value) AS answered
                 WHERE $__timeFilter(t.bucket)
                   AND t.model_version = ANY (ARRAY[$version]::text[])
                   AND ('$language' = 'all' OR t.language = '$language')
                 GROUP BY 1, 2, 3
                 ORDER BY 4 DESC
                """),
        ),
    ),
)
AFTER = Row(
    "What becomes of it",
    (
        bars(
            "Votes by decision",
            "Votes of the chosen time by what staff decided: new (nobody looked), accepted, refused.",
            sql("""
                SELECT status AS "Decision", count(*) AS "Votes"
                  FROM feedback
                 WHERE $__timeFilter(voted_at)
                 GROUP BY 1
                 ORDER BY 1
                """),
            along="Decision",
            width=8,
        ),
        bars(
            "Labelling queue",
            "Texts in the queue by their state: open, contested (annotators differ), done, dropped, expired.",
            sql("""
                SELECT state AS "State", count(*) AS "Texts"
                  FROM labelling_items
                 GROUP BY 1
                 ORDER BY 2 DESC
                """),
            along="State",
            width=8,
        ),
        table(
            "Sources in quarantine",
            "Clients and ways whose votes count nowhere until somebody lets them again.",
            sql("""
                SELECT kind AS "Kind", count(*) AS "How many", max(quarantined_at) AS "Newest"
                  FROM quarantined_sources
                 GROUP BY 1
                 ORDER BY 1
                """),
            no_value="none in quarantine",
            width=8,
        ),
        lines(
            "Labels by staff",
            "Texts that annotators labelled, by label; skipped ones are not counted.",
            sql(
                """
                SELECT $__timeGroup(voted_at, $__interval) AS time, label AS metric, count(*) AS value
                  FROM labelling_votes
                 WHERE $__timeFilter(voted_at) AND label IS NOT NULL
                 GROUP BY 1, 2
                 ORDER BY 1, 2
                """,
                series=True,
            ),
            unit="short",
            draw="bars",
            least_interval="10m",
            stacked="normal",
            least=0,
        ),
        table(
            "Newest votes",
            "Without the texts and who wrote them: those are in the back office alone.",
            sql("""
                SELECT f.voted_at AS "Voted", p.model_version AS "Version", p.label AS "Answered", f.label AS "Meant",
                       p.score AS "Confidence", f.source AS "Way", f.status AS "Decision"
                  FROM (SELECT prediction_id, predicted_at, voted_at, label, source, status
                          FROM feedback
                         WHERE $__timeFilter(voted_at)
                         ORDER BY voted_at DESC
                         LIMIT 50) AS f
                  LEFT JOIN predictions p ON p.id = f.prediction_id AND p.created_at = f.predicted_at
                 ORDER BY f.voted_at DESC
                """),
            width=12,
        ),
    ),
)

DASHBOARD = dashboard(
    "feedback",
    "Feedback",
    "What people say of the answers, and what becomes of it.",
    (VOTES, AGREEMENT, AFTER),
    variables=(MODEL, VERSION, window("7d"), LANGUAGE),
    since="now-7d",
    refresh="5m",
    see="feedback",
)
