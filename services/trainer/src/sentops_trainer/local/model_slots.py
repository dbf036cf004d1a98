"""The model server's slots, through its control API."""

from typing import Literal

import httpx

from sentops_core.domain.errors import ArtifactError, Unavailable
from sentops_core.domain.resources import ModelVersion
from sentops_core.domain.serving import Slot, SlotState

SlotName = Literal["champion", "candidate"]


class ModelSlots:
    """`PUT`, `GET` and `DELETE /slots` of one model server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self) -> dict[SlotName, Slot] | None:
        """What each slot holds; None when the server does not answer."""
        try:
            answer = await self._client.get("/slots", timeout=5)
            answer.raise_for_status()
        except httpx.HTTPError:
            return None
        return {
            "champion": _to_slot(answer.json()["champion"]),
            "candidate": _to_slot(answer.json()["candidate"]),
        }

    async def load(self, slot: SlotName, version: ModelVersion) -> None:
        """Load, verify and switch; returns when this digest serves from the slot.

        ArtifactError: the server refuses it and keeps what it had. Unavailable: no answer, try again.
        """
        body = {
            "storage_uri": version.spec.artifact.storage_uri,
            "digest": version.spec.artifact.digest,
            "model_version": version.metadata.name,
        }
        try:
            answer = await self._client.put(f"/slots/{slot}", json=body, timeout=300)
        except httpx.HTTPError as error:
            raise Unavailable(f"The model server does not answer: {error!r}") from error
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise ArtifactError(str(answer.json().get("detail", answer.text)))
        if answer.is_error:
            raise Unavailable(f"The model server answers {answer.status_code}: {answer.text[:300]}")

    async def clear_candidate(self) -> None:
        try:
            answer = await self._client.delete("/slots/candidate", timeout=60)
        except httpx.HTTPError as error:
            raise Unavailable(f"The model server does not answer: {error!r}") from error
        if answer.is_error and answer.status_code != httpx.codes.NOT_FOUND:
            raise Unavailable(f"The model server answers {answer.status_code}: {answer.text[:300]}")


def _to_slot(document: dict[str, str | None]) -> Slot:
    return Slot(
        state=SlotState(document["state"] or "Empty"),
        digest=document.get("digest"),
        wanted_digest=document.get("wanted_digest"),
        message=document.get("message") or "",
    )
