"""Collecting garbage does not hold up requests for long."""

import gc
from pathlib import Path

import pytest

from tests.services.backoffice.support import RecordingTrainer, a_backoffice

pytestmark = pytest.mark.pg


async def test_a_full_collection_walks_over_nothing_that_the_program_is_made_of(
    database_url: str, tmp_path: Path, trainer: RecordingTrainer
) -> None:
    async with a_backoffice(database_url, tmp_path, trainer.url):
        made_of, walked = gc.get_freeze_count(), len(gc.get_objects())
    assert made_of > 50_000
    assert walked < made_of / 20


async def test_a_stopped_program_can_be_collected(
    database_url: str, tmp_path: Path, trainer: RecordingTrainer
) -> None:
    async with a_backoffice(database_url, tmp_path, trainer.url):
        pass
    assert gc.get_freeze_count() == 0
