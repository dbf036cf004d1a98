"""Trainings, what the gate said, what became of versions, and what the retraining policies decide."""

from grafana.generator.panels import Row, bars, figure, lines, on, prom, sql, table, words
from grafana.generator.shared import MODEL, dashboard

_PHASES = words(
    {
        "Succeeded": ("✓ Succeeded", "green"),
        "Rejected": ("✗ Rejected by the gate", "orange"),
        "Failed": ("✗ Failed", "red"),
        "Running": ("… Running", "blue"),
        "Live": ("✓ Live", "green"),
        "RolledBack": ("✗ RolledBack", "orange"),
        "Quarantined": ("✗ Quarantined", "red"),
    }
)
_VERDICTS = words(
    {
        "Pass": ("✓ Pass", "green"),
        "Fail": ("✗ Fail", "red"),
        "Inconclusive": ("? Inconclusive", "orange"),
    }
)
_COLOURED = {"type": "color-text"}

NOW = Row(
    "Now",
    (
        figure(
            "Under way",
            "Training jobs that have not ended.",
            sql("""
                SELECT count(*) FILTER (WHERE phase NOT IN ('Succeeded', 'Rejected', 'Failed')) AS open
                  FROM training_jobs
                 WHERE model_name = '$model'
                HAVING count(*) > 0
                """),
            width=4,
        ),
        figure(
            "Progress",
            "Of the training that runs.",
            prom("max(sentops_training_progress_ratio)", now=True),
            unit="percentunit",
            decimals=0,
            no_value="none runs",
            width=4,
        ),
        figure(
            "Last progress",
            "When a running training was last heard of.",
            prom("max(sentops_training_last_progress_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            no_value="none runs",
            width=4,
        ),
        figure(
            "Last success",
            "When a training last ended well.",
            prom("max(sentops_training_last_success_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            width=4,
        ),
        figure(
            "Last failure",
            "When a training last failed.",
            prom("max(sentops_training_last_failure_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            no_value="none known",
            width=4,
        ),
        figure(
            "Last failed roll-out",
            "When a version was last rolled back or put into quarantine.",
            prom("max(sentops_rollout_last_failure_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            no_value="none known",
            width=4,
        ),
    ),
)
JOBS = Row(
    "Trainings",
    (
        table(
            "Trainings",
            "Begun in the chosen time, the newest first. Macro F1 and verdict: on the frozen held-out rows.",
            sql("""
                SELECT name AS "Training", phase AS "Phase", created_at AS "Created", created_by AS "By",
                       spec -> 'trainer' ->> 'method' AS "Method", dataset_version AS "Dataset",
                       (status -> 'trainerStatus' ->> 'progressPercentage')::float / 100 AS "Progress",
                       extract(epoch FROM (status ->> 'completionTime')::timestamptz - (status ->> 'startTime')::timestamptz)
                           ::float AS "Took",
                       (status -> 'evaluation' ->> 'macroF1')::float AS "Macro F1",
                       status -> 'gateResult' ->> 'verdict' AS "Gate",
                       status -> 'gateResult' -> 'reasons' ->> 0 AS "Why"
                  FROM training_jobs
                 WHERE model_name = '$model' AND $__timeFilter(created_at)
                 ORDER BY created_at DESC
                 LIMIT 100
                """),
            overrides=[
                on("Phase", mappings=_PHASES, custom_cellOptions=_COLOURED),
                on("Gate", mappings=_VERDICTS, custom_cellOptions=_COLOURED),
                on("Progress", unit="percentunit", decimals=0),
                on("Took", unit="s"),
                on("Macro F1", unit="percentunit", decimals=1),
            ],
            height=9,
        ),
        bars(
            "Trainings by phase",
            "Begun in the chosen time.",
            sql("""
                SELECT phase AS "Phase", count(*) AS "Trainings"
                  FROM training_jobs
                 WHERE model_name = '$model' AND $__timeFilter(created_at)
                 GROUP BY 1
                 ORDER BY 2 DESC
                """),
            along="Phase",
            width=8,
        ),
        lines(
            "How long trainings take",
            "From the start of the first attempt to the end, at the time of the end.",
            sql(
                """
                SELECT (status ->> 'completionTime')::timestamptz AS time, spec -> 'trainer' ->> 'method' AS metric,
                       extract(epoch FROM (status ->> 'completionTime')::timestamptz - (status ->> 'startTime')::timestamptz)
                           ::float AS value
                  FROM training_jobs
                 WHERE model_name = '$model'
                   AND status ->> 'completionTime' IS NOT NULL
                   AND status ->> 'startTime' IS NOT NULL
                   AND (status ->> 'completionTime')::timestamptz BETWEEN $__timeFrom() AND $__timeTo()
                 ORDER BY 1, 2
                """,
                series=True,
            ),
            unit="s",
            least=0,
            width=8,
        ),
        lines(
            "Open trainings by phase",
            "As the control plane counts them. Queued for long: it waits for a machine; Evaluating for long: look at the log.",
            prom("sum by (phase) (sentops_training_jobs)", "{{phase}}"),
            unit="short",
            least=0,
            width=8,
        ),
        table(
            "What trainings tell",
            "The newest events, with progress left out.",
            sql("""
                SELECT e.at AS "When", e.training_job AS "Training", e.reason AS "What", e.message AS "Told"
                  FROM training_events e
                  JOIN training_jobs j ON j.name = e.training_job
                 WHERE $__timeFilter(e.at) AND e.progress IS NULL AND j.model_name = '$model'
                 ORDER BY e.id DESC
                 LIMIT 100
                """),
        ),
    ),
)
VERSIONS = Row(
    "Versions",
    (
        table(
            "Versions",
            "All of the model, the newest first.",
            sql("""
                SELECT name AS "Version", phase AS "Phase", created_at AS "Created", training_job AS "Training",
                       (status ->> 'trafficPercent')::float / 100 AS "Traffic",
                       spec -> 'gateResult' ->> 'verdict' AS "Gate", spec -> 'gateResult' -> 'reasons' ->> 0 AS "Why",
                       left(digest, 19) AS "Digest"
                  FROM model_versions
                 WHERE model_name = '$model'
                 ORDER BY version DESC
                 LIMIT 200
                """),
            overrides=[
                on("Phase", mappings=_PHASES, custom_cellOptions=_COLOURED),
                on("Gate", mappings=_VERDICTS, custom_cellOptions=_COLOURED),
                on("Traffic", unit="percentunit", decimals=0),
            ],
        ),
        lines(
            "Macro F1 of what was trained",
            "On the frozen held-out rows, at the end of each training. Rows differ from dataset to dataset: compare within one.",
            sql(
                """
                SELECT (status ->> 'completionTime')::timestamptz AS time, 'on ' || coalesce(dataset_version, 'a dataset that is gone')
                           AS metric,
                       (status -> 'evaluation' ->> 'macroF1')::float AS value
                  FROM training_jobs
                 WHERE model_name = '$model'
                   AND status -> 'evaluation' ->> 'macroF1' IS NOT NULL
                   AND (status ->> 'completionTime')::timestamptz BETWEEN $__timeFrom() AND $__timeTo()
                 ORDER BY 1, 2
                """,
                series=True,
            ),
            unit="percentunit",
            most=1,
            width=12,
        ),
        lines(
            "Versions by phase",
            "As the control plane counts them.",
            prom("sum by (phase) (sentops_model_versions)", "{{phase}}"),
            unit="short",
            least=0,
            width=12,
        ),
        table(
            "Dataset versions",
            "What trainings learn from, the newest first.",
            sql("""
                SELECT name AS "Dataset version", dataset AS "Dataset", parent AS "After", created_at AS "Created",
                       created_by AS "By", rows_train AS "To learn from", rows_holdout AS "Held out", erased_rows AS "Erased since"
                  FROM dataset_versions
                 ORDER BY number DESC
                 LIMIT 100
                """),
        ),
    ),
)
POLICIES = Row(
    "Retraining by policy",
    (
        table(
            "Policies",
            "What each one last decided, and why.",
            sql("""
                SELECT name AS "Policy",
                       CASE WHEN (spec ->> 'suspend')::boolean THEN 'suspended'
                            WHEN (spec ->> 'dryRun')::boolean THEN 'only says what it would do' ELSE 'on' END AS "State",
                       status -> 'lastDecision' ->> 'outcome' AS "Last decision", status -> 'lastDecision' ->> 'trigger' AS "Trigger",
                       status -> 'lastDecision' ->> 'reason' AS "Why",
                       (status -> 'lastDecision' ->> 'at')::timestamptz AS "At",
                       status ->> 'lastTrainingJob' AS "Last training", (status ->> 'trainingsToday')::float AS "Trainings today"
                  FROM retrain_policies
                 WHERE model_name = '$model'
                 ORDER BY name
                """),
            no_value="no policy",
            overrides=[
                on(
                    "Last decision",
                    mappings=words(
                        {
                            "Start": ("▶ Start", "green"),
                            "WouldStart": ("Would start", "blue"),
                            "Unknown": ("? Unknown", "orange"),
                        }
                    ),
                    custom_cellOptions=_COLOURED,
                )
            ],
            height=6,
        ),
        lines(
            "Decisions",
            "How often policies decided what, in each interval. Unknown: figures were missing or stale, which starts nothing.",
            prom(
                "sum by (outcome) (increase(sentops_retrain_decisions_total[$__rate_interval]))",
                "{{outcome}}",
            ),
            unit="short",
            draw="bars",
            least=0,
        ),
        table(
            "Last decisions, by the trainer's metrics",
            "When each policy was last looked at. Long ago: the control plane does not come round.",
            prom(
                "max by (policy) (sentops_retrain_last_decision_timestamp_seconds) * 1000",
                table=True,
            ),
            transformations=[
                {
                    "id": "organize",
                    "options": {
                        "excludeByName": {"Time": True},
                        "indexByName": {"policy": 0, "Value": 1},
                        "renameByName": {"policy": "Policy", "Value": "Looked at"},
                    },
                }
            ],
            overrides=[on("Looked at", unit="dateTimeFromNow")],
            no_value="no policy",
            width=12,
        ),
    ),
)

DASHBOARD = dashboard(
    "training",
    "Training",
    "Trainings, what the gate said, what became of versions, and what the retraining policies decide.",
    (NOW, JOBS, VERSIONS, POLICIES),
    variables=(MODEL,),
    since="now-30d",
    refresh="1m",
    see="training",
)
