"""Whether people get their answers: rate, errors and time of web and of the model servers, and where answers wait."""

from grafana.generator.panels import (
    AT_THE_LIMIT,
    DOTTED,
    LIMIT,
    Row,
    columns,
    figure,
    lines,
    on_all,
    prom,
    steps,
    table,
)
from grafana.generator.shared import MODEL, VERSION, dashboard

_WEB = 'job="web"'
_SHOWN = 'route!~"/health.*|/metrics"'

NOW = Row(
    "Now",
    (
        figure(
            "Serves since",
            "When the version that answers most began to, by the routing table.",
            prom("max(sentops_serving_since_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            width=6,
        ),
        figure(
            "No version live since",
            "While nothing is routed although something once answered, people get no answers.",
            prom("max(sentops_no_champion_since_timestamp_seconds) * 1000", now=True),
            unit="dateTimeFromNow",
            no_value="one is live, or none ever was",
            width=6,
        ),
        figure(
            "Requests",
            "To web, health checks left out.",
            prom(f"sum(rate(sentops_http_requests_total{{{_WEB}, {_SHOWN}}}[5m]))", now=True),
            unit="reqps",
            width=6,
            decimals=2,
        ),
        figure(
            "Errors",
            "Share of web's requests in the last five minutes that ended with 5xx. Over 5 %: the alert fires.",
            prom(
                f"""
                (sum(rate(sentops_http_requests_total{{{_WEB}, {_SHOWN}, status=~"5.."}}[5m]))
                 or 0 * sum(rate(sentops_http_requests_total{{{_WEB}, {_SHOWN}}}[5m])))
                / (sum(rate(sentops_http_requests_total{{{_WEB}, {_SHOWN}}}[5m])) > 0)
                """,
                now=True,
            ),
            unit="percentunit",
            width=6,
            decimals=2,
            thresholds=steps((None, "green"), (0.01, "orange"), (0.05, "red")),
        ),
        figure(
            "95 of 100 within",
            "Of the requests to /api/predict in the last five minutes.",
            prom(
                f"""
                histogram_quantile(0.95, sum by (le) (rate(sentops_http_request_duration_seconds_bucket{{{_WEB},
                route="/api/predict"}}[5m])))
                """,
                now=True,
            ),
            unit="s",
            width=6,
        ),
        figure(
            "Waiting for a worker",
            "Texts in the queues of the model servers at this moment.",
            prom("sum(sentops_model_queued_texts)", now=True),
            width=6,
        ),
        figure(
            "On disk, not yet in the database",
            "Rows in the spools of web. Nothing is lost while a spool has room.",
            prom("sum(sentops_web_spool_rows)", now=True),
            width=6,
        ),
        figure(
            "Routing last confirmed",
            "How long ago web heard from the trainer. It goes on with the routing it knows.",
            prom("max(sentops_web_routing_age_seconds)", now=True),
            unit="s",
            width=6,
            thresholds=steps((None, "green"), (60, "orange"), (300, "red")),
        ),
    ),
)
WEB = Row(
    "web",
    (
        lines(
            "Requests by status",
            "Each second, health checks left out.",
            prom(
                f"sum by (status) (rate(sentops_http_requests_total{{{_WEB}, {_SHOWN}}}[$__rate_interval]))",
                "{{status}}",
            ),
            unit="reqps",
            least=0,
        ),
        lines(
            "Time of /api/predict",
            "Within which time half, 95 and 99 of 100 requests were answered.",
            *(
                prom(
                    f"""
                    histogram_quantile({share}, sum by (le) (rate(sentops_http_request_duration_seconds_bucket{{{_WEB},
                    route="/api/predict"}}[$__rate_interval])))
                    """,
                    name,
                )
                for share, name in ((0.5, "half"), (0.95, "95 of 100"), (0.99, "99 of 100"))
            ),
            prom("max(sentops:latency_limit_seconds)", LIMIT),
            unit="s",
            least=0,
            overrides=[
                on_all("^half$", custom_lineStyle=DOTTED),
                on_all("^99 of 100$", custom_lineStyle={"fill": "dash", "dash": [2, 4]}),
                AT_THE_LIMIT,
            ],
        ),
        lines(
            "What the alerts on web compare",
            "Share of the requests of ten minutes that ended with 5xx, of every program.",
            prom(
                """
                max by (job) (sentops:http_errors:ratio_rate10m)
                or 0 * max by (job) (sentops:http_requests:rate10m > 0)
                """,
                "{{job}}",
            ),
            prom("max(sentops:error_ratio_limit)", LIMIT),
            unit="percentunit",
            least=0,
            overrides=[AT_THE_LIMIT],
        ),
        lines(
            "Time of ten minutes",
            "Within which time 95 of 100 questions of the last ten minutes were answered, through the page and the API.",
            prom("max(sentops:web_latency_seconds:p95_10m)", "95 of 100"),
            prom("max(sentops:latency_limit_seconds)", LIMIT),
            unit="s",
            least=0,
            overrides=[AT_THE_LIMIT],
        ),
        lines(
            "Time by route",
            "Within which time 95 of 100 requests were answered.",
            prom(
                f"""
                histogram_quantile(0.95, sum by (le, route) (rate(sentops_http_request_duration_seconds_bucket{{{_WEB},
                {_SHOWN}}}[$__rate_interval])))
                """,
                "{{route}}",
            ),
            unit="s",
            least=0,
        ),
        lines(
            "Answers by version",
            "Texts answered and recorded each second, by version and by which part of the traffic it had.",
            prom(
                """
                sum by (model_version, variant) (rate(sentops_web_predictions_total{model_version=~"$version"}[$__rate_interval]))
                """,
                "{{model_version}} ({{variant}})",
            ),
            unit="cps",
            least=0,
        ),
        lines(
            "Turned away",
            "Each second: because one client asked a lot (429), because the spool or the model's queue was full (503, 429), because the "
            "answer would have come too late.",
            prom(
                "sum(rate(sentops_web_rate_limited_total[$__rate_interval]))",
                "one client asked a lot",
            ),
            prom(
                "sum(rate(sentops_web_spool_refusals_total[$__rate_interval]))",
                "the spool was full",
            ),
            prom(
                "sum(rate(sentops_model_refused_texts_total[$__rate_interval]))",
                "the model's queue was full",
            ),
            prom(
                "sum(rate(sentops_model_late_texts_total[$__rate_interval]))",
                "no time was left for it",
            ),
            unit="reqps",
            least=0,
        ),
        lines(
            "Candidates and shadows",
            "Each second: requests that a failing candidate left to the champion, and texts shown to a shadow by what became of them.",
            prom(
                "sum(rate(sentops_web_fallbacks_total[$__rate_interval]))", "left to the champion"
            ),
            prom(
                "sum by (outcome) (rate(sentops_web_shadow_texts_total[$__rate_interval]))",
                "shadow: {{outcome}}",
            ),
            unit="cps",
            least=0,
        ),
    ),
)
MODEL_SERVERS = Row(
    "Model servers",
    (
        table(
            "What is served",
            "Version and digest in each slot of each model server: in a cluster one line for each.",
            prom(
                'max by (slot, model_version, digest, instance) (sentops_model_serving{model_version=~"$version"} == 1)',
                table=True,
            ),
            transformations=[
                columns(slot="Slot", model_version="Version", digest="Digest", instance="Where")
            ],
            height=6,
        ),
        lines(
            "Waiting and computing",
            "Within which time 95 of 100 texts were taken by a worker, and were scored.",
            prom(
                "histogram_quantile(0.95, sum by (le) (rate(sentops_model_queue_wait_seconds_bucket[$__rate_interval])))",
                "waiting",
            ),
            prom(
                "histogram_quantile(0.95, sum by (le) (rate(sentops_model_inference_seconds_bucket[$__rate_interval])))",
                "computing",
            ),
            unit="s",
            least=0,
            overrides=[on_all("^waiting$", custom_lineStyle=DOTTED)],
        ),
        lines(
            "Queue",
            "Texts that wait for a worker, by model server.",
            prom("sentops_model_queued_texts", "{{instance}}"),
            unit="short",
            least=0,
        ),
        lines(
            "Texts by label",
            "Texts scored each second, by slot and label.",
            prom(
                "sum by (slot, label) (rate(sentops_model_predictions_total[$__rate_interval]))",
                "{{slot}} {{label}}",
            ),
            unit="cps",
            least=0,
        ),
        lines(
            "Texts by path",
            "Of the texts scored, the share that the small student answered (fast), and that the full model did. A version without a "
            "student only has the full model.",
            prom(
                """
                sum by (slot, path) (rate(sentops_model_predictions_total[$__rate_interval]))
                / ignoring (path) group_left sum by (slot) (rate(sentops_model_predictions_total[$__rate_interval]))
                """,
                "{{slot}} {{path}}",
            ),
            unit="percentunit",
            least=0,
            most=1,
        ),
        lines(
            "Known answers",
            "Share of the texts whose answer was kept from an earlier time, and given again.",
            prom(
                """
                sum(rate(sentops_model_answer_cache_hits_total[$__rate_interval]))
                / (sum(rate(sentops_model_answer_cache_hits_total[$__rate_interval]))
                + sum(rate(sentops_model_answer_cache_misses_total[$__rate_interval])))
                """,
                "known",
            ),
            unit="percentunit",
            least=0,
            most=1,
        ),
        lines(
            "Texts per request",
            "Within which size half and 95 of 100 requests were.",
            prom(
                "histogram_quantile(0.5, sum by (le) (rate(sentops_model_request_texts_bucket[$__rate_interval])))",
                "half",
            ),
            prom(
                "histogram_quantile(0.95, sum by (le) (rate(sentops_model_request_texts_bucket[$__rate_interval])))",
                "95 of 100",
            ),
            unit="short",
            least=0,
            overrides=[on_all("^half$", custom_lineStyle=DOTTED)],
        ),
        lines(
            "Cut off and dropped",
            "Texts each second that were longer than the model reads, and that were not scored since their client had left.",
            prom("sum(rate(sentops_model_truncated_texts_total[$__rate_interval]))", "too long"),
            prom(
                "sum(rate(sentops_model_dropped_texts_total[$__rate_interval]))", "client had left"
            ),
            unit="cps",
            least=0,
        ),
        lines(
            "Changes of version",
            "Attempts to load a version into a slot, by how they ended.",
            prom(
                "sum by (slot, outcome) (increase(sentops_model_slot_changes_total[$__rate_interval]))",
                "{{slot}}: {{outcome}}",
            ),
            unit="short",
            draw="bars",
            least=0,
        ),
        lines(
            "Time to load a version",
            "Average time to fetch, load and verify an artefact.",
            prom(
                "sum(rate(sentops_model_load_seconds_sum[$__rate_interval])) / (sum(rate(sentops_model_load_seconds_count[$__rate_interval])) > 0)",
                "loading",
            ),
            unit="s",
            least=0,
        ),
    ),
)
SPOOL = Row(
    "On the way to the database",
    (
        lines(
            "Spool",
            "Rows on disk that are not yet in the database, by replica of web.",
            prom("sentops_web_spool_rows", "{{instance}}"),
            unit="short",
            least=0,
        ),
        lines(
            "Oldest row",
            "How long it waits. Over five minutes: the alert fires.",
            prom("sentops_web_spool_oldest_age_seconds", "{{instance}}"),
            unit="s",
            least=0,
            thresholds=steps((None, "transparent"), (300, "red")),
        ),
        lines(
            "Rows to the database",
            "Moved each second, by kind; and moves that failed and will be tried again.",
            prom(
                "sum by (kind) (rate(sentops_web_database_rows_total[$__rate_interval]))",
                "{{kind}}",
            ),
            prom(
                "sum(rate(sentops_web_database_failures_total[$__rate_interval]))", "failed moves"
            ),
            unit="cps",
            least=0,
            overrides=[on_all("^failed moves$", custom_lineStyle=DOTTED)],
        ),
        lines(
            "How full the spool is",
            "By replica of web. Dashed line: the alert fires over it. Full, web refuses requests.",
            prom("sentops_web_spool_filled_ratio", "{{instance}}"),
            unit="percentunit",
            least=0,
            most=1,
            thresholds=steps((None, "transparent"), (0.5, "red")),
        ),
        lines(
            "Size of the spool",
            "Bytes on disk, by replica of web.",
            prom("sentops_web_spool_bytes", "{{instance}}"),
            unit="bytes",
            least=0,
        ),
        lines(
            "Routing in use",
            "Revision of the routing by replica of web; replicas that differ for more than some seconds do not hear the trainer.",
            prom("sentops_web_routing_revision", "{{instance}}"),
            unit="none",
        ),
    ),
)

DASHBOARD = dashboard(
    "serving",
    "Serving",
    "Whether people get their answers: rate, errors and time, and where answers wait.",
    (NOW, WEB, MODEL_SERVERS, SPOOL),
    variables=(MODEL, VERSION),
    since="now-6h",
    refresh="30s",
    see="versions",
)
