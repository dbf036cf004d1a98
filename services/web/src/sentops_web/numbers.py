"""Numbers as people of a language write them."""

_SIGNS = {"it": str.maketrans(",.", ".,")}


def decimal(value: float, language: str, *, digits: int = 1) -> str:
    return f"{value:,.{digits}f}".translate(_SIGNS.get(language, {}))


def whole(value: int, language: str) -> str:
    return decimal(value, language, digits=0)
