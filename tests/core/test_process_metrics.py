"""What every program tells of itself."""

import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from sentops_core.process_metrics import Disks, new_registry


def test_a_program_says_what_it_was_built_from() -> None:
    registry = new_registry("web")
    (info,) = [family for family in registry.collect() if family.name == "sentops_build"]
    (sample,) = info.samples
    assert sample.name == "sentops_build_info"
    assert sample.labels["program"] == "web"
    assert sample.labels["version"][0].isdigit()
    assert sample.value == 1


def test_a_series_has_no_twin_with_its_date_of_birth() -> None:
    assert b"_created" not in generate_latest(new_registry("web"))


def test_the_room_is_that_of_the_disk_that_the_volume_is_on(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(Disks({"there": tmp_path, "yet to be made": tmp_path / "a" / "b"}))
    size = shutil.disk_usage(tmp_path).total
    for volume in ("there", "yet to be made"):
        assert registry.get_sample_value("sentops_disk_size_bytes", {"volume": volume}) == size
        free = registry.get_sample_value("sentops_disk_free_bytes", {"volume": volume})
        assert free is not None
        assert 0 <= free <= size


def test_a_volume_that_cannot_be_asked_is_absent(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(Disks({"odd": tmp_path / ("x" * 300)}))
    assert registry.get_sample_value("sentops_disk_size_bytes", {"volume": "odd"}) is None
