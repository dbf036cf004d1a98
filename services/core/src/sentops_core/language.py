"""Which language a text is in, or None when it is too short or too odd to say."""

from collections.abc import Callable
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

# The languages our users write; a wider set would call a short Italian text Corsican.
_LANGUAGES = ("it", "en", "fr", "de", "es", "pt")
_SURE_ENOUGH = 0.4

DetectLanguage = Callable[[str], str | None]


@cache
def language_detector() -> DetectLanguage:
    """A function from text to ISO 639-1 code. The first time takes about a second, a call a tenth of a millisecond."""
    identifier = LanguageIdentifier.from_model_file(
        MODEL_FILE, norm_probs=True, min_confidence=_SURE_ENOUGH
    )
    identifier.set_languages(_LANGUAGES)

    def detect(text: str) -> str | None:
        code, _ = identifier.classify(text[:1000])
        return None if code == "und" else str(code)

    return detect
