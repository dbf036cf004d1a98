"""What the labelling queue has decided, as rows for datasets."""

from dataclasses import dataclass
from uuid import UUID

from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class LabelledText:
    """`annotators` are those who said so, or the one who decided for them."""

    item: int
    text: str
    label: str
    annotators: str
    prediction_id: UUID | None


_DONE = """
SELECT i.id AS item, i.text, i.label,
       coalesce(i.decided_by,
                (SELECT string_agg(v.annotator, ', ' ORDER BY v.annotator)
                   FROM labelling_votes v
                  WHERE v.item = i.id AND v.label = i.label),
                'unknown') AS annotators,
       i.prediction_id
  FROM labelling_items i
 WHERE i.state = 'done' AND i.label IS NOT NULL AND i.text IS NOT NULL
 ORDER BY i.id
"""


async def labelled_texts(connection: Connection) -> list[LabelledText]:
    """Agreed and decided texts, oldest first; those whose text was erased are left out."""
    return [LabelledText(**row) for row in await connection.fetch(_DONE)]
