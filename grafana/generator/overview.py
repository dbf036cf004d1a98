"""How things stand at a glance: who serves, how good it is, what changed, what is wrong."""

from grafana.generator.panels import (
    ENDS,
    Row,
    columns,
    figure,
    lines,
    note,
    prom,
    sql,
    table,
    words,
)
from grafana.generator.shared import MODEL, dashboard, window

# The newest figures of who serves; older than three hours they say nothing about now.
_LATEST = """
SELECT {columns}
  FROM quality_figures q
  JOIN routing r ON r.champion = q.model_version
 WHERE r.model_name = '$model'
   AND q.time_window = '$window'
   AND q.language = 'all'
   AND q.taken_at > now() - interval '3 hours'
 ORDER BY q.hour DESC
 LIMIT 1
"""

NOW = Row(
    "Now",
    (
        figure(
            "Serves",
            "The version that answers: the champion of the routing table.",
            sql(
                "SELECT champion FROM routing WHERE model_name = '$model' AND champion IS NOT NULL"
            ),
            words_only=True,
            width=5,
        ),
        figure(
            "Before it",
            "The version that would answer again after a roll-back.",
            sql(
                "SELECT previous_champion FROM routing WHERE model_name = '$model' AND previous_champion IS NOT NULL"
            ),
            words_only=True,
            width=5,
        ),
        figure(
            "Since",
            "When it began to answer, by the audit log.",
            sql("""
                SELECT extract(epoch FROM max(a.at)) * 1000 AS since
                  FROM audit_log a
                  JOIN routing r ON r.champion = a.subject
                 WHERE r.model_name = '$model' AND a.action = 'model_version.live'
                """),
            unit="dateTimeFromNow",
            width=4,
        ),
        figure(
            "Answers in the window",
            "Texts that the version which serves answered in the chosen window.",
            sql(_LATEST.format(columns="q.answers")),
            width=5,
        ),
        figure(
            "Votes in the window",
            "What people said of those answers. Under about 50 the accuracy beside it is a guess.",
            sql(_LATEST.format(columns="q.votes")),
            width=5,
        ),
        figure(
            "Drift",
            "Which features of the texts and answers differ from what the version was trained on, in the chosen window.",
            sql("""
                SELECT coalesce(string_agg(d.feature, ', ' ORDER BY d.distance DESC) FILTER (WHERE d.drifted), 'none') AS drift
                  FROM drift_figures d
                  JOIN routing r ON r.champion = d.model_version
                 WHERE r.model_name = '$model'
                   AND d.time_window = '$window'
                   AND d.hour = (SELECT max(hour) FROM drift_figures
                                  WHERE model_version = r.champion AND time_window = '$window'
                                    AND taken_at > now() - interval '3 hours')
                HAVING count(*) > 0
                """),
            words_only=True,
            mappings=words({"none": ("none", "green")}),
            width=6,
        ),
        figure(
            "Accuracy by votes",
            "Share of the votes that agree with the answer, between the ends of its 95 % interval.",
            sql(
                _LATEST.format(
                    columns="q.accuracy_low AS low, q.accuracy AS accuracy, q.accuracy_high AS high"
                )
            ),
            unit="percentunit",
            decimals=1,
            named=True,
            width=8,
        ),
        figure(
            "Estimated accuracy",
            "From the confidence of the answers alone, without votes. Missing where it is not to be trusted; "
            "model-quality says why.",
            sql(_LATEST.format(columns="q.estimated_accuracy AS estimated")),
            unit="percentunit",
            decimals=1,
            width=4,
        ),
        figure(
            "Feedback rate",
            "Votes for each answer of the window.",
            sql(_LATEST.format(columns="q.feedback_rate AS rate")),
            unit="percentunit",
            decimals=1,
            width=3,
        ),
        figure(
            "Trainings under way",
            "Training jobs that have not ended.",
            sql("""
                SELECT count(*) FILTER (WHERE phase NOT IN ('Succeeded', 'Rejected', 'Failed')) AS open
                  FROM training_jobs
                 WHERE model_name = '$model'
                HAVING count(*) > 0
                """),
            width=3,
        ),
    ),
)
COURSE = Row(
    "Course",
    (
        lines(
            "Accuracy by votes over time",
            "Of every version that answered, each hour, looking back over the chosen window. Dashed: the ends of the 95 % interval.",
            sql(
                """
                SELECT q.hour AS time, q.model_version || part.suffix AS metric, part.value
                  FROM quality_figures q
                 CROSS JOIN LATERAL (VALUES ('', q.accuracy), (' low', q.accuracy_low), (' high', q.accuracy_high))
                       AS part (suffix, value)
                 WHERE $__timeFilter(q.hour)
                   AND q.time_window = '$window'
                   AND q.language = 'all'
                   AND q.model_version IN (SELECT name FROM model_versions WHERE model_name = '$model')
                   AND part.value IS NOT NULL
                 ORDER BY 1, 2
                """,
                series=True,
            ),
            unit="percentunit",
            most=1,
            gap_hours=3,
            overrides=[ENDS],
        ),
        lines(
            "Answers",
            "Texts answered, by version. From the counts of ten minutes that the monitor keeps.",
            sql(
                """
                SELECT $__timeGroup(a.bucket, $__interval) AS time, a.model_version AS metric, sum(a.answers) AS value
                  FROM answer_tallies a
                 WHERE $__timeFilter(a.bucket)
                   AND a.model_version IN (SELECT name FROM model_versions WHERE model_name = '$model')
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
    ),
)
EVENTS = Row(
    "What happened, and what is wrong",
    (
        table(
            "Alerts that fire",
            "From Prometheus' rules (profile metrics). Each alert's entry in the runbook says what to do.",
            prom(
                'min by (alertname, severity, version, job) (ALERTS{alertstate="firing"})',
                table=True,
            ),
            no_value="no alert fires",
            transformations=[
                columns(alertname="Alert", severity="Severity", job="Program", version="Version")
            ],
            width=12,
        ),
        table(
            "Lately",
            "Trainings, promotions and roll-backs in the chosen time, the newest first. All of it: the back office's audit page.",
            sql("""
                SELECT at AS "When", replace(replace(action, '.', ' '), '_', ' ') AS "What", subject AS "Which", actor AS "Who"
                  FROM audit_log
                 WHERE $__timeFilter(at)
                   AND (action LIKE 'model\\_version.%' OR action LIKE 'training\\_job.%' OR action LIKE 'retrain%'
                        OR action LIKE 'dataset%')
                 ORDER BY at DESC, id DESC
                 LIMIT 100
                """),
            width=12,
        ),
        note(
            "Where to look",
            "Which dashboard answers which question.",
            """
            **model-quality**: how good each version is, and whether the texts have changed · **feedback**: what people say, and who ·
            **serving**: speed and errors · **training**: trainings, gates, versions, retraining policies · **platform**: programs,
            queues, disks, backups. Panels say *no data* where nothing is known: that is not zero.
            Without Caddy before Grafana, the back office is at `http://127.0.0.1:8001/backoffice/index`.
            """,
            height=3,
        ),
    ),
)

DASHBOARD = dashboard(
    "overview",
    "Overview",
    "Who serves, how good it is, what changed, what is wrong.",
    (NOW, COURSE, EVENTS),
    variables=(MODEL, window()),
    since="now-7d",
    refresh="1m",
)
