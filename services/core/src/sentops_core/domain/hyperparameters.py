"""Which hyperparameters a method has a use for: what it would ignore is refused, wherever it is sent to."""

from sentops_core.domain.resources import Hyperparameters, Method

_USED_BY_LINEAR = {"seed", "max_length"}


def unused(method: Method, given: Hyperparameters) -> list[str]:
    """The names, as the API writes them, that were set though the method has no use for them."""
    if method is Method.FINE_TUNE:
        return []
    fields = given.model_dump(by_alias=False, exclude_none=True)
    aliases = {name: field.alias or name for name, field in Hyperparameters.model_fields.items()}
    return [aliases[name] for name in fields if name not in _USED_BY_LINEAR]
