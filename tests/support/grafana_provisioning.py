"""Grafana's alerting files as its Go structs read them, but strictly: what Grafana drops without a word is an error here.

Written after pkg/services/provisioning/alerting/*_types.go and pkg/services/provisioning/values of grafana/grafana.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from tests.support.grafana_models import Source, SqlTarget, Strict

Text = Annotated[str, StringConstraints(min_length=1)]
Uid = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,40}$")]
Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(ms|s|m|h|d|w|y))+$")]
RefId = Annotated[str, StringConstraints(pattern=r"^[A-Z]$")]


class Plain(BaseModel):
    """Keys as they are."""

    model_config = ConfigDict(extra="forbid")


# ---- rules


class TimeRange(Strict):
    """Seconds before now."""

    from_: int = Field(alias="from", ge=0)
    to: int = Field(ge=0)


class Expression(Strict):
    ref_id: RefId
    datasource: Source
    expression: RefId


class ReduceSettings(Strict):
    mode: Literal["", "dropNN", "replaceNN"]


class Reduce(Expression):
    type: Literal["reduce"]
    reducer: Literal["last", "max", "min", "mean", "sum", "count"]
    settings: ReduceSettings


class Evaluator(Strict):
    type: Literal["gt", "lt"]
    params: Annotated[list[float], Field(min_length=1, max_length=1)]


class Condition(Strict):
    evaluator: Evaluator


class Threshold(Expression):
    type: Literal["threshold"]
    conditions: Annotated[list[Condition], Field(min_length=1, max_length=1)]


class Query(Strict):
    ref_id: RefId
    datasource_uid: Text
    relative_time_range: TimeRange
    model: SqlTarget | Reduce | Threshold

    @model_validator(mode="after")
    def _says_the_same_twice(self) -> "Query":
        if self.model.ref_id != self.ref_id or self.model.datasource.uid != self.datasource_uid:
            raise ValueError("refId and datasource are those of the model")
        return self


class AlertRule(Strict):
    uid: Uid
    title: Annotated[str, StringConstraints(min_length=1, max_length=190)]
    condition: RefId
    for_: Duration = Field(alias="for")
    no_data_state: Literal["NoData", "Alerting", "OK", "KeepLast"]
    exec_err_state: Literal["Error", "Alerting", "OK", "KeepLast"]
    is_paused: Literal[False]
    labels: Mapping[str, str]
    annotations: Mapping[str, Text]
    data: Annotated[list[Query], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_whole(self) -> "AlertRule":
        known: list[str] = []
        for query in self.data:
            if query.ref_id in known:
                raise ValueError(f"{query.ref_id} twice")
            if isinstance(query.model, Expression) and query.model.expression not in known:
                raise ValueError(
                    f"{query.ref_id} asks for {query.model.expression}, which is not before it"
                )
            known.append(query.ref_id)
        if self.condition not in known:
            raise ValueError(f"no {self.condition}")
        # Grafana puts variables of its environment into both, some versions into the braced ones only.
        said = [*self.labels.values(), *self.annotations.values()]
        if any("${" in one for one in said) or any("$" in one for one in self.labels.values()):
            raise ValueError("a variable of the environment, where none is meant")
        return self

    @property
    def sql(self) -> str:
        (found,) = [query.model for query in self.data if isinstance(query.model, SqlTarget)]
        return found.raw_sql

    @property
    def threshold(self) -> Evaluator:
        (found,) = [query.model for query in self.data if isinstance(query.model, Threshold)]
        return found.conditions[0].evaluator

    def is_raised_by(self, value: float) -> bool:
        (limit,) = self.threshold.params
        return value > limit if self.threshold.type == "gt" else value < limit


class Group(Strict):
    org_id: Literal[1]
    name: Text
    folder: Annotated[str, StringConstraints(pattern=r"^[^/]+$")]  # a slash is a folder in a folder
    interval: Duration
    rules: Annotated[list[AlertRule], Field(min_length=1)]


class RulesFile(Strict):
    api_version: Literal[1]
    groups: list[Group]


# ---- contact points and policies


class EmailSettings(Strict):
    addresses: Text
    single_email: bool


class Receiver(Strict):
    uid: Uid
    type: Literal["email"]
    settings: EmailSettings
    disable_resolve_message: bool


class ContactPoint(Strict):
    org_id: Literal[1]
    name: Text
    receivers: Annotated[list[Receiver], Field(min_length=1)]


Matcher = tuple[str, Literal["=", "!=", "=~", "!~"], str]


class Route(Plain):
    receiver: Text
    object_matchers: Annotated[list[Matcher], Field(min_length=1)]
    group_wait: Duration
    repeat_interval: Duration


class Policy(Plain):
    org_id: Literal[1] = Field(alias="orgId")
    receiver: Text
    group_by: list[Text]
    group_wait: Duration
    group_interval: Duration
    repeat_interval: Duration
    routes: list[Route]

    @property
    def receivers(self) -> set[str]:
        return {self.receiver, *(route.receiver for route in self.routes)}


class NotificationsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    api_version: Literal[1]
    contact_points: list[ContactPoint]
    policies: Annotated[list[Policy], Field(min_length=1, max_length=1)]


def variables_of(text: str) -> set[str]:
    """What Grafana takes from its environment; $$ is a dollar."""
    return set(re.findall(r"\$\{?(\w+)", text.replace("$$", "")))
