"""Rules that hold for every program: no setting without a reader, no default secret."""

import ast
import importlib
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from sentops_core.settings import ServiceSettings

PROGRAMS = ["web", "backoffice", "model_server", "trainer", "monitor"]
SERVICES = Path(__file__).parents[2] / "services"
_SHARED = set(ServiceSettings.model_fields)


def settings_of(program: str) -> dict[str, FieldInfo]:
    """The fields of every settings class; the trainer has one for each substrate."""
    module = importlib.import_module(f"sentops_{program}.settings")
    kinds = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value is not ServiceSettings
    ]
    assert kinds
    return {name: field for kind in kinds for name, field in kind.model_fields.items()}


def attributes_read(folder: Path) -> set[str]:
    trees = (ast.parse(file.read_text()) for file in folder.rglob("*.py"))
    return {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_is_read_by_its_program(program: str) -> None:
    read = attributes_read(SERVICES / program / "src")
    assert set(settings_of(program)) - _SHARED - read == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_secret_has_a_default_value(program: str) -> None:
    for name, field in settings_of(program).items():
        if SecretStr in {field.annotation, *getattr(field.annotation, "__args__", ())}:
            assert field.is_required() or field.default is None, name
