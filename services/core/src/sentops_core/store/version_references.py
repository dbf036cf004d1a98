"""What each version was trained on, in counts: copied from its artefact, so that the monitor needs no artefact store."""

from dataclasses import dataclass

from pydantic import ValidationError

from sentops_core.domain.reference import ReferenceProfile
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class Unread:
    """A version whose artefact has not been looked into."""

    model_version: str
    digest: str
    storage_uri: str


_UNREAD = """
SELECT v.name AS model_version, v.digest, v.spec #>> '{artifact,storageUri}' AS storage_uri
  FROM model_versions v
  LEFT JOIN version_references r ON r.model_version = v.name AND r.digest = v.digest
 WHERE r.model_version IS NULL AND v.spec #>> '{artifact,storageUri}' IS NOT NULL
 ORDER BY v.created_at DESC, v.name
"""
_KEEP = """
INSERT INTO version_references AS known (model_version, digest, profile_text)
VALUES ($1, $2, $3)
    ON CONFLICT (model_version) DO UPDATE
       SET digest = EXCLUDED.digest, profile_text = EXCLUDED.profile_text, read_at = now()
     WHERE known.digest <> EXCLUDED.digest
"""
_DIGESTS = "SELECT model_version, digest FROM version_references"
_PROFILE = "SELECT profile_text FROM version_references WHERE model_version = $1 AND digest = $2"


class VersionReferences:
    """The version_references table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def unread(self) -> list[Unread]:
        """The newest first."""
        return [Unread(**row) for row in await self._connection.fetch(_UNREAD)]

    async def keep(self, model_version: str, digest: str, profile: ReferenceProfile | None) -> None:
        """None: its artefact has none, and need not be asked again."""
        document = None if profile is None else profile.model_dump(mode="json")
        await self._connection.execute(_KEEP, model_version, digest, document)

    async def digests(self) -> dict[str, str]:
        """Of every version that was looked into, with or without a profile: cheap enough to ask each round."""
        return {
            row["model_version"]: row["digest"] for row in await self._connection.fetch(_DIGESTS)
        }

    async def profile(self, model_version: str, digest: str) -> ReferenceProfile | None:
        """None too for one that a later release wrote and this one cannot read."""
        document = await self._connection.fetchval(_PROFILE, model_version, digest)
        try:
            return None if document is None else ReferenceProfile.model_validate(document)
        except ValidationError:
            return None
