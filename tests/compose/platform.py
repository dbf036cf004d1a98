"""What people and scripts do with a running project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.compose.project import Project
from tests.support.eventually import eventually
from tests.support.reviews import some_reviews, to_csv

FIRST = "sentiment-v1"
FINAL = {"Succeeded", "Rejected", "Failed"}
LENIENT_GATE = {
    "minSamples": 1,
    "metrics": [{"name": "macro_f1", "min": "0", "maxDropVsChampion": "1"}],
}


@dataclass
class Platform:
    project: Project
    edge: httpx.AsyncClient
    inside: httpx.AsyncClient

    async def ask(self, text: str = "lovely product") -> Any:
        answer = await self.edge.post("/api/predict", json={"text": text})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def trainer(self, method: str, path: str, **options: Any) -> Any:
        headers = {"authorization": f"Bearer {self.project.settings['TRAINER_TOKEN']}"}
        address = f"{self.project.url('trainer')}{path}"
        answer = await self.inside.request(method, address, headers=headers, **options)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def get(self, service: str, path: str, **options: Any) -> Any:
        answer = await self.inside.get(f"{self.project.url(service)}{path}", **options)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def train(self, **request: Any) -> str:
        body = {"base": "file:///base", "gate": LENIENT_GATE, **request}
        return str((await self.trainer("POST", "/train", json=body))["name"])

    async def job(self, name: str) -> Any:
        return await self.trainer("GET", f"/training-jobs/{name}")

    async def finished(self, name: str, within: float = 120) -> Any:
        async def final() -> Any:
            job = await self._job_or_trouble(name)
            assert job["status"]["phase"] in FINAL, job["status"]
            return job

        return await eventually(final, within=within, every=0.5)

    async def _job_or_trouble(self, name: str) -> Any:
        try:
            return await self.job(name)
        except httpx.TransportError as error:
            raise AssertionError(f"the trainer is away: {error!r}") from error

    async def served_by(self, version: str, within: float = 60) -> Any:
        """An answer of this version."""

        async def answer() -> Any:
            found = await self.ask()
            assert found["model_version"] == version
            return found

        return await eventually(answer, within=within, every=0.5)


async def first_version(platform: Platform) -> None:
    """Upload with the command's container, train through the API; nothing where it was done already."""
    versions = await platform.trainer("GET", "/model-versions")
    if not versions:
        reviews = platform.project.folder / "reviews.csv"
        reviews.write_bytes(to_csv(some_reviews(300)))
        _upload(platform.project, reviews)
        name = await platform.train(dataset_id="v1", method="Linear")
        job = await platform.finished(name)
        assert job["status"]["phase"] == "Succeeded", job["status"]
    await platform.served_by(FIRST)


def _upload(project: Project, file: Path) -> None:
    file.chmod(0o644)
    said = project.sentops(
        "datasets", "upload", "/reviews.csv", mounts=(f"{file}:/reviews.csv:ro",)
    )
    assert "Dataset version v1 is ready" in said, said
