"""What `import bqdump` offers keeps up with the settings and the errors, and costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

import bqdump
from bqdump.cli.exit_codes import CODES
from bqdump.core import errors
from bqdump.core.settings.settings import Settings


def test_every_setting_is_an_argument() -> None:
    settings = {field.name for field in msgspec.structs.fields(Settings)}
    assert set(bqdump.Options.__annotations__) == settings | {"config"}, "run python -m bqdump.cli.reference"


def test_every_error_that_a_command_ends_with_is_exported() -> None:
    exported = {name for name in bqdump.__all__ if name.endswith("Error")}
    assert {error.__name__ for error in CODES} | {"BqdumpError"} <= exported
    assert exported <= set(vars(errors))


@pytest.mark.parametrize("name", bqdump.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(bqdump, name) is not None
    assert name in dir(bqdump)


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'rum'"):
        bqdump.rum  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_costs_nothing() -> None:
    code = "import sys; before = set(sys.modules); import bqdump; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['bqdump', 'bqdump.core', 'bqdump.core.version']"
