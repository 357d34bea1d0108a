"""A dataset of a set whose files a killed run was replacing is named, and finished by itself."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bqdump import verbs
from bqdump.check.findings import Verified
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.sets import SetManifest
from bqdump.core.errors import VerificationError
from bqdump.core.sets.member import one_dataset
from bqdump.core.wording import COMMANDS
from bqdump.sets.run import run_set
from opened import everywhere
from restore.killed import Counting, Killed, Mortal
from sets.restores import RestoreWorld


def killed(world: RestoreWorld, number: int) -> bool:
    """Run r2 of a set with another row in every table, killed at a request; whether it was."""
    for dataset in ("ops_eu", "ops_us", "sales"):
        for table in ("orders", "items"):
            world.big.put("p", dataset, table, [f"{dataset}.{table}", "new"])
    task = world.task("r2")
    task = task._replace(store=Mortal(task.store, Counting(number)))
    ended = False
    try:
        asyncio.run(run_set(task))
    except* Killed:
        ended = True
    return ended


def stopped() -> tuple[RestoreWorld, Verified]:
    """A set of which the second run was killed while it replaced files, and what verify finds."""
    for number in range(60, 10_000, 3):
        world = RestoreWorld()
        assert killed(world, number)
        found = asyncio.run(verbs.verify(everywhere(world.store), world.settings()))
        if found.findings:
            break
    return world, found


def test_each_dataset_whose_files_a_killed_run_was_replacing_is_named_and_finished() -> None:
    world, found = stopped()
    named = {one.dataset for one in found.datasets if one.findings}
    assert named
    assert {one.dataset for one in found.datasets if "finish it" in one.note} >= named
    status = asyncio.run(verbs.status(everywhere(world.store), world.settings()))
    problems = {one.dataset: one.problem for one in status.datasets}
    assert all(f"bqdump run --run-id r2 --project p --dataset {name} " in problems[name] for name in named)
    with pytest.raises(VerificationError) as refused:
        world.restore()
    assert "finish it (the source is not needed): `bqdump run --run-id r2" in refused.value.sentence(COMMANDS)
    done = world.restore(execution="second", finish_run=True)
    assert done.state == "restored"
    assert all(world.rows(f"{name}_copy", "orders") == [f"{name}.orders", "new"] for name in named)
    assert asyncio.run(verbs.verify(everywhere(world.store), world.settings())).findings == ()


def test_it_is_finished_in_datasets_that_have_left_the_set() -> None:
    world, found = stopped()
    (name, *_) = (one.dataset for one in found.datasets if one.findings)
    stored = world.store.peek(world.settings().layout.set_manifest.name)
    assert stored
    project = decode(stored[0], SetManifest, stored[1].name)
    others = tuple(one for one in project.datasets if one.dataset != name)
    world.store.put_now(stored[1].name, encode(msgspec.structs.replace(project, datasets=others)))
    world.restore(execution="second", finish_run=True)
    left = one_dataset(world.settings(), name)
    assert asyncio.run(verbs.verify(everywhere(world.store), left)).run == "r2"
