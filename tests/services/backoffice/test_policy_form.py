"""The form of a retraining policy: what is typed becomes the spec, and a spec stands in the form as it was typed."""

from typing import Any

import pytest

from sentops_backoffice.policy_form import SUGGESTED, fields_of, read_policy_form
from sentops_core.domain.resources import RetrainPolicySpec

NEW = {"name": "weekly", **SUGGESTED}


def spec_of(**fields: str) -> dict[str, Any]:
    filled = read_policy_form(NEW | fields, model_name="sentiment")
    assert filled.mistakes == {}
    RetrainPolicySpec.model_validate(filled.body)
    return filled.body


def mistakes_of(**fields: str) -> dict[str, str]:
    filled = read_policy_form(NEW | fields, model_name="sentiment")
    return {name: one.word for name, one in filled.mistakes.items()}


def a_spec(**fields: Any) -> RetrainPolicySpec:
    document = {"modelName": "sentiment", "triggers": {"newLabels": {"min": 7}}, **fields}
    return RetrainPolicySpec.model_validate(document)


def test_what_is_suggested_only_says_what_it_would_do() -> None:
    spec = spec_of()
    assert spec["dryRun"] is True
    assert spec["triggers"] == {
        "newLabels": {"min": 200},
        "quality": {"metric": "accuracy", "floor": "0.75", "window": "7d", "minVotes": 100},
    }
    assert spec["guards"] == {"cooldownSeconds": 21600, "maxPerDay": 2, "minNewLabels": 20}


def test_a_form_without_the_mode_starts_nothing() -> None:
    assert spec_of(mode="")["dryRun"] is True


def test_fields_of_a_trigger_that_is_off_do_not_matter() -> None:
    spec = spec_of(on_quality="", quality_floor="nonsense", drift_windows="x", cron="x")
    assert spec["triggers"] == {"newLabels": {"min": 200}}


def test_a_comma_is_a_decimal_point() -> None:
    spec = spec_of(quality_floor="0,8", cooldown_hours="0,5", gate_macro_f1="0,6")
    assert spec["triggers"]["quality"]["floor"] == "0.8"
    assert spec["guards"]["cooldownSeconds"] == 1800
    assert spec["template"]["gate"]["metrics"] == [{"name": "macro_f1", "min": "0.6"}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, {"name": "name"}),
        ({"name": "Not this"}, {"name": "name"}),
        ({"on_new_labels": "", "on_quality": ""}, {"on_new_labels": "no_trigger"}),
        ({"new_labels_min": ""}, {"new_labels_min": "needed"}),
        ({"new_labels_min": "0"}, {"new_labels_min": "whole"}),
        ({"quality_floor": "75"}, {"quality_floor": "above"}),
        ({"quality_window": "2d"}, {"quality_window": "choice"}),
        ({"on_drift": "on", "drift_windows": "99"}, {"drift_windows": "whole"}),
        ({"on_schedule": "on", "cron": "sundays"}, {"cron": "cron"}),
        ({"on_schedule": "on", "cron": "0 25 * * *"}, {"cron": "cron"}),
        ({"on_schedule": "on", "cron": ""}, {"cron": "cron"}),
        ({"on_schedule": "on", "time_zone": "Mars/Olympus"}, {"time_zone": "time_zone"}),
        ({"cooldown_hours": "-1"}, {"cooldown_hours": "number"}),
        ({"max_per_day": "25"}, {"max_per_day": "whole"}),
        ({"min_new_labels": "many"}, {"min_new_labels": "whole"}),
        ({"method": "Magic"}, {"method": "choice"}),
        ({"base": "other"}, {"base_uri": "base"}),
        ({"promotion": "Perhaps"}, {"promotion": "choice"}),
        ({"fast_path": "Perhaps"}, {"fast_path": "choice"}),
        ({"gate_macro_f1": "2"}, {"gate_macro_f1": "number"}),
    ],
)
def test_each_mistake_is_told_at_its_field(
    fields: dict[str, str], expected: dict[str, str]
) -> None:
    assert mistakes_of(**fields) == expected


@pytest.mark.parametrize(
    "spec",
    [
        a_spec(),
        a_spec(
            suspend=True,
            dryRun=True,
            triggers={
                "newLabels": {"min": 5},
                "quality": {"metric": "macro_f1", "floor": "0.605", "window": "28d", "minVotes": 9},
                "drift": {"window": "1h", "windows": 14},
                "schedule": {
                    "cron": "5 4 * * *",
                    "timeZone": "Europe/Rome",
                    "startingDeadlineSeconds": 600,
                },
            },
        ),
        a_spec(
            guards={"cooldownSeconds": 90, "maxPerDay": 24, "minNewLabels": 0},
            template={
                "baseModel": {"storageUri": "hf://org/name@v1", "secretRef": {"name": "hub"}},
                "trainer": {"hyperparameters": {"epochs": 9}},
                "gate": {
                    "minSamples": 300,
                    "metrics": [{"name": "accuracy", "min": "0.7"}],
                    "mustPass": [{"text": "Rotto.", "label": "negative"}],
                },
                "promotion": {"mode": "Manual", "rollout": {"steps": [{"setWeight": 10}]}},
                "fastPath": "Forced",
                "backoffLimit": 7,
            },
        ),
        a_spec(
            template={
                "trainer": {"method": "Linear"},
                "gate": {"metrics": [{"min": "0.6", "maxDropVsChampion": "0"}, {"name": "accuracy"}]},
            }
        ),
    ],
)  # fmt: skip
def test_saving_a_form_as_it_stands_changes_nothing(spec: RetrainPolicySpec) -> None:
    filled = read_policy_form(fields_of(spec), model_name="sentiment", before=spec)
    assert filled.mistakes == {}
    assert RetrainPolicySpec.model_validate(filled.body) == spec


def test_what_the_form_does_not_show_stays() -> None:
    spec = a_spec(template={"trainer": {"hyperparameters": {"epochs": 9}}})
    fields = fields_of(spec) | {"method": "FineTune", "max_per_day": "1"}
    body = read_policy_form(fields, model_name="sentiment", before=spec).body
    changed = RetrainPolicySpec.model_validate(body)
    assert changed.guards.max_per_day == 1
    assert changed.template.trainer == spec.template.trainer
