"""An export as in the cloud: no emulator variable, Google's own hosts by TLS, tokens of the metadata server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bqdump_local.execute import TaskLine, execute
from integration.googles_hosts import READ, REST, STORAGE, GooglesHosts, googles_hosts
from integration.stage import COMMAND, Ran, Stage, csv_rows, expected_rows


def run_without_emulators(stage: Stage, google: GooglesHosts, *arguments: str) -> Ran:
    """An execution of two tasks that nothing leads to the local stack."""
    lines: list[TaskLine] = []
    own = {name: value for name, value in stage.variables.items() if name not in stage.stack.variables()}
    command = [*COMMAND, *arguments]
    done = asyncio.run(
        execute(command, tasks=2, env=own | google.variables(), cwd=stage.folder, on_output=lines.append, max_retries=0,
                task_timeout=60)
    )  # fmt: skip
    return Ran(done, lines)


@pytest.mark.parametrize(("route", "hosts"), [("extract", {REST, STORAGE}), ("read", {REST, STORAGE, READ})])
def test_tables_are_exported_from_googles_hosts(stage: Stage, tmp_path: Path, route: str, hosts: set[str]) -> None:
    tables = ("first", "second")
    for name in tables:
        stage.table(name, 500)
    with googles_hosts(stage.stack, tmp_path) as google:
        ran = run_without_emulators(stage, google, "--route", route)
    assert ran.codes == [0, 0], ran.text
    assert google.connected == hosts
    assert google.unsigned == []
    assert google.tokens
    assert [file.name for table in stage.manifest().tables for file in table.files] == [
        f"{name}/{name}_000000000000.csv" for name in tables
    ]
    for name in tables:
        assert csv_rows(stage.read(f"{name}/{name}_000000000000.csv")) == expected_rows(name, 500)
