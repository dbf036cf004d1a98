"""The form of a retraining policy: what people typed turned into its spec, and a spec into what stands in the form."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sentops_backoffice.form_reading import Bounds, FilledIn, Mistake
from sentops_backoffice.training_form import NAMED_BASES, OTHER_BASE, OTHERS, TrainingReading
from sentops_core.domain.base import INT32_MAX
from sentops_core.domain.fast_path import FastPathMode
from sentops_core.domain.resources import (
    Method,
    PromotionMode,
    QualityMetric,
    RetrainPolicySpec,
    ScheduleTrigger,
    TimeWindow,
)
from sentops_core.domain.resources.retrain_policy import MOST_TRAININGS_PER_DAY

TRIGGERS = ("new_labels", "quality", "drift", "schedule")
_HOUR = 3600
_COUNT = Bounds(1, INT32_MAX)
_BOUNDS = {
    "new_labels_min": _COUNT,
    "quality_floor": Bounds(0, 1, whole=False, above=True),
    "quality_min_votes": _COUNT,
    "drift_windows": Bounds(1, 14),
    "cooldown_hours": Bounds(0, 8760, whole=False),
    "max_per_day": Bounds(1, MOST_TRAININGS_PER_DAY),
    "min_new_labels": Bounds(0, INT32_MAX),
    "gate_macro_f1": OTHERS["gate_macro_f1"],
    "gate_drop": OTHERS["gate_drop"],
}
# What stands in the form of a new one: it only says what it would do, until somebody has seen it say so.
SUGGESTED = {
    "mode": "dry_run",
    "on_new_labels": "on",
    "on_quality": "on",
    "new_labels_min": "200",
    "quality_metric": QualityMetric.ACCURACY.value,
    "quality_floor": "0.75",
    "quality_window": TimeWindow.WEEK.value,
    "quality_min_votes": "100",
    "drift_window": TimeWindow.DAY.value,
    "drift_windows": "2",
    "cron": "0 3 * * SUN",
    "time_zone": "Etc/UTC",
    "cooldown_hours": "6",
    "max_per_day": "2",
    "min_new_labels": "20",
    "method": Method.FINE_TUNE.value,
    "base": NAMED_BASES[0],
    "promotion": PromotionMode.AUTO.value,
    "fast_path": FastPathMode.AUTO.value,
}


def fields_of(spec: RetrainPolicySpec) -> dict[str, str]:
    """As it would have been typed; of triggers that are off, what is suggested."""
    triggers, guards, template = spec.triggers, spec.guards, spec.template
    fields = {name: text for name, text in SUGGESTED.items() if not name.startswith("on_")}
    fields["mode"] = "dry_run" if spec.dry_run else "real"
    if triggers.new_labels is not None:
        fields |= {"on_new_labels": "on", "new_labels_min": str(triggers.new_labels.min)}
    if (quality := triggers.quality) is not None:
        fields |= {
            "on_quality": "on",
            "quality_metric": quality.metric.value,
            "quality_floor": quality.floor,
            "quality_window": quality.window.value,
            "quality_min_votes": str(quality.min_votes),
        }
    if (drift := triggers.drift) is not None:
        fields |= {
            "on_drift": "on",
            "drift_window": drift.window.value,
            "drift_windows": str(drift.windows),
        }
    if (schedule := triggers.schedule) is not None:
        fields |= {"on_schedule": "on", "cron": schedule.cron, "time_zone": schedule.time_zone}
    fields |= {
        "cooldown_hours": _plain(guards.cooldown_seconds / _HOUR),
        "max_per_day": str(guards.max_per_day),
        "min_new_labels": str(guards.min_new_labels),
        "method": template.trainer.method.value,
        "promotion": template.promotion.mode.value,
        "fast_path": template.fast_path.value,
    }
    base = template.base_model.storage_uri.removeprefix("named://")
    fields |= {"base": base} if base in NAMED_BASES else {"base": OTHER_BASE, "base_uri": base}
    macro_f1 = next((one for one in template.gate.metrics if one.name == "macro_f1"), None)
    if macro_f1 is not None:
        fields |= {
            "gate_macro_f1": macro_f1.min or "",
            "gate_drop": macro_f1.max_drop_vs_champion or "",
        }
    return fields


def read_policy_form(
    fields: Mapping[str, str], *, model_name: str, before: RetrainPolicySpec | None = None
) -> FilledIn:
    """The spec as the API takes it. What the form does not show stays as it was `before`."""
    given = {name: value.strip() for name, value in fields.items() if value.strip()}
    reading = _Reading(given)
    spec: dict[str, Any] = before.to_document() if before else {"modelName": model_name}
    if before is None:
        reading.required_name()
    spec["dryRun"] = given.get("mode") != "real"
    old = spec.get("triggers", {})
    chosen = {
        "newLabels": reading.new_labels(),
        "quality": reading.quality(),
        "drift": reading.drift(),
        "schedule": reading.schedule(old.get("schedule") or {}),
    }
    spec["triggers"] = {name: one for name, one in chosen.items() if one is not None}
    if not any(f"on_{name}" in given for name in TRIGGERS):
        reading.mistakes["on_new_labels"] = Mistake("no_trigger")
    spec["guards"] = reading.guards()
    spec["template"] = reading.template(spec.get("template", {}))
    return FilledIn(spec, reading.mistakes)


class _Reading(TrainingReading):
    def required_name(self) -> None:
        if self.name() is None:
            self.mistakes["name"] = Mistake("name")

    def needed(self, name: str) -> str:
        """A number that must be there; whatever stands for it when it is not is never sent."""
        if name not in self.given:
            self.mistakes[name] = Mistake("needed")
        return self.number(name, _BOUNDS[name]) or "0"

    def new_labels(self) -> dict[str, Any] | None:
        if "on_new_labels" not in self.given:
            return None
        return {"min": int(self.needed("new_labels_min"))}

    def quality(self) -> dict[str, Any] | None:
        if "on_quality" not in self.given:
            return None
        return {
            "metric": self.choice("quality_metric", QualityMetric, QualityMetric.ACCURACY).value,
            "floor": self.needed("quality_floor"),
            "window": self.choice("quality_window", TimeWindow, TimeWindow.WEEK).value,
            "minVotes": int(self.needed("quality_min_votes")),
        }

    def drift(self) -> dict[str, Any] | None:
        if "on_drift" not in self.given:
            return None
        return {
            "window": self.choice("drift_window", TimeWindow, TimeWindow.DAY).value,
            "windows": int(self.needed("drift_windows")),
        }

    def schedule(self, before: Mapping[str, Any]) -> dict[str, Any] | None:
        if "on_schedule" not in self.given:
            return None
        zone = self.given.get("time_zone", "Etc/UTC")
        found = {**before, "cron": self.given.get("cron", ""), "timeZone": zone}
        try:
            ScheduleTrigger.model_validate(found)
        except ValidationError as error:
            for one in error.errors():
                field = "time_zone" if "timeZone" in one["loc"] else "cron"
                self.mistakes[field] = Mistake(field)
        return found

    def guards(self) -> dict[str, Any]:
        return {
            "cooldownSeconds": round(float(self.needed("cooldown_hours")) * _HOUR),
            "maxPerDay": int(self.needed("max_per_day")),
            "minNewLabels": int(self.needed("min_new_labels")),
        }

    def template(self, before: Mapping[str, Any]) -> dict[str, Any]:
        method = self.choice("method", Method, Method.FINE_TUNE)
        promotion = self.choice("promotion", PromotionMode, PromotionMode.AUTO)
        base = self.base() or NAMED_BASES[0]
        address = f"named://{base}" if base in NAMED_BASES else base
        base_model = {**before.get("baseModel", {}), "storageUri": address}
        found = {
            **before,
            "baseModel": base_model,
            "trainer": {**before.get("trainer", {}), "method": method.value},
            "promotion": {**before.get("promotion", {}), "mode": promotion.value},
            "fastPath": self.fast_path() or FastPathMode.AUTO.value,
        }
        return found | {"gate": self.least_quality(before.get("gate", {}))}

    def least_quality(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """The gate with these limits on macro-F1; left empty, both are what they are without a word."""
        least = self.number("gate_macro_f1", _BOUNDS["gate_macro_f1"])
        drop = self.number("gate_drop", _BOUNDS["gate_drop"])
        limits = {"min": least, "maxDropVsChampion": drop}
        given = {name: value for name, value in limits.items() if value is not None}
        metrics = before.get("metrics", [{"name": "macro_f1"}])
        others = [one for one in metrics if one["name"] != "macro_f1"]
        if given or len(others) < len(metrics):
            others = [{"name": "macro_f1", **given}, *others]
        return {**before, "metrics": others}


def _plain(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")
