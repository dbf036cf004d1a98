"""How good each version is, by votes and without them, and whether texts and answers have changed since its training."""

from collections.abc import Mapping

from grafana.generator.panels import (
    AT_THE_LIMIT,
    DOTTED,
    ENDS,
    LIMIT,
    Panel,
    Row,
    bars,
    columns,
    lines,
    on,
    on_all,
    prom,
    sql,
    steps,
    table,
    words,
)
from grafana.generator.shared import LANGUAGE, MODEL, VERSION, dashboard, window

_FEATURES = words(
    {
        "length": "length of the texts",
        "language": "language",
        "words": "words",
        "unseen_words": "words unknown to it",
        "labels": "labels answered",
        "confidence": "confidence",
    }
)


def _over_time(figure: str, *, beside: Mapping[str, str]) -> str:
    """A figure with the ends of its interval, one series each; `beside`: others in the same picture, by their word."""
    other = "".join(f", (' {word}', q.{column})" for word, column in beside.items())
    return f"""
        SELECT q.hour AS time, q.model_version || part.suffix AS metric, part.value
          FROM quality_figures q
         CROSS JOIN LATERAL (VALUES ('', q.{figure}), (' low', q.{figure}_low), (' high', q.{figure}_high){other})
               AS part (suffix, value)
         WHERE $__timeFilter(q.hour)
           AND q.model_version = ANY (ARRAY[$version]::text[])
           AND q.time_window = '$window'
           AND q.language = '$language'
           AND part.value IS NOT NULL
         ORDER BY 1, 2
        """  # noqa: S608 - column names of ours


def _course(title: str, description: str, figure: str, **beside: str) -> Panel:
    dotted = [on_all(f" {word}$", custom_lineStyle=DOTTED) for word in beside]
    return lines(
        title,
        f"{description} Dashed: the ends of the 95 % interval. A line ends where nothing was known.",
        sql(_over_time(figure, beside=beside), series=True),
        unit="percentunit",
        least=0 if figure == "calibration_error" else None,
        most=None if figure == "calibration_error" else 1,
        gap_hours=3,
        overrides=[ENDS, *dotted],
    )


def _of_a_class(metric: str, word: str) -> Panel:
    return lines(
        f"{word} by label",
        f"{word} of each label by votes, as the monitor says it now and said it before; from Prometheus, since there the "
        "ends are known at any moment.",
        prom(
            f"""
            sentops_quality_class_{metric}_ratio{{version=~"$version", window="$window", language="$language"}}
            """,
            "{{version}} {{label}}",
        ),
        unit="percentunit",
        least=0,
        most=1,
    )


def _now(metric: str) -> str:
    return f'{metric}{{version=~"$version", window="$window", language="$language"}}'


