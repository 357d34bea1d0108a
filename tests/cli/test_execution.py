"""What tasks of a local execution run: an export, unless the arguments begin with another command."""

from __future__ import annotations

import pytest

from bqdump.cli.execution import command_of


@pytest.mark.parametrize(
    ("arguments", "command", "rest"),
    [
        ([], "run", []),
        (["--prefix", "restore"], "run", ["--prefix", "restore"]),
        (["run", "--quiet"], "run", ["--quiet"]),
        (["restore", "--into", "copy"], "restore", ["--into", "copy"]),
        (["copy", "gs://copies"], "copy", ["gs://copies"]),
    ],
)
def test_the_first_argument_may_name_the_command(arguments: list[str], command: str, rest: list[str]) -> None:
    assert command_of(arguments) == (command, rest)
