"""What a person or a script does with the platform, over its own HTTP interfaces."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.programs import Program

FINAL = {"Succeeded", "Rejected", "Failed"}


@dataclass
class Platform:
    model: Program
    trainer: Program
    web: Program
    backoffice: Program
    monitor: Program
    token: str
    folder: Path
    database_url: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def get(self, program: Program, path: str) -> Any:
        async with httpx.AsyncClient(base_url=program.url, headers=self.headers) as client:
            answer = await client.get(path, timeout=30)
            answer.raise_for_status()
            return answer.json()

    async def post(
        self, program: Program, path: str, body: object = None, *, expect: int | None = None
    ) -> Any:
        async with httpx.AsyncClient(base_url=program.url, headers=self.headers) as client:
            answer = await client.post(path, json=body, timeout=30)
        if expect is not None:
            assert answer.status_code == expect, answer.text
        elif answer.is_error:
            raise AssertionError(f"POST {path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def put(self, program: Program, path: str, body: object) -> Any:
        async with httpx.AsyncClient(base_url=program.url, headers=self.headers) as client:
            answer = await client.put(path, json=body, timeout=30)
        if answer.is_error:
            raise AssertionError(f"PUT {path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def upload(self, name: str, content: bytes, **fields: str) -> Any:
        async with httpx.AsyncClient(base_url=self.backoffice.url, headers=self.headers) as client:
            answer = await client.post(
                "/backoffice/api/datasets", files={"file": (name, content)}, data=fields, timeout=60
            )
        if answer.is_error:
            raise AssertionError(f"upload: {answer.status_code} {answer.text}")
        return answer.json()

    async def train(self, base: Path, **request: object) -> str:
        body = {"base": f"file://{base}", "gate": LENIENT_GATE, **request}
        return str((await self.post(self.trainer, "/train", body, expect=202))["name"])

    async def job(self, name: str) -> Any:
        return await self.get(self.trainer, f"/training-jobs/{name}")

    async def finished(self, name: str, seconds: float = 90) -> Any:
        return await self.until(
            lambda: self.job(name), lambda job: job["status"]["phase"] in FINAL, seconds
        )

    async def version(self, name: str) -> Any:
        return await self.get(self.trainer, f"/model-versions/{name}")

    async def live(self, name: str, seconds: float = 30) -> Any:
        return await self.until(
            lambda: self.version(name), lambda one: one["status"]["phase"] == "Live", seconds
        )

    async def predict(self, text: str) -> Any:
        return await self.post(self.web, "/api/predict", {"text": text})

    async def served(self, version: str, text: str = "bello", seconds: float = 20) -> Any:
        """A prediction by this version, once web has heard of it."""
        return await self.until(
            lambda: self.predict(text), lambda one: one["model_version"] == version, seconds
        )

    async def until(
        self, look: Callable[[], Any], good: Callable[[Any], bool], seconds: float
    ) -> Any:
        deadline = asyncio.get_running_loop().time() + seconds
        seen: Any = None
        while asyncio.get_running_loop().time() < deadline:
            try:
                seen = await look()
                if good(seen):
                    return seen
            except (AssertionError, httpx.HTTPError) as error:
                seen = repr(error)
            await asyncio.sleep(0.1)
        shown = seen if isinstance(seen, str) else json.dumps(seen, indent=1)
        raise AssertionError(
            f"not within {seconds} s; last seen: {shown[-3000:]}\ntrainer: {self.trainer.tail()}"
        )


LENIENT_GATE = {
    "minSamples": 1,
    "metrics": [{"name": "macro_f1", "min": "0", "maxDropVsChampion": "1"}],
}
