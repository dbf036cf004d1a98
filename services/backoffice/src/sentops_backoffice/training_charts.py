"""The pictures of one training: how its loss fell, how well it did after each epoch."""

from collections.abc import Callable

from babel.numbers import format_decimal

from sentops_backoffice.charts import LineChart, Series, line_chart
from sentops_backoffice.formats import Formats
from sentops_backoffice.trainings import JobPage
from sentops_core.domain.learning_curve import CurvePoint
from sentops_core.http.i18n import Words


def curve_charts(shown: JobPage, words: Words, formats: Formats) -> list[tuple[str, LineChart]]:
    """(title, chart) for whatever there is to draw."""
    say: Callable[[float], str] = formats.decimal
    epoch = words("training.epoch")

    def chart(points: list[CurvePoint], *names: str) -> LineChart:
        return line_chart(
            [format_decimal(one.epoch, "0.##", locale=words.language) for one in points],
            [
                Series(words(f"training.curve.{name}"), [one.values.get(name) for one in points])
                for name in names
                if any(name in one.values for one in points)
            ],
            x_name=epoch,
            say=say,
        )

    found = []
    losses = [one for one in shown.curve if "loss" in one.values]
    if losses:
        found.append((words("training.chart.loss"), chart(losses, "loss")))
    judged = [one for one in shown.curve if "eval_macro_f1" in one.values]
    if judged:
        scores = chart(judged, "eval_macro_f1", "eval_accuracy")
        found.append((words("training.chart.scores"), scores))
    validated = _with_training_loss(shown.curve)
    if validated:
        found.append((words("training.chart.losses"), chart(validated, "loss", "eval_loss")))
    if shown.strengths:
        strengths = line_chart(
            [f"{one['strength']:g}" for one in shown.strengths],
            [
                Series(
                    words("training.curve.macro_f1"), [one["macro_f1"] for one in shown.strengths]
                )
            ],
            x_name=words("training.strength"),
            say=say,
        )
        found.append((words("training.chart.strengths"), strengths))
    return found


def _with_training_loss(curve: tuple[CurvePoint, ...]) -> list[CurvePoint]:
    """The points with a validation loss, beside the training loss of that time: apart, the model learns by heart."""
    found, loss = [], None
    for point in curve:
        loss = point.values.get("loss", loss)
        if "eval_loss" in point.values:
            values = {"eval_loss": point.values["eval_loss"]}
            found.append(CurvePoint(point.epoch, values | ({"loss": loss} if loss else {})))
    return found
