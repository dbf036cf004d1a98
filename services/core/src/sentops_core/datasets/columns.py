"""Which column holds the text, the label and the row's own id, when nobody says."""

import re
import unicodedata
from collections.abc import Mapping

from sentops_core.domain.errors import InvalidInput

_TEXT_WORDS = {
    "text": 9, "testo": 9, "texte": 9, "texto": 9,
    "reviewtext": 8, "reviewbody": 8, "body": 7, "content": 7, "contenuto": 7,
    "sentence": 6, "frase": 6, "snippet": 6, "comment": 6, "comments": 6, "commento": 6, "commenti": 6,
    "message": 5, "messaggio": 5, "tweet": 5, "opinion": 5, "opinione": 5, "feedback": 5,
    "review": 4, "reviews": 4, "recensione": 4, "recensioni": 4,
    "description": 2, "descrizione": 2,
}  # fmt: skip
_LABEL_WORDS = {
    "label": 9, "labels": 9, "etichetta": 9, "sentiment": 8, "sentimento": 8, "polarity": 7, "polarita": 7,
    "class": 6, "classe": 6, "category": 3, "categoria": 3,
}  # fmt: skip
_STAR_WORDS = {
    "stars": 5, "star": 5, "stelle": 5, "stella": 5, "rating": 5, "ratings": 5, "overall": 4,
    "voto": 5, "voti": 5, "valutazione": 5, "score": 4, "punteggio": 4,
}  # fmt: skip
_ID_WORDS = {"id": 5, "uid": 5, "uuid": 5, "key": 2}
_NOT_CONTENT = {
    "id",
    "uid",
    "uuid",
    "date",
    "data",
    "time",
    "author",
    "autore",
    "user",
    "utente",
    "url",
    "link",
    "count",
}


def _words(column: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", column.casefold())
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    return set(re.findall(r"[a-z]+", letters))


def _best(columns: tuple[str, ...], weights: Mapping[str, int], *, content: bool) -> list[int]:
    """Positions of the columns with the highest weight; more than one is a tie."""
    scores = []
    for column in columns:
        words = _words(column)
        if content and words & _NOT_CONTENT:
            scores.append(0)
        else:
            scores.append(max((weights.get(word, 0) for word in words), default=0))
    top = max(scores, default=0)
    return [position for position, score in enumerate(scores) if score == top and top > 0]


def is_called_stars(column: str) -> bool:
    return bool(_words(column) & _STAR_WORDS.keys())


def named_column(columns: tuple[str, ...], name: str, parameter: str) -> int:
    """Position of the column a person named: exactly, else ignoring case and blanks around it."""
    if name in columns:
        return columns.index(name)
    folded = [column.casefold().strip() for column in columns]
    if folded.count(name.casefold().strip()) == 1:
        return folded.index(name.casefold().strip())
    raise InvalidInput(
        f"{parameter} names {name!r}, which the file lacks; its columns are {_listed(columns)}.",
        saying="column_missing",
        facts={"name": name, "columns": _listed(columns)},
    )


def text_column(columns: tuple[str, ...]) -> int:
    return _only(columns, _best(columns, _TEXT_WORDS, content=True), "text", "text_column")


def label_column(columns: tuple[str, ...]) -> int:
    return _only(
        columns, _best(columns, _LABEL_WORDS | _STAR_WORDS, content=True), "label", "label_column"
    )


def id_column(columns: tuple[str, ...]) -> int | None:
    found = _best(columns, _ID_WORDS, content=False)
    return found[0] if found else None


def _only(columns: tuple[str, ...], found: list[int], what: str, parameter: str) -> int:
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(repr(columns[position]) for position in found)
        raise InvalidInput(
            f"Columns {several} could each be the {what}: choose one with {parameter}.",
            saying=f"{what}_column_unclear",
            facts={"columns": several},
        )
    raise InvalidInput(
        f"No column looks like the {what}: name it with {parameter}; there are {_listed(columns)}.",
        saying=f"{what}_column_unknown",
        facts={"columns": _listed(columns)},
    )


def _listed(columns: tuple[str, ...]) -> str:
    shown = ", ".join(repr(column[:60]) for column in columns[:20])
    return shown + (", ..." if len(columns) > 20 else "")
