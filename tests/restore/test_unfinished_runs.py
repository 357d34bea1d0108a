"""A run that is killed while it replaces the published files is named by whoever meets them, and can be finished."""

from __future__ import annotations

import ast
import asyncio
import shlex
from typing import Any

import msgspec
import pytest

from bqdump import verbs
from bqdump.check.verify import verify
from bqdump.cli.commands.run import run as run_command
from bqdump.cli.options import load_settings
from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError, VerificationError
from bqdump.core.restore.drill import Sample
from bqdump.core.restore.plan import Options
from bqdump.core.settings.file import resume_call, settings_of_run
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import parse_tables
from bqdump.core.settings.target import Target
from bqdump.core.wording import COMMANDS, UNFILLED, fill
from bqdump.export.run import run as export
from bqdump.export.task import Task as ExportTask
from bqdump.restoration.drill import drill
from bqdump.restoration.restore import restore
from bqdump.restoration.task import Task
from entries import entry
from opened import everywhere
from restore.killed import Counting, Killed, Mortal
from restore.world import ROWS, SETTINGS, ExportedWorld

OF_OUTPUT = ("quiet", "as_json")
LATER = {"one": ["x", "y"], "two": ["z"], "none": ["w"]}


def settings_in(command: str) -> Settings:
    """What `bqdump run` makes of a printed command."""
    words = shlex.split(command)
    assert words[:2] == ["bqdump", "run"]
    # As below `bqdump`: a command keeps the names of its option for help.
    options = run_command.make_context("run", words[2:], help_option_names=["-h", "--help"]).params
    return load_settings({name: value for name, value in options.items() if name not in OF_OUTPUT}, environ={})


def killed(world: ExportedWorld, number: int) -> bool:
    """Export LATER as run r2, which is killed at a request; whether it was."""
    for table, lines in LATER.items():
        world.big.put("project", "data", table, lines)
    store, ended = Mortal(world.store, Counting(number)), False
    try:
        asyncio.run(export(ExportTask(store, world.big, SETTINGS, "r2", Owner("r2", 0), 1)))
    except* Killed:
        ended = True
    return ended


def half_replaced() -> ExportedWorld:
    """A world whose published files are partly those of a run that was killed."""
    number = 0
    while True:
        world = ExportedWorld()
        assert killed(world, number)
        if asyncio.run(verify(world.store, SETTINGS)).findings:
            return world
        number += 1


def task(world: ExportedWorld, **fields: Any) -> Task:
    made = world.task()
    return made._replace(request=made.request._replace(**fields))


def test_a_run_killed_anywhere_is_named_wherever_its_files_are_met_and_finished_without_the_source() -> None:
    half = 0
    for number in range(10_000):
        world = ExportedWorld()
        if not killed(world, number):
            break
        found = asyncio.run(verify(world.store, SETTINGS))
        assert bool(found.findings) == bool(found.finish), number
        if not found.findings:
            continue
        half += 1
        assert found.replaced_by == "r2"
        assert settings_in(found.finish).digest() == SETTINGS.digest()
        status = asyncio.run(verbs.status(everywhere(world.store), SETTINGS))
        assert (status.replaced_by, status.finish) == ("r2", found.finish)
        with pytest.raises(VerificationError) as refused:
            asyncio.run(restore(task(world)))
        assert found.finish in refused.value.sentence(COMMANDS)
        assert "--finish-run" in refused.value.sentence(COMMANDS)
        assert ("project", "copy") not in world.big.datasets
        asyncio.run(world.big.drop_dataset(asyncio.run(world.big.dataset("project", "data"))))
        result = asyncio.run(restore(task(world, finish_run=True)))
        assert (result.state, result.run) == ("restored", "r2"), number
        assert {name: world.rows(name) for name in ROWS} == LATER
        assert asyncio.run(verify(world.store, SETTINGS)).findings == ()
    assert half > 3


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "{table}/a b é_*.{ext}", "header": False, "delimiter": "\t", "null_marker": "'\\N'"},
        {"target": Target("gs", "memory", "a/b/"), "include": ("a*", "b"), "exclude": ("c?",), "labels": {"k": "v"}},
        {"incremental": True, "full_every": 86_400, "format": "parquet", "compression": "zstd", "file_size": 10**8},
        {"tables": parse_tables({"o'x": {"where": "a = '{x} y'", "masks": {"m": "null"}}}), "project": "a.com:p-1"},
        {"target": Target("file", "a folder"), "route": "read", "format": "parquet"},
    ],
)
def test_the_printed_command_has_every_setting_of_the_run(changes: dict[str, Any]) -> None:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    call = resume_call("r2", settings)
    again = settings_in(fill(call, COMMANDS))
    assert (again.digest(), again.target, again.run_id) == (settings.digest(), settings.target, "r2")
    assert settings_in(fill(fill(call, UNFILLED), COMMANDS)) == again
    assert settings_of_run(settings.frozen(), settings.target).digest() == settings.digest()
    ast.parse(fill(call), mode="eval")


def test_a_drill_names_the_run_that_was_stopped_and_finishes_it_on_request() -> None:
    world = half_replaced()
    scratch = Options(project="project", dataset="")
    done = asyncio.run(drill(task(world, options=scratch), Sample()))
    assert done.state == "different"
    assert "finish it (the source is not needed): `bqdump run --run-id r2 " in done.problems[0]
    done = asyncio.run(drill(task(world, options=scratch, finish_run=True), Sample()))
    assert (done.state, done.run) == ("proven", "r2")


def test_a_first_run_that_was_stopped_is_named_where_nothing_is_published() -> None:
    world = half_replaced()
    name = entry(world.store, SETTINGS.layout, "r1")
    found = world.store.peek(name)
    assert found
    asyncio.run(world.store.delete([(name, found[1].generation)]))
    with pytest.raises(NotFoundError, match=r"Run r2 was about to be published\. Finish it: bqdump\.run\(run_id='r2'"):
        asyncio.run(restore(task(world)))


def test_where_every_run_keeps_its_files_or_is_published_no_run_is_named() -> None:
    world = ExportedWorld()
    assert asyncio.run(verbs.status(everywhere(world.store), SETTINGS)).finish == ""
    keeps = msgspec.structs.replace(SETTINGS, path="{run}/{table}_*.{ext}")
    asyncio.run(export(ExportTask(world.store, world.big, keeps, "r3", Owner("r3", 0), 1)))
    assert asyncio.run(verbs.status(everywhere(world.store), keeps)).finish == ""
