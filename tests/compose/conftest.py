"""One running project for all tests that need an engine; it is made when the first of them asks."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.compose.platform import Platform, first_version
from tests.compose.project import Project, Unavailable, a_project
from tests.support.tiny_base import build_tiny_base


@pytest.fixture(scope="session")
def project() -> Iterator[Project]:
    """Up and healthy, with every profile."""
    with tempfile.TemporaryDirectory(prefix="sentops-compose-") as place:
        folder = Path(place)
        try:
            with a_project(folder, folder / "base") as project:
                build_tiny_base(project.base)
                for file in project.base.iterdir():
                    file.chmod(0o644)  # the trainer is another user
                project.up("--wait")
                yield project
        except Unavailable as reason:
            pytest.skip(str(reason))


@pytest_asyncio.fixture
async def platform(project: Project) -> AsyncIterator[Platform]:
    """As a person and a script reach it: through the edge, and on the server itself."""
    async with (
        httpx.AsyncClient(
            base_url=project.edge, verify=project.trusting_the_edge(), trust_env=False, timeout=40
        ) as edge,
        httpx.AsyncClient(trust_env=False, timeout=40) as inside,
    ):
        yield Platform(project, edge, inside)


_trouble: list[str] = []


@pytest_asyncio.fixture
async def live(platform: Platform) -> Platform:
    """With a version that serves. What comes after a training that failed is not tried one by one."""
    if _trouble:
        pytest.fail(f"there is no first version: {_trouble[0][:200]}", pytrace=False)
    try:
        await first_version(platform)
    except AssertionError as error:
        _trouble.append(str(error))
        raise
    return platform
