"""The form that starts a training: what people typed turned into the API's body, each mistake at its field."""

import re
from collections.abc import Mapping
from typing import Any

from sentops_backoffice.form_reading import Bounds, FilledIn, Mistake, Reading
from sentops_core.domain.base import INT32_MAX, BaseModelUri, ResourceName
from sentops_core.domain.fast_path import FastPathMode
from sentops_core.domain.resources import Method, PromotionMode

NAMED_BASES = ("multilingual-small", "english-small")
OTHER_BASE = "other"
AT_ONCE, IN_STEPS = "at_once", "in_steps"
_LONGEST_TEXT, _MOST_EXAMPLES = 2000, 100
_STEPS: list[dict[str, int | bool]] = [
    {"setWeight": 10},
    {"pauseSeconds": 3600},
    {"analysis": True},
    {"setWeight": 50},
    {"analysis": True},
]
HYPERPARAMETERS = {
    "epochs": Bounds(1, 100),
    "learning_rate": Bounds(0, 0.01, whole=False, above=True),
    "batch_size": Bounds(1, 1024),
    "max_length": Bounds(8, 512),
    "weight_decay": Bounds(0, 1, whole=False),
    "warmup_ratio": Bounds(0, 0.5, whole=False),
    "early_stopping_patience": Bounds(1, 20),
    "seed": Bounds(0, INT32_MAX),
}
# What the quick method has no use for; as domain.resources.unused_hyperparameters refuses it.
ONLY_FINE_TUNE = tuple(name for name in HYPERPARAMETERS if name not in {"max_length", "seed"})
_SHARE = Bounds(0, 1, whole=False)
OTHERS = {
    "gate_rows": Bounds(1, INT32_MAX),
    "gate_macro_f1": _SHARE,
    "gate_drop": _SHARE,
    "gate_accuracy": _SHARE,
    "gate_recall": _SHARE,
    "shadow_minutes": Bounds(0, 20_160),
    "min_votes": Bounds(1, INT32_MAX),
}


def read_training_form(fields: Mapping[str, str]) -> FilledIn:
    """What was left empty is left out, so that the method's defaults count."""
    given = {name: value.strip() for name, value in fields.items() if value.strip()}
    reading = TrainingReading(given)
    method = reading.choice("method", Method, Method.FINE_TUNE)
    if method is Method.LINEAR:
        for name in ONLY_FINE_TUNE:
            if name in given:
                reading.mistakes[name] = Mistake("unused")
    body: dict[str, Any] = {"dataset_id": given.get("dataset_id"), "method": None}
    if "method" in given:
        body["method"] = method.value
    body["name"] = reading.name()
    body["base"] = reading.base()
    body["hyperparameters"] = reading.hyperparameters()
    body["fast_path"] = reading.fast_path()
    body["gate"] = reading.gate()
    body["promotion"] = reading.promotion()
    return FilledIn({name: value for name, value in body.items() if value}, reading.mistakes)


class TrainingReading(Reading):
    """Fields of how to train, which a retraining policy has as well."""

    def name(self) -> str | None:
        return self.checked("name", self.given.get("name"), ResourceName)

    def base(self) -> str | None:
        chosen = self.given.get("base")
        if chosen != OTHER_BASE:
            if chosen is not None and chosen not in NAMED_BASES:
                self.mistakes["base"] = Mistake("choice")
            return chosen
        address = self.given.get("base_uri")
        if address is None:
            self.mistakes["base_uri"] = Mistake("base")
            return None
        return self.checked("base_uri", address, BaseModelUri, "base")

    def hyperparameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, bounds in HYPERPARAMETERS.items():
            if name not in self.mistakes:
                read = self.whole if bounds.whole else self.number
                found[name] = read(name, bounds)
        return {_camel(name): value for name, value in found.items() if value is not None}

    def fast_path(self) -> str | None:
        mode = self.choice("fast_path", FastPathMode, None)
        return mode.value if mode else None

    def gate(self) -> dict[str, Any]:
        rows = self.whole("gate_rows", OTHERS["gate_rows"])
        least = {name: self.number(f"gate_{name}", _SHARE) for name in ("macro_f1", "accuracy")}
        drop = self.number("gate_drop", _SHARE)
        recall = self.number("gate_recall", _SHARE)
        metrics = []
        if least["macro_f1"] is not None or least["accuracy"] is not None or drop is not None:
            for name, value in least.items():
                if value is not None or name == "macro_f1":
                    metric = {"name": name, "min": value, "maxDropVsChampion": drop}
                    metrics.append({key: one for key, one in metric.items() if one is not None})
        found = {
            "minSamples": rows,
            "metrics": metrics,
            "perClassMin": {"recall": recall} if recall is not None else None,
            "mustPass": self.must_pass(),
        }
        return {name: value for name, value in found.items() if value}

    def must_pass(self) -> list[dict[str, str]]:
        """A line each: `label: text`."""
        found = []
        lines = self.given.get("must_pass", "").splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            label, _, text = line.partition(":")
            label, text = label.strip().lower(), text.strip()
            if not (
                re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", label) and 0 < len(text) <= _LONGEST_TEXT
            ):
                self.mistakes["must_pass"] = Mistake("must_pass", {"line": number})
                return []
            found.append({"label": label, "text": text})
        if len(found) > _MOST_EXAMPLES:
            self.mistakes["must_pass"] = Mistake("too_many", {"most": _MOST_EXAMPLES})
        return found

    def promotion(self) -> dict[str, Any]:
        mode = self.choice("promotion", PromotionMode, None)
        shadow = self.whole("shadow_minutes", OTHERS["shadow_minutes"])
        votes = self.whole("min_votes", OTHERS["min_votes"])
        takeover = self.given.get("takeover", AT_ONCE)
        if takeover not in {AT_ONCE, IN_STEPS}:
            self.mistakes["takeover"] = Mistake("choice")
        if takeover == AT_ONCE and votes is not None:
            self.mistakes["min_votes"] = Mistake("no_steps")
        rollout = {
            "shadowSeconds": shadow * 60 if shadow else None,
            "steps": _STEPS if takeover == IN_STEPS else None,
            "minSamples": votes,
        }
        kept = {name: value for name, value in rollout.items() if value}
        found = {"mode": mode.value if mode else None, "rollout": kept}
        return {name: value for name, value in found.items() if value}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
