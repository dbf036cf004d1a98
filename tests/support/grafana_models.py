"""What a dashboard file may hold: every key of a panel, its options, its fields' settings and its targets.

@grafana/schema leaves options, custom settings and targets open, and Grafana drops what it does not know without a
word; here an unknown key is an error. Only what our generator uses is described.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Text = Annotated[str, StringConstraints(min_length=1)]
Sentence = Annotated[str, StringConstraints(min_length=15, pattern=r"\.$")]
Colour = Literal["green", "orange", "red", "blue", "text", "transparent"]
# https://grafana.com/docs: names of getCategories() in @grafana/data; a misspelt one shows the bare word behind each number.
Unit = Literal[
    "short", "percentunit", "s", "bytes", "reqps", "cps", "dateTimeFromNow", "sci", "none"
]  # fmt: skip


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Source(Strict):
    type: Text
    uid: Text


# ---- targets


class SqlTarget(Strict):
    ref_id: Annotated[str, StringConstraints(pattern=r"^([A-Z]|Anno)$")]
    datasource: Source
    editor_mode: Literal["code"]
    format: Literal["time_series", "table"]
    raw_query: Literal[True]
    raw_sql: Text


class PromTarget(Strict):
    ref_id: Annotated[str, StringConstraints(pattern=r"^[A-Z]$")]
    datasource: Source
    editor_mode: Literal["code"]
    format: Literal["time_series", "table"]
    expr: Text
    legend_format: Text
    instant: bool
    range: bool


Target = SqlTarget | PromTarget

# ---- fields


class Step(Strict):
    value: float | None
    color: Colour


class Thresholds(Strict):
    mode: Literal["absolute"]
    steps: list[Step] = Field(min_length=1)


class Word(Strict):
    index: int
    text: Text
    color: Colour | None = None


class ValueMapping(Strict):
    type: Literal["value"]
    options: dict[str, Word]


class LineStyle(Strict):
    fill: Literal["solid", "dash", "dot"]
    dash: list[int]


class Stacking(Strict):
    mode: Literal["none", "normal", "percent"]
    group: Text


class LinesCustom(Strict):
    draw_style: Literal["line", "bars"]
    line_interpolation: Literal["linear"]
    line_width: int
    fill_opacity: int
    point_size: int
    show_points: Literal["auto", "never"]
    span_nulls: Literal[False]
    insert_nulls: int | Literal[False]
    stacking: Stacking
    thresholds_style: dict[Literal["mode"], Literal["off", "dashed"]]
    axis_placement: Literal["auto"]
    axis_label: str
    scale_distribution: dict[Literal["type"], Literal["linear"]]


class BarsCustom(Strict):
    fill_opacity: int
    line_width: int
    axis_placement: Literal["auto"]


class StatesCustom(Strict):
    fill_opacity: int
    line_width: int


class TableCustom(Strict):
    align: Literal["auto"]
    cell_options: dict[Literal["type"], Literal["auto"]]
    filterable: bool


class Defaults(Strict):
    no_value: Text
    unit: Unit | None = None
    decimals: int | None = None
    min: float | None = None
    max: float | None = None
    mappings: list[ValueMapping] = []
    thresholds: Thresholds
    color: dict[Literal["mode"], Literal["palette-classic", "thresholds"]]
    custom: LinesCustom | BarsCustom | StatesCustom | TableCustom | None = None


class HideFrom(Strict):
    legend: bool
    tooltip: bool
    viz: bool


_PROPERTIES: dict[str, Any] = {
    "unit": Unit,
    "decimals": int,
    "mappings": list[ValueMapping],
    "displayName": Text,
    "custom.lineWidth": int,
    "custom.lineStyle": LineStyle,
    "custom.hideFrom": HideFrom,
    "custom.cellOptions": dict[Literal["type"], Literal["color-text"]],
}


class Property(Strict):
    id: Literal[tuple(_PROPERTIES)]  # type: ignore[valid-type]
    value: Any


class Matcher(Strict):
    id: Literal["byName", "byRegexp"]
    options: Text


class Override(Strict):
    matcher: Matcher
    properties: list[Property] = Field(min_length=1)


class FieldConfig(Strict):
    defaults: Defaults
    overrides: list[Override]


class Organized(Strict):
    exclude_by_name: dict[str, Literal[True]]
    index_by_name: dict[str, int]
    rename_by_name: dict[str, str]


class Organize(Strict):
    id: Literal["organize"]
    options: Organized


# ---- panels


class GridPos(Strict):
    x: int = Field(ge=0)
    y: int = Field(ge=0)
    w: int = Field(ge=1, le=24)
    h: int = Field(ge=1)


class Legend(Strict):
    display_mode: Literal["table", "list"]
    placement: Literal["bottom"]
    show_legend: bool
    calcs: list[Literal["lastNotNull", "min", "max"]]


class Tooltip(Strict):
    mode: Literal["multi", "single"]
    sort: Literal["desc", "none"]


class LinesOptions(Strict):
    legend: Legend
    tooltip: Tooltip


class Reduced(Strict):
    calcs: list[Literal["lastNotNull"]]
    fields: Literal["", "/.*/"]
    values: Literal[False]


class FigureOptions(Strict):
    reduce_options: Reduced
    color_mode: Literal["value"]
    graph_mode: Literal["none"]
    justify_mode: Literal["auto"]
    orientation: Literal["auto"]
    text_mode: Literal["value", "value_and_name"]
    wide_layout: bool
    show_percent_change: bool


class TableOptions(Strict):
    show_header: Literal[True]
    cell_height: Literal["sm"]
    sort_by: list[dict[str, Any]]


class BarsOptions(Strict):
    x_field: Text
    orientation: Literal["vertical", "horizontal"]
    stacking: Literal["none", "normal", "percent"]
    show_value: Literal["auto"]
    group_width: float
    bar_width: float
    x_tick_label_spacing: int
    legend: Legend
    tooltip: Tooltip


class StatesOptions(Strict):
    show_value: Literal["always"]
    merge_values: bool
    align_value: Literal["left"]
    row_height: float
    legend: Legend
    tooltip: Tooltip


class NoteOptions(Strict):
    mode: Literal["markdown"]
    content: Text


class RowPanel(Strict):
    id: int
    type: Literal["row"]
    title: Text
    collapsed: Literal[False]
    panels: list[Any] = Field(max_length=0)
    grid_pos: GridPos


class _Panel(Strict):
    id: int = Field(ge=0)
    title: Text
    description: Sentence
    grid_pos: GridPos


class Note(_Panel):
    type: Literal["text"]
    options: NoteOptions


class DataPanel(_Panel):
    datasource: Source
    targets: list[Target] = Field(min_length=1)
    field_config: FieldConfig
    transformations: list[Organize] = []
    interval: Literal["10m"] | None = None


class Lines(DataPanel):
    type: Literal["timeseries"]
    options: LinesOptions


class Figure(DataPanel):
    type: Literal["stat"]
    options: FigureOptions


class Table(DataPanel):
    type: Literal["table"]
    options: TableOptions


class Bars(DataPanel):
    type: Literal["barchart"]
    options: BarsOptions


class States(DataPanel):
    type: Literal["state-timeline"]
    options: StatesOptions


Panel = Annotated[
    RowPanel | Note | Lines | Figure | Table | Bars | States, Field(discriminator="type")
]

# ---- the rest of a dashboard


class Option(Strict):
    text: str | list[str]
    value: str | list[str]
    selected: bool = False


class _Variable(Strict):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]
    label: Text
    description: Sentence
    query: Text
    multi: bool
    include_all: bool
    options: list[Option]
    hide: Literal[0]
    skip_url_sync: Literal[False]


class QueryVariable(_Variable):
    type: Literal["query"]
    datasource: Source
    refresh: Literal[2]
    regex: Literal[""]
    sort: Literal[0]
    current: Option


class CustomVariable(_Variable):
    type: Literal["custom"]
    current: Option


Variable = Annotated[QueryVariable | CustomVariable, Field(discriminator="type")]


class BuiltInMarks(Strict):
    built_in: Literal[1]
    datasource: Source
    enable: bool
    hide: bool
    icon_color: str
    name: Text
    type: Literal["dashboard"]


class Marks(Strict):
    name: Text
    datasource: Source
    enable: Literal[True]
    hide: Literal[False]
    icon_color: Colour
    target: SqlTarget


class Link(Strict):
    type: Literal["dashboards", "link"]
    title: Text
    tags: list[str]
    as_dropdown: bool
    include_vars: bool
    keep_time: bool
    target_blank: bool
    icon: Literal["dashboard", "external link"]
    tooltip: str
    url: str | None = None


class Annotations(Strict):
    list: list[BuiltInMarks | Marks]


class Templating(Strict):
    list: list[Variable]


class TimePicker(Strict):
    refresh_intervals: list[str] = Field(alias="refresh_intervals")


class Dashboard(Strict):
    uid: Annotated[str, StringConstraints(pattern=r"^sentops-[a-z-]+$")]
    title: Text
    description: Sentence
    tags: list[Literal["sentops"]]
    schema_version: Literal[42]
    version: int
    editable: bool
    graph_tooltip: Literal[1]
    timezone: Literal["browser"]
    week_start: str
    fiscal_year_start_month: int
    live_now: bool
    time: dict[Literal["from", "to"], Text]
    refresh: Literal["30s", "1m", "5m"]
    timepicker: TimePicker
    annotations: Annotations
    templating: Templating
    links: list[Link]
    panels: list[Panel] = Field(min_length=1)

    @property
    def data_panels(self) -> list[DataPanel]:
        return [panel for panel in self.panels if isinstance(panel, DataPanel)]

    @property
    def marks(self) -> list[Marks]:
        return [one for one in self.annotations.list if isinstance(one, Marks)]

    def variables(self) -> dict[str, QueryVariable | CustomVariable]:
        return {one.name: one for one in self.templating.list}


def property_type(name: str) -> Any:
    """Of the value that an override sets."""
    return _PROPERTIES[name]


# ---- provisioning


class ProviderOptions(Strict):
    path: Text
    folders_from_files_structure: Literal[False]


class Provider(Strict):
    name: Text
    org_id: Literal[1]
    folder: Text
    folder_uid: Text
    type: Literal["file"]
    disable_deletion: bool
    allow_ui_updates: bool
    update_interval_seconds: int = Field(ge=10)
    options: ProviderOptions


class Providers(Strict):
    api_version: Literal[1]
    providers: list[Provider] = Field(min_length=1)
