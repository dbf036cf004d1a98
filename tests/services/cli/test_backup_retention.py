"""Which backups are kept, for any history of backups; and that only what is ours is ever removed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sentops_cli.backups.catalogue import read_catalogue
from sentops_cli.backups.manifest import MANIFEST, STARTED, Backup, Lost, StoreFolder, new_name
from sentops_cli.backups.place import place_of
from sentops_cli.backups.retention import Aged, Policy, prune, to_keep

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
A_DAY = timedelta(days=1)
WEEKLY_TOO = Policy(daily=7, weekly=4)


def aged(days: float, *, complete: bool = True) -> Aged:
    at = NOW - days * A_DAY
    return Aged(f"{days:07.3f}", at, complete)


@st.composite
def histories(draw: st.DrawFn) -> list[Aged]:
    hours = draw(st.lists(st.integers(0, 24 * 400), unique=True, max_size=60))
    return [
        Aged(f"{one:05}", NOW - timedelta(hours=one), complete=draw(st.booleans())) for one in hours
    ]


policies = st.builds(Policy, st.integers(0, 40), st.integers(0, 60))


def test_a_backup_every_night_leaves_a_week_of_days_and_a_month_of_weeks() -> None:
    nights = [aged(days + 0.375) for days in range(60)]  # 03:00 each night
    kept = to_keep(nights, WEEKLY_TOO, now=NOW)
    ages = sorted((NOW - one.at).days for one in nights if one.name in kept)
    # 21 November 2026 is a Saturday: Sundays close the weeks.
    assert ages == [0, 1, 2, 3, 4, 5, 6, 13, 20]


@given(histories(), policies)
def test_the_newest_and_the_newest_complete_backup_are_always_kept(
    history: list[Aged], policy: Policy
) -> None:
    kept = to_keep(history, policy, now=NOW)
    whole = [one for one in history if one.complete]
    for some in (history, whole):
        if some:
            assert max(some, key=lambda one: one.at).name in kept


@given(histories(), policies)
def test_nothing_of_the_last_24_hours_goes(history: list[Aged], policy: Policy) -> None:
    kept = to_keep(history, policy, now=NOW)
    assert {one.name for one in history if NOW - one.at < A_DAY} <= kept


@given(histories(), policies)
def test_every_one_of_the_last_days_that_has_a_backup_keeps_its_newest(
    history: list[Aged], policy: Policy
) -> None:
    kept = to_keep(history, policy, now=NOW)
    days = sorted({one.at.date() for one in history}, reverse=True)[: policy.daily]
    for day in days:
        assert (
            max((one for one in history if one.at.date() == day), key=lambda one: one.at).name
            in kept
        )


@given(histories(), policies)
def test_no_more_is_kept_than_was_asked_for(history: list[Aged], policy: Policy) -> None:
    kept = to_keep(history, policy, now=NOW)
    recent = {one.name for one in history if NOW - one.at < A_DAY}
    assert len(kept - recent) <= policy.daily + policy.weekly + 2


@given(histories(), policies)
def test_pruning_again_at_once_removes_nothing_more(history: list[Aged], policy: Policy) -> None:
    kept = to_keep(history, policy, now=NOW)
    left = [one for one in history if one.name in kept]
    assert to_keep(left, policy, now=NOW) == kept


def a_backup(place: Path, days: float, folders: str = "", *, complete: bool = True) -> str:
    """A backup in the folder, that many days old, which needs the store folders of these letters."""
    name = new_name(NOW - days * A_DAY)
    lost = Lost(storage_uri="file:///s/x", wanted_by="version x", why="gone", needed=True)
    backup = Backup(
        name=name,
        created_at=NOW - days * A_DAY,
        seconds=1,
        sentops_version="0.1.0",
        server_version=18,
        client_version=18,
        migrations={},
        store_uri="file:///s",
        rows={},
        files=(),
        folders=tuple(
            StoreFolder(
                path=f"artifacts/{one}",
                seal="manifest.json",
                sha256=one * 64,
                bytes=1,
                wanted_by="a version",
            )
            for one in folders
        ),
        lost=() if complete else (lost,),
    )
    for one in folders:
        (place / "store" / (one * 64)).mkdir(parents=True, exist_ok=True)
        (place / "store" / (one * 64) / "manifest.json").write_text("{}")
    (place / name).mkdir(parents=True)
    (place / name / MANIFEST).write_bytes(backup.to_bytes())
    return name


def names(place: Path) -> set[str]:
    return {one.name for one in place.iterdir()}


def test_a_folder_of_the_store_goes_with_the_last_backup_that_needs_it(tmp_path: Path) -> None:
    old, new = a_backup(tmp_path, 40, "ab"), a_backup(tmp_path, 0.5, "bc")

    pruned = prune(place_of(str(tmp_path)), Policy(1, 0), now=NOW)

    assert pruned.backups == (old,)
    assert pruned.folders == 1
    assert names(tmp_path) == {new, "store"}
    assert names(tmp_path / "store") == {"b" * 64, "c" * 64}


def test_what_is_not_recognised_stays(tmp_path: Path) -> None:
    a_backup(tmp_path, 0.5)
    for stranger in ("photos", "store/notes", "20200101", "20200101T000000Z"):
        (tmp_path / stranger).mkdir(parents=True)
    (tmp_path / "readme.txt").write_text("mine")
    before = names(tmp_path) | names(tmp_path / "store")

    pruned = prune(place_of(str(tmp_path)), Policy(0, 0), now=NOW)

    assert (pruned.backups, pruned.unfinished, pruned.folders) == ((), (), 0)
    assert names(tmp_path) | names(tmp_path / "store") == before


def test_a_half_that_was_abandoned_goes_after_a_day(tmp_path: Path) -> None:
    a_backup(tmp_path, 0.5)
    old, young = (new_name(NOW - days * A_DAY) for days in (1.1, 0.9))
    for name in (old, young):
        (tmp_path / name).mkdir()
        (tmp_path / name / STARTED).write_text("{}")

    pruned = prune(place_of(str(tmp_path)), WEEKLY_TOO, now=NOW)

    assert pruned.unfinished == (old,)
    assert young in names(tmp_path)


def test_no_folder_of_the_store_goes_while_another_backup_is_being_made(tmp_path: Path) -> None:
    a_backup(tmp_path, 40, "a")
    a_backup(tmp_path, 0.5, "b")
    (tmp_path / new_name(NOW)).mkdir()

    pruned = prune(place_of(str(tmp_path)), Policy(1, 0), now=NOW)

    assert len(pruned.backups) == 1
    assert "being made" in pruned.postponed
    assert names(tmp_path / "store") == {"a" * 64, "b" * 64}


def test_a_backup_that_cannot_be_read_stays_with_all_that_it_may_need(tmp_path: Path) -> None:
    a_backup(tmp_path, 0.5, "b")
    newer_format = tmp_path / new_name(NOW - 90 * A_DAY)
    newer_format.mkdir()
    (newer_format / MANIFEST).write_text('{"format": "sentops-backup/9"}')
    (tmp_path / "store" / ("a" * 64)).mkdir()

    pruned = prune(place_of(str(tmp_path)), Policy(0, 0), now=NOW)

    assert newer_format.is_dir()
    assert "cannot be read" in pruned.postponed
    assert names(tmp_path / "store") == {"a" * 64, "b" * 64}


def test_backups_that_lack_something_never_push_out_the_last_whole_one(tmp_path: Path) -> None:
    whole = a_backup(tmp_path, 20, "a")
    for days in range(9):
        a_backup(tmp_path, days + 0.5, complete=False)

    prune(place_of(str(tmp_path)), Policy(3, 0), now=NOW)

    assert whole in {one.name for one in read_catalogue(place_of(str(tmp_path))).backups}
    assert names(tmp_path / "store") == {"a" * 64}
