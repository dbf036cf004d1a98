"""Programs, disks, queues, backups: what the rest stands on."""

from grafana.generator.panels import (
    AT_THE_LIMIT,
    DOTTED,
    LIMIT,
    Row,
    columns,
    figure,
    lines,
    on,
    on_all,
    prom,
    sql,
    states,
    steps,
    table,
    words,
)
from grafana.generator.shared import dashboard

_OURS = 'job=~"web|backoffice|model|trainer|monitor|operator"'
_UP = words({"1": ("up", "green"), "0": ("▼ does not answer", "red")})

NOW = Row(
    "Now",
    (
        figure(
            "Do not answer",
            "Programs that Prometheus cannot reach.",
            prom(f"count(up{{{_OURS}}} == 0) or 0 * count(up{{{_OURS}}})", now=True),
            thresholds=steps((None, "green"), (1, "red")),
        ),
        figure(
            "Last backup",
            "When `sentops backup` last ended well.",
            prom("max(sentops_backup_last_success_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            no_value="none known",
            width=5,
        ),
        figure(
            "Certificate ends",
            "Of the domain; watched with the profile edge.",
            prom("min(sentops_certificate_expiry_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            no_value="not watched",
            width=5,
        ),
        figure(
            "Least free disk",
            "Of the volumes that programs write to.",
            prom("min(sentops_disk_free_bytes / sentops_disk_size_bytes)", now=True),
            unit="percentunit",
            decimals=0,
            thresholds=steps((None, "red"), (0.1, "orange"), (0.2, "green")),
            width=5,
        ),
        figure(
            "Size of the database",
            "On disk, with its indexes.",
            sql("SELECT pg_database_size(current_database())::float AS size"),
            unit="bytes",
            width=5,
        ),
    ),
)
PROGRAMS = Row(
    "Programs",
    (
        states(
            "Up",
            "Whether each program answered Prometheus.",
            prom(f"min by (job) (up{{{_OURS}}})", "{{job}}"),
            mappings=_UP,
        ),
        table(
            "Builds",
            "Which build each program is.",
            prom("count by (program, version, instance) (sentops_build_info)", table=True),
            transformations=[columns(program="Program", version="Build", instance="Where")],
        ),
        lines(
            "Requests",
            "Each second, health checks left out.",
            prom(
                f'sum by (job) (rate(sentops_http_requests_total{{{_OURS}, route!~"/health.*|/metrics"}}[$__rate_interval]))',
                "{{job}}",
            ),
            unit="reqps",
            least=0,
        ),
        lines(
            "Errors",
            "Requests each second that ended with 5xx.",
            prom(
                f"""
                sum by (job) (rate(sentops_http_requests_total{{{_OURS}, status=~"5.."}}[$__rate_interval]))
                or 0 * sum by (job) (rate(sentops_http_requests_total{{{_OURS}}}[$__rate_interval]))
                """,
                "{{job}}",
            ),
            unit="reqps",
            least=0,
        ),
        lines(
            "Memory",
            "Resident memory by program.",
            prom(f"sum by (job) (process_resident_memory_bytes{{{_OURS}}})", "{{job}}"),
            unit="bytes",
            least=0,
        ),
        lines(
            "Processor",
            "Cores in use by program. Trainings on one machine are processes of their own and not in it.",
            prom(
                f"sum by (job) (rate(process_cpu_seconds_total{{{_OURS}}}[$__rate_interval]))",
                "{{job}}",
            ),
            unit="short",
            least=0,
        ),
    ),
)
DISKS = Row(
    "Disks and database",
    (
        lines(
            "Free disk",
            "Share of each volume that is free. Dashed line: the alert fires under it.",
            prom(
                "min by (job, volume) (sentops_disk_free_bytes / sentops_disk_size_bytes)",
                "{{job}}: {{volume}}",
            ),
            unit="percentunit",
            least=0,
            most=1,
            thresholds=steps((None, "transparent"), (0.1, "red")),
        ),
        table(
            "Largest tables",
            "With their indexes; months of predictions together.",
            sql("""
                SELECT coalesce(parent.relname, c.relname) AS "Table", sum(pg_total_relation_size(c.oid))::float AS "Size",
                       sum(c.reltuples) FILTER (WHERE c.reltuples >= 0)::float AS "Rows, about"
                  FROM pg_class c
                  LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
                  LEFT JOIN pg_class parent ON parent.oid = i.inhparent
                 WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
                 GROUP BY 1
                 ORDER BY 2 DESC
                 LIMIT 15
                """),
            overrides=[on("Size", unit="bytes"), on("Rows, about", unit="short")],
            width=12,
        ),
        lines(
            "Age of the newest backup",
            "Where backups are made with `sentops backup`.",
            prom("time() - max(sentops_backup_last_success_timestamp_seconds)", "age"),
            prom("max(sentops:backup_age_limit_seconds)", LIMIT),
            unit="s",
            least=0,
            overrides=[AT_THE_LIMIT],
        ),
        lines(
            "Rows that the database refused",
            "Rows that it will never take, kept aside in the spool; and moves that failed for now.",
            prom(
                "sum(increase(sentops_web_database_refused_rows_total[$__rate_interval]))",
                "set aside",
            ),
            prom(
                "sum(increase(sentops_web_database_failures_total[$__rate_interval]))",
                "failed moves",
            ),
            unit="short",
            draw="bars",
            least=0,
        ),
    ),
)
LOOPS = Row(
    "Loops in the background",
    (
        lines(
            "A round of the monitor",
            "Average and slowest of its rounds, which count what is new and work out quality and drift.",
            prom(
                "sum(rate(sentops_monitor_round_seconds_sum[$__rate_interval])) / (sum(rate(sentops_monitor_round_seconds_count[$__rate_interval])) > 0)",
                "average",
            ),
            prom(
                "histogram_quantile(0.99, sum by (le) (rate(sentops_monitor_round_seconds_bucket[$__rate_interval])))",
                "99 of 100",
            ),
            unit="s",
            least=0,
            overrides=[on_all("^average$", custom_lineStyle=DOTTED)],
        ),
        lines(
            "Ten minutes that wait to be counted",
            "Many after a first start or a restore; it should go down round by round.",
            prom("max(sentops_monitor_tallies_due)", "waiting"),
            unit="short",
            least=0,
        ),
        lines(
            "Age of the quality figures",
            "Since the monitor last worked them out.",
            prom("time() - max(sentops_quality_snapshot_timestamp_seconds)", "age"),
            unit="s",
            least=0,
        ),
        lines(
            "Failures of the monitor",
            "By step of its rounds.",
            prom(
                "sum by (step) (increase(sentops_monitor_failures_total[$__rate_interval]))",
                "{{step}}",
            ),
            unit="short",
            draw="bars",
            least=0,
        ),
        lines(
            "Converges of the control plane",
            "Times a resource was brought a step nearer to its spec, each second, by how it ended; trainer and operator.",
            prom(
                "sum by (kind, outcome) (rate(sentops_converges_total[$__rate_interval]))",
                "{{kind}}: {{outcome}}",
            ),
            prom(
                "sum by (kind, outcome) (rate(sentops_operator_converges_total[$__rate_interval]))",
                "operator, {{kind}}: {{outcome}}",
            ),
            unit="cps",
            least=0,
        ),
        lines(
            "Behind in MLflow",
            "Trainings, versions and aliases that MLflow does not know as they are (profile tracking). Nothing else waits for it.",
            prom("max by (kind) (sentops_mlflow_behind)", "{{kind}}"),
            unit="short",
            least=0,
        ),
    ),
)
CLUSTER = Row(
    "In a cluster",
    (
        lines(
            "Queue of the operator",
            "Resources that wait for a worker.",
            prom("max(sentops_operator_queue_depth)", "waiting"),
            unit="short",
            least=0,
        ),
        lines(
            "Calls of the API server",
            "By the operator, each second, by answer; 0: none came.",
            prom(
                "sum by (code) (rate(sentops_operator_api_calls_total[$__rate_interval]))",
                "{{code}}",
            ),
            unit="reqps",
            least=0,
        ),
        lines(
            "A converge of the operator",
            "Within which time 95 of 100 ended.",
            prom(
                "histogram_quantile(0.95, sum by (le, kind) (rate(sentops_operator_converge_seconds_bucket[$__rate_interval])))",
                "{{kind}}",
            ),
            unit="s",
            least=0,
        ),
        lines(
            "Mirror of the custom resources",
            "Times the trainer wrote them into the tables, each second, by how it ended; dashboards and audit read those.",
            prom(
                "sum by (outcome) (rate(sentops_mirror_rounds_total[$__rate_interval]))",
                "{{outcome}}",
            ),
            unit="cps",
            least=0,
        ),
        lines(
            "Age of the mirror",
            "Since the trainer last wrote the custom resources into the tables. Over ten minutes: the alert fires.",
            prom("time() - max(sentops_mirror_last_round_timestamp_seconds)", "age"),
            unit="s",
            least=0,
            thresholds=steps((None, "transparent"), (600, "red")),
        ),
        lines(
            "Custom resources",
            "TrainingJobs and ModelVersions by phase, as the operator that leads sees them.",
            prom("max by (phase) (sentops_operator_training_jobs)", "TrainingJob {{phase}}"),
            prom("max by (phase) (sentops_operator_model_versions)", "ModelVersion {{phase}}"),
            unit="short",
            least=0,
        ),
        lines(
            "From a TrainingJob to its first Job",
            "Within which time half and 95 of 100 had one.",
            prom(
                "histogram_quantile(0.5, sum by (le) (rate(sentops_operator_apply_to_job_seconds_bucket[$__rate_interval])))",
                "half",
            ),
            prom(
                "histogram_quantile(0.95, sum by (le) (rate(sentops_operator_apply_to_job_seconds_bucket[$__rate_interval])))",
                "95 of 100",
            ),
            unit="s",
            least=0,
            overrides=[on_all("^half$", custom_lineStyle=DOTTED)],
        ),
        lines(
            "Operators that lead",
            "One of the replicas converges; the others wait to take over.",
            prom("sum(sentops_operator_is_leader)", "leaders"),
            unit="short",
            least=0,
        ),
    ),
)

DASHBOARD = dashboard(
    "platform",
    "Platform",
    "Programs, disks, queues, backups: what the rest stands on.",
    (NOW, PROGRAMS, DISKS, LOOPS, CLUSTER),
    since="now-24h",
    refresh="1m",
)