_NEWEST = """
SELECT q.model_version AS "Version", q.answers AS "Answers", q.votes AS "Votes",
       q.accuracy AS "Accuracy", q.accuracy_low AS "Accuracy, low", q.accuracy_high AS "Accuracy, high",
       q.macro_f1 AS "Macro F1", q.macro_f1_low AS "Macro F1, low", q.macro_f1_high AS "Macro F1, high",
       q.calibration_error AS "Calibration error", q.estimated_accuracy AS "Estimated accuracy",
       q.estimate_refused AS "Why no estimate", q.taken_at AS "As of"
  FROM quality_figures q
  JOIN model_versions v ON v.name = q.model_version
 WHERE q.model_version = ANY (ARRAY[$version]::text[])
   AND q.time_window = '$window'
   AND q.language = '$language'
   AND q.hour = (SELECT max(hour) FROM quality_figures
                  WHERE model_version = q.model_version AND time_window = q.time_window AND language = q.language
                    AND $__timeFilter(hour))
 ORDER BY v.version DESC
"""
_CLASSES = """
SELECT q.model_version AS "Version", class.key AS "Label",
       (class.value ->> 'precision')::float AS "Precision", (class.value ->> 'precision_low')::float AS "Precision, low",
       (class.value ->> 'precision_high')::float AS "Precision, high",
       (class.value ->> 'recall')::float AS "Recall", (class.value ->> 'recall_low')::float AS "Recall, low",
       (class.value ->> 'recall_high')::float AS "Recall, high",
       q.taken_at AS "As of"
  FROM quality_figures q
 CROSS JOIN LATERAL jsonb_each(q.classes) AS class
 WHERE q.model_version = ANY (ARRAY[$version]::text[])
   AND q.time_window = '$window'
   AND q.language = '$language'
   AND q.hour = (SELECT max(hour) FROM quality_figures
                  WHERE model_version = q.model_version AND time_window = q.time_window AND language = q.language
                    AND $__timeFilter(hour))
 ORDER BY 1 DESC, 2
"""
# Twentieths of the confidence, of all versions that are chosen together.
_BINS = """
WITH counted AS (
    SELECT bin.number, sum(bin.answers::bigint) AS answers
      FROM answer_tallies a
     CROSS JOIN LATERAL jsonb_each(a.confidences) AS label
     CROSS JOIN LATERAL jsonb_array_elements_text(label.value) WITH ORDINALITY AS bin (answers, number)
     WHERE $__timeFilter(a.bucket)
       AND a.model_version = ANY (ARRAY[$version]::text[])
       AND ('$language' = 'all' OR a.language = '$language')
     GROUP BY bin.number
)
SELECT (number - 1) * 5 || '-' || number * 5 || ' %' AS "Confidence",
       (answers / nullif(sum(answers) OVER (), 0))::float AS "Share of the answers"
  FROM counted
 WHERE number > (SELECT coalesce(min(number), 0) - 1 FROM counted WHERE answers > 0)
 ORDER BY number
"""
_RELIABILITY = """
WITH counted AS (
    SELECT bin.number, sum(bin.votes::bigint) AS votes,
           sum((t.agreed -> label.key ->> (bin.number - 1)::int)::bigint) AS agreed,
           sum((t.scores -> label.key ->> (bin.number - 1)::int)::bigint) AS millionths
      FROM vote_tallies t
     CROSS JOIN LATERAL jsonb_each(t.voted) AS label
     CROSS JOIN LATERAL jsonb_array_elements_text(label.value) WITH ORDINALITY AS bin (votes, number)
     WHERE $__timeFilter(t.bucket)
       AND t.model_version = ANY (ARRAY[$version]::text[])
       AND ('$language' = 'all' OR t.language = '$language')
     GROUP BY bin.number
)
SELECT (number - 1) * 5 || '-' || number * 5 || ' % (' || votes || ' votes)' AS "Confidence",
       (agreed / votes)::float AS "Right by votes", (millionths / 1000000 / votes)::float AS "As sure as it was"
  FROM counted
 WHERE votes > 0
 ORDER BY number
"""
_CONFUSION = """
SELECT meant.key AS "People meant", answered.key AS "The version answered", sum(answered.value::bigint) AS "Votes",
       (sum(answered.value::bigint) / sum(sum(answered.value::bigint)) OVER (PARTITION BY meant.key))::float AS "Share"
  FROM vote_tallies t
 CROSS JOIN LATERAL jsonb_each(t.confusion) AS meant
 CROSS JOIN LATERAL jsonb_each_text(meant.value) AS answered
 WHERE $__timeFilter(t.bucket)
   AND t.model_version = ANY (ARRAY[$version]::text[])
   AND ('$language' = 'all' OR t.language = '$language')
 GROUP BY meant.key, answered.key
HAVING sum(answered.value::bigint) > 0
 ORDER BY 1, 3 DESC
"""
# From the votes, which are few, to the answers, so it costs the same however many answers there are.
_PATHS = """
SELECT p.model_version AS "Version", CASE p.path WHEN 'fast' THEN 'fast path' ELSE 'full model' END AS "Answered by",
       count(*) AS "Votes", avg((v.label = p.label)::int)::float AS "Accuracy", avg(p.score)::float AS "As sure as it was"
  FROM counted_votes v
  JOIN predictions p ON p.created_at = v.predicted_at AND p.id = v.prediction_id
 WHERE $__timeFilter(v.predicted_at)
   AND $__timeFilter(p.created_at)
   AND p.model_version = ANY (ARRAY[$version]::text[])
   AND ('$language' = 'all' OR p.language = '$language')
   AND p.path IS NOT NULL
 GROUP BY 1, 2
 ORDER BY 1 DESC, 2
"""
_LABELS = """
SELECT $__timeGroup(a.bucket, $__interval) AS time, label.key AS metric, sum(label.value::bigint) AS value
  FROM answer_tallies a
 CROSS JOIN LATERAL jsonb_each_text(a.labels) AS label
 WHERE $__timeFilter(a.bucket)
   AND a.model_version = ANY (ARRAY[$version]::text[])
   AND ('$language' = 'all' OR a.language = '$language')
 GROUP BY 1, 2
 ORDER BY 1, 2
"""
_LANGUAGES = """
SELECT $__timeGroup(a.bucket, $__interval) AS time, a.language AS metric, sum(a.answers) AS value
  FROM answer_tallies a
 WHERE $__timeFilter(a.bucket)
   AND a.model_version = ANY (ARRAY[$version]::text[])
 GROUP BY 1, 2
 ORDER BY 1, 2
"""
_DRIFT = """
SELECT d.model_version AS "Version", d.feature AS "Feature", d.distance AS "Distance",
       d.p_value AS "p", d.adjusted_p_value AS "Adjusted p",
       d.samples AS "Samples", d.reference_samples AS "In the reference",
       CASE WHEN d.drifted THEN 'drifted' ELSE 'as in training' END AS "Verdict", d.taken_at AS "As of"
  FROM drift_figures d
 WHERE d.model_version = ANY (ARRAY[$version]::text[])
   AND d.time_window = '$window'
   AND d.hour = (SELECT max(hour) FROM drift_figures
                  WHERE model_version = d.model_version AND time_window = d.time_window AND $__timeFilter(hour))
 ORDER BY 1 DESC, d.distance DESC
"""
_DISTANCE = """
SELECT d.hour AS time, d.model_version || ' ' || d.feature AS metric, d.distance AS value
  FROM drift_figures d
 WHERE $__timeFilter(d.hour)
   AND d.model_version = ANY (ARRAY[$version]::text[])
   AND d.time_window = '$window'
 ORDER BY 1, 2
"""
_SHARES = [
    on_all(
        "^(Accuracy|Macro F1|Precision|Recall|Calibration error|Estimated accuracy|Share)",
        unit="percentunit",
        decimals=1,
    )
]

