"""Who serves: one row per model, whose revision moves exactly when the answer does."""

from collections.abc import Sequence
from dataclasses import dataclass

from sentops_core.domain.errors import Conflict
from sentops_core.domain.resources import Routing, Variant
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class RoutingRow:
    """`champion` and `previous_champion` are names of model versions."""

    routing: Routing
    champion: str | None = None
    previous_champion: str | None = None


_GET = """
SELECT revision, champion, previous_champion, variants
  FROM routing
 WHERE model_name = $1
"""
_SAVE = """
INSERT INTO routing (model_name, revision, champion, previous_champion, variants)
VALUES ($1, 1, $2, $3, $4)
    ON CONFLICT (model_name) DO UPDATE
       SET revision = routing.revision + 1, champion = EXCLUDED.champion,
           previous_champion = EXCLUDED.previous_champion, variants = EXCLUDED.variants,
           updated_at = clock_timestamp()
     WHERE (routing.champion, routing.previous_champion, routing.variants)
           IS DISTINCT FROM (EXCLUDED.champion, EXCLUDED.previous_champion, EXCLUDED.variants)
"""
_CHAMPIONS = "SELECT champion FROM routing WHERE champion IS NOT NULL ORDER BY model_name"
_MODELS = "SELECT model_name FROM routing ORDER BY model_name"
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('routing ' || $1))"


class RoutingTable:
    """The routing table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, model_name: str) -> RoutingRow:
        """Revision 0 without variants while nothing was ever routed."""
        row = await self._connection.fetchrow(_GET, model_name)
        if row is None:
            return RoutingRow(Routing(revision=0))
        return RoutingRow(
            routing=Routing.model_validate(
                {"revision": row["revision"], "variants": row["variants"]}
            ),
            champion=row["champion"],
            previous_champion=row["previous_champion"],
        )

    async def champions(self) -> list[str]:
        """The versions that everybody, or nearly everybody, is routed to: one for each model."""
        return [row["champion"] for row in await self._connection.fetch(_CHAMPIONS)]

    async def models(self) -> list[str]:
        """The models that were ever routed to."""
        return [row["model_name"] for row in await self._connection.fetch(_MODELS)]

    async def save(
        self,
        model_name: str,
        variants: Sequence[Variant],
        *,
        champion: str | None,
        previous_champion: str | None,
        seen_revision: int | None = None,
    ) -> RoutingRow:
        """Store who serves; saying the same again changes nothing, not even the revision.

        With `seen_revision`, Conflict if somebody else moved the routing since.
        """
        await self._connection.execute(_TAKE_TURNS, model_name)
        before = await self.get(model_name)
        if seen_revision is not None and before.routing.revision != seen_revision:
            raise Conflict(
                f"The routing of {model_name} is at revision {before.routing.revision}, not at "
                f"{seen_revision} any more; look again."
            )
        documents = [variant.to_document() for variant in variants]
        await self._connection.execute(_SAVE, model_name, champion, previous_champion, documents)
        return await self.get(model_name)
