"""What the versions that answer were trained on, as far as it is known."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sentops_core.domain.reference import ReferenceProfile
from sentops_core.store.pool import Connection
from sentops_core.store.version_references import VersionReferences


@dataclass(frozen=True)
class _Known:
    """`profile` is None where the artefact has none."""

    digest: str
    profile: ReferenceProfile | None


class References:
    """Kept between rounds. One takes up to a megabyte, so only those of versions that answer are here."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._vocabularies: dict[str, frozenset[int]] = {}

    @property
    def vocabularies(self) -> Mapping[str, frozenset[int]]:
        """By version, the words of its training; versions without are absent."""
        return self._vocabularies

    async def refresh(self, connection: Connection, versions: Collection[str]) -> frozenset[str]:
        """Learn what is known of these versions and forget the others; those whose words are known only now."""
        table = VersionReferences(connection)
        digests = await table.digests()
        for version, known in [*self._known.items()]:
            if version not in versions or digests.get(version) != known.digest:
                del self._known[version]
                self._vocabularies.pop(version, None)
        new = set()
        for version in sorted(digests.keys() & set(versions) - self._known.keys()):
            profile = await table.profile(version, digests[version])
            self._known[version] = _Known(digests[version], profile)
            if profile is not None:
                self._vocabularies[version] = profile.known_words()
                new.add(version)
        return frozenset(new)

    def of(self, version: str) -> ReferenceProfile | str:
        """Its profile, or why there is none to compare with."""
        known = self._known.get(version)
        if known is None:
            return "What the version was trained on has not been read from its artefact yet."
        if known.profile is None:
            return "The version's artefact does not say what it was trained on: it has no reference.json."
        return known.profile
