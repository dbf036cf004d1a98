"""Dashboards as files: current, complete, without overlaps or names that lead nowhere."""

import itertools
import re

import promql_parser
import pytest
import yaml
from pydantic import TypeAdapter

from grafana.generator import as_text, dashboards
from tests.charts.test_metrics import selectors
from tests.compose.composition import FOLDER as COMPOSE
from tests.compose.composition import composition
from tests.support.grafana_files import FOLDER, NAMES, ROOT, content_of, dashboard
from tests.support.grafana_models import (
    CustomVariable,
    Dashboard,
    DataPanel,
    Note,
    PromTarget,
    Providers,
    QueryVariable,
    RowPanel,
    SqlTarget,
    Table,
    property_type,
)
from tests.support.grafana_sql import Asked, variables_in

PROVISIONING = ROOT / "grafana/provisioning"
EVERY = pytest.mark.parametrize("name", NAMES)


def datasources() -> set[tuple[str, str]]:
    content = yaml.safe_load((PROVISIONING / "datasources/datasources.yaml").read_text())
    return {(one["type"], one["uid"]) for one in content["datasources"]}


# ---- the files


def test_the_files_are_what_the_generator_writes() -> None:
    """`make dashboards` after a change."""
    written = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert written == {name: as_text(made) for name, made in dashboards().items()}
    assert set(written) == set(NAMES)


@EVERY
def test_nothing_is_said_that_grafana_would_drop_without_a_word(name: str) -> None:
    dashboard(name)


@EVERY
def test_what_overrides_set_is_of_the_right_kind(name: str) -> None:
    for panel in dashboard(name).data_panels:
        for override in panel.field_config.overrides:
            for one in override.properties:
                TypeAdapter(property_type(one.id)).validate_python(one.value)
            if override.matcher.id == "byRegexp":
                assert re.fullmatch("/.+/", override.matcher.options)
                re.compile(override.matcher.options.strip("/"))


def test_addresses_are_stable_and_distinct() -> None:
    found = {name: dashboard(name) for name in NAMES}
    assert {name: one.uid for name, one in found.items()} == {n: f"sentops-{n}" for n in NAMES}
    assert len({one.title for one in found.values()}) == len(NAMES)


# ---- panels


@EVERY
def test_panels_have_numbers_and_titles_of_their_own(name: str) -> None:
    panels = dashboard(name).panels
    assert len({panel.id for panel in panels}) == len(panels)
    titles = [panel.title for panel in panels if not isinstance(panel, RowPanel)]
    assert len(set(titles)) == len(titles)


@EVERY
def test_no_two_panels_overlap_and_none_leaves_the_page(name: str) -> None:
    panels = dashboard(name).panels
    for panel in panels:
        assert panel.grid_pos.x + panel.grid_pos.w <= 24, panel.title
    for one, other in itertools.combinations(panels, 2):
        a, b = one.grid_pos, other.grid_pos
        beside = a.x + a.w <= b.x or b.x + b.w <= a.x
        above = a.y + a.h <= b.y or b.y + b.h <= a.y
        assert beside or above, f"{one.title!r} and {other.title!r}"


@EVERY
def test_targets_have_letters_of_their_own_and_ask_sources_that_exist(name: str) -> None:
    known = datasources()
    for panel in dashboard(name).data_panels:
        letters = [target.ref_id for target in panel.targets]
        assert letters == sorted(set(letters)), panel.title
        assert (panel.datasource.type, panel.datasource.uid) in known, panel.title
        assert all(target.datasource == panel.datasource for target in panel.targets), panel.title
    for mark in dashboard(name).marks:
        assert (mark.datasource.type, mark.datasource.uid) in known


@EVERY
def test_panels_ask_in_the_form_that_they_show(name: str) -> None:
    for panel in dashboard(name).data_panels:
        over_time = panel.type in {"timeseries", "state-timeline"}
        for target in panel.targets:
            if isinstance(target, PromTarget):
                assert target.range == over_time, panel.title
                assert target.instant != target.range
                assert (target.format == "table") == isinstance(panel, Table), panel.title
            else:
                assert (target.format == "time_series") == over_time, panel.title


@EVERY
def test_several_queries_of_a_panel_are_told_apart_by_their_names(name: str) -> None:
    for panel in dashboard(name).data_panels:
        legends = [one.legend_format for one in panel.targets if isinstance(one, PromTarget)]
        if panel.type in {"timeseries", "state-timeline"}:
            assert "__auto" not in legends, panel.title
            assert len(set(legends)) == len(legends), panel.title


@EVERY
def test_no_data_is_said_in_words_and_never_filled_up(name: str) -> None:
    for panel in dashboard(name).data_panels:
        assert not re.search(r"\d", panel.field_config.defaults.no_value), panel.title
        for target in panel.targets:
            asked = target.expr if isinstance(target, PromTarget) else target.raw_sql
            assert "vector(0)" not in asked, panel.title
            assert not re.search(r"coalesce\([^)]*, *0\)", asked, re.IGNORECASE) or "min(" in asked


@EVERY
def test_nothing_is_told_by_colour_alone(name: str) -> None:
    """A colour comes with a word, a line that is drawn, or the number itself; series have names, intervals are dashed."""
    for panel in dashboard(name).data_panels:
        fields = panel.field_config
        for mapping in fields.defaults.mappings:
            shown = [word.text for word in mapping.options.values()]
            assert len(set(shown)) == len(shown), panel.title
        for override in fields.overrides:
            ids = {one.id for one in override.properties}
            assert "custom.cellOptions" not in ids or "mappings" in ids, panel.title
        if panel.type == "timeseries":
            assert panel.options.legend.show_legend, panel.title
            custom = fields.defaults.custom
            drawn = custom.thresholds_style["mode"] == "dashed"
            assert drawn == (len(fields.defaults.thresholds.steps) > 1), panel.title


