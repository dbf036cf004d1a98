"""Errors that pages say in the reader's language, and programs in English."""

from typing import TypeVar

from sentops_core.domain.errors import PlatformError
from sentops_core.http.i18n import Words
from sentops_core.store.tokens import Role

Error = TypeVar("Error", bound=PlatformError)
_KEY, _VALUES = "said_as", "said_of"


def said(error: Error, key: str, **values: object) -> Error:
    """The same error, which a page says with the word `key`."""
    vars(error)[_KEY], vars(error)[_VALUES] = key, values
    return error


def sentence_of(error: PlatformError, words: Words) -> str:
    """What went wrong in the page's language: errors of the core name the word `problem.<saying>`."""
    told = vars(error)
    if _KEY not in told:
        return _of_the_core(error, words)
    values = {
        name: words(f"role.{value}") if isinstance(value, Role) else value
        for name, value in told[_VALUES].items()
    }
    return words(told[_KEY], **values)


def _of_the_core(error: PlatformError, words: Words) -> str:
    key = f"problem.{error.saying}"
    if not error.saying or not words.knows(key):
        return str(error)
    facts = {
        name: words.label(str(fact)) if name == "label" else fact
        for name, fact in error.facts.items()
    }
    return words(key, **facts)