BY_VOTES = Row(
    "By votes",
    (
        table(
            "Newest figures of each version",
            "An empty cell is something that is not known: too few votes, or an estimate that is not to be trusted.",
            sql(_NEWEST),
            overrides=_SHARES,
            height=7,
        ),
        _course(
            "Accuracy",
            "Share of the votes that agree with the answer. Dotted: estimated from the confidence alone, without votes.",
            "accuracy",
            estimated="estimated_accuracy",
        ),
        table(
            "By path",
            "What people say of the answers of the fast path and of those of the full model. Texts that the fast path takes are easier, "
            "so the two are not a contest: its accuracy ought to be the higher one.",
            sql(_PATHS),
            overrides=[on_all("^(Accuracy|As sure as it was)$", unit="percentunit", decimals=1)],
            height=6,
        ),
        _course(
            "Macro F1",
            "The labels' F1, each label counting the same however rare it is.",
            "macro_f1",
        ),
        _course(
            "Calibration error",
            "How far confidence and being right lie apart, over all confidences (expected calibration error).",
            "calibration_error",
        ),
        lines(
            "Quality now, by the monitor's metrics",
            "The same figures as Prometheus knows them, in the chosen window. Dashed: the ends of the 95 % interval.",
            prom(_now("sentops_feedback_accuracy_ratio"), "{{version}} accuracy"),
            prom(_now("sentops_feedback_accuracy_low_ratio"), "{{version}} accuracy low"),
            prom(_now("sentops_feedback_accuracy_high_ratio"), "{{version}} accuracy high"),
            prom(_now("sentops_quality_macro_f1_ratio"), "{{version}} macro F1"),
            prom(_now("sentops_estimated_accuracy_ratio"), "{{version}} estimated"),
            unit="percentunit",
            most=1,
            overrides=[
                ENDS,
                on_all(" macro F1$", custom_lineStyle={"fill": "dash", "dash": [10, 6]}),
                on_all(" estimated$", custom_lineStyle=DOTTED),
            ],
        ),
        lines(
            "What the quality alerts compare",
            "Of the version that serves, the upper end of its accuracy (a day, or a week where a day has too few votes); with the "
            "floor, and with the lower end of the version before it. Surely too low: the alert fires.",
            prom("max by (version) (sentops:quality_high_ratio)", "{{version}}, at best"),
            prom(
                "max by (version) (sentops:previous_quality_low_ratio)",
                "{{version}} before, at worst",
            ),
            prom("max(sentops:quality_floor)", LIMIT),
            unit="percentunit",
            most=1,
            overrides=[AT_THE_LIMIT, on_all(" before, at worst$", custom_lineStyle=DOTTED)],
        ),
        lines(
            "Votes on the answers of a day",
            "As many as it takes, and the accuracy of a day alone is compared.",
            prom(
                'sentops_feedback_votes{version=~"$version", window="24h", language="$language"}',
                "{{version}}",
            ),
            prom("max(sentops:quality_votes_minimum)", LIMIT),
            unit="short",
            least=0,
            overrides=[AT_THE_LIMIT],
        ),
    ),
)
LABELS = Row(
    "Label by label",
    (
        table(
            "Precision and recall",
            "By votes, with the ends of their 95 % intervals.",
            sql(_CLASSES),
            overrides=_SHARES,
            width=24,
            height=7,
        ),
        _of_a_class("precision", "Precision"),
        _of_a_class("recall", "Recall"),
        table(
            "What people meant, what was answered",
            "Votes of the chosen time, by the time of the answer. Rows where both are equal are right answers.",
            sql(_CONFUSION),
            overrides=_SHARES,
            width=12,
        ),
        bars(
            "Right answers by confidence",
            "Where the bars of a group differ, the confidence misleads: lower than it claims is too sure of itself.",
            sql(_RELIABILITY),
            along="Confidence",
            unit="percentunit",
            most=1,
            width=12,
        ),
    ),
)
ANSWERS = Row(
    "Answers",
    (
        lines(
            "Labels answered",
            "The mix of the answers; it should follow the texts, not the version.",
            sql(_LABELS, series=True),
            unit="short",
            draw="bars",
            least_interval="10m",
            stacked="percent",
        ),
        lines(
            "Languages",
            "Answers by recognised language of the text; 'unknown' where none was recognised.",
            sql(_LANGUAGES, series=True),
            unit="short",
            draw="bars",
            least_interval="10m",
            stacked="percent",
        ),
        bars(
            "Confidence of the answers",
            "Many answers far from 100 % are texts that the version is unsure of: those go first into the labelling queue.",
            sql(_BINS),
            along="Confidence",
            unit="percentunit",
            width=24,
            height=7,
        ),
    ),
)
DRIFT = Row(
    "Drift",
    (
        table(
            "Drift by feature",
            "The chosen window compared with what the version was trained on. Drifted: more than chance would do, far enough to "
            "matter, and enough of it to tell.",
            sql(_DRIFT),
            overrides=[
                on("Feature", mappings=_FEATURES),
                on("Distance", decimals=3),
                on("p", unit="sci", decimals=2),
                on("Adjusted p", unit="sci", decimals=2),
                on(
                    "Verdict",
                    mappings=words(
                        {"drifted": ("▲ drifted", "orange"), "as in training": "as in training"}
                    ),
                    custom_cellOptions={"type": "color-text"},
                ),
            ],
        ),
        lines(
            "Distance from the training",
            "Jensen-Shannon distance, 0 (the same) to 1 (nothing in common). Dashed line: from there on it matters.",
            sql(_DISTANCE, series=True),
            unit="short",
            least=0,
            most=1,
            gap_hours=3,
            thresholds=steps((None, "transparent"), (0.1, "orange")),
        ),
        table(
            "Drift now, by the monitor's metrics",
            "What the alert is about: features that have drifted in the chosen window at this moment.",
            prom(
                'sentops_drift_distance_ratio{version=~"$version", window="$window"}'
                " and on (version, window, feature) sentops_drift_detected == 1",
                table=True,
            ),
            transformations=[columns(version="Version", feature="Feature", Value="Distance")],
            overrides=[on("Feature", mappings=_FEATURES), on("Distance", decimals=3)],
            no_value="nothing has drifted, or nothing is known",
            width=12,
        ),
    ),
)

DASHBOARD = dashboard(
    "model-quality",
    "Model quality",
    "How good each version is, by votes and without them, and whether texts and answers have changed since its training.",
    (BY_VOTES, LABELS, ANSWERS, DRIFT),
    variables=(MODEL, VERSION, window("7d"), LANGUAGE),
    since="now-7d",
    refresh="5m",
    see="versions",
)