@EVERY
def test_lines_under_and_over_which_something_happens_have_a_value(name: str) -> None:
    for panel in dashboard(name).data_panels:
        steps = panel.field_config.defaults.thresholds.steps
        assert steps[0].value is None
        values = [step.value for step in steps[1:]]
        assert values == sorted(value for value in values if value is not None), panel.title


@EVERY
def test_every_number_has_a_unit(name: str) -> None:
    for panel in dashboard(name).data_panels:
        if not isinstance(panel, Table) and panel.type != "state-timeline":
            assert panel.field_config.defaults.unit is not None, panel.title


# ---- variables, links, frame


def texts(found: Dashboard) -> list[str]:
    said = [mark.target.raw_sql for mark in found.marks]
    said += [one.query for one in found.templating.list if isinstance(one, QueryVariable)]
    for panel in found.panels:
        said += [panel.title]
        if isinstance(panel, Note):
            said.append(panel.options.content)
        if isinstance(panel, DataPanel):
            said += [t.raw_sql if isinstance(t, SqlTarget) else t.expr for t in panel.targets]
    return said


@EVERY
def test_every_variable_that_is_used_exists_and_every_one_that_exists_is_used(name: str) -> None:
    found = dashboard(name)
    used = set().union(*(variables_in(text) for text in texts(found)))
    assert used == set(found.variables())


@EVERY
def test_variables_only_need_those_before_them(name: str) -> None:
    before: set[str] = set()
    for one in dashboard(name).templating.list:
        if isinstance(one, QueryVariable):
            assert variables_in(one.query) <= before
        before.add(one.name)


@EVERY
def test_choices_have_a_default_among_them(name: str) -> None:
    for one in dashboard(name).templating.list:
        if isinstance(one, CustomVariable):
            values = [option.value for option in one.options]
            assert values == one.query.split(",")
            assert [o.value for o in one.options if o.selected] == [one.current.value]
        else:
            assert one.multi == one.include_all


@EVERY
def test_several_versions_are_asked_for_so_that_none_is_no_error(name: str) -> None:
    """`IN ()` is an error in SQL; an empty array is not."""
    for variable in dashboard(name).templating.list:
        if not variable.multi:
            continue
        for panel in dashboard(name).data_panels:
            for target in panel.targets:
                if isinstance(target, SqlTarget):
                    bare = target.raw_sql.replace(f"ANY (ARRAY[${variable.name}]::text[])", "")
                    assert f"${variable.name}" not in bare, panel.title


@EVERY
def test_each_dashboard_leads_to_the_others_and_to_the_back_office(name: str) -> None:
    siblings, backoffice = dashboard(name).links
    assert (siblings.type, siblings.tags) == ("dashboards", ["sentops"])
    assert siblings.include_vars
    assert siblings.keep_time
    # Up from /grafana/d/<uid>/<name>, and no further than the root of the host. Begun with / Grafana would put its own path before it.
    assert re.fullmatch(r"\.\./\.\./\.\./\.\./backoffice/[a-z]+", backoffice.url or "")
    assert backoffice.target_blank


@EVERY
def test_promotions_and_roll_backs_are_marked(name: str) -> None:
    assert [mark.name for mark in dashboard(name).marks] == ["Promotions", "Roll-backs"]


@EVERY
def test_it_opens_with_a_sensible_time_and_looks_again_by_itself(name: str) -> None:
    found = dashboard(name)
    assert re.fullmatch(r"now-\d+[hd]", found.time["from"])
    assert found.time["to"] == "now"


# ---- PromQL, without a Prometheus


@EVERY
def test_promql_can_be_read(name: str) -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 11, 22, tzinfo=UTC)
    asked = Asked(
        moment,
        moment,
        {"model": "m", "version": ["a-v1", "a-v2"], "window": "24h", "language": "all"},
    )
    for panel in dashboard(name).data_panels:
        for target in panel.targets:
            if isinstance(target, PromTarget):
                parsed = promql_parser.parse(asked.promql(target.expr, rate_interval="1m"))
                assert selectors(parsed), panel.title


# ---- provisioning


@pytest.fixture(scope="module")
def providers() -> Providers:
    content = yaml.safe_load((PROVISIONING / "dashboards/dashboards.yaml").read_text())
    return Providers.model_validate(content)


def test_grafana_finds_the_files_where_compose_puts_them(providers: Providers) -> None:
    (provider,) = providers.providers
    mounts = {one.target: one for one in composition()["grafana"].mounts if one.of_a_folder}
    mount = mounts[provider.options.path]
    assert (COMPOSE / mount.source).resolve() == FOLDER
    assert (provider.folder, provider.folder_uid) == ("Sentops", "sentops")


def test_whoever_opens_grafana_sees_the_overview(providers: Providers) -> None:
    (provider,) = providers.providers
    home = composition()["grafana"].environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider.options.path}/overview.json"


def test_what_is_in_the_repository_stays_the_truth(providers: Providers) -> None:
    (provider,) = providers.providers
    assert provider.disable_deletion
    assert not provider.allow_ui_updates


def test_a_misspelt_key_is_found() -> None:
    """The checks above would say so."""
    for path, wrong in (
        (("panels", 1, "options", "colourMode"), "value"),
        (("panels", 1, "fieldConfig", "defaults", "units"), "s"),
        (("panels", 1, "targets", 0, "rawSQL"), "SELECT 1"),
        (("titel",), "Overview"),
    ):
        content = content_of("overview")
        place = content
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = wrong
        with pytest.raises(ValueError, match="Extra inputs"):
            Dashboard.model_validate(content)
