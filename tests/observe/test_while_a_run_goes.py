"""Whoever looks at runs while one of them is pruned or erased gets an answer, or one sentence with what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bqdump import verbs
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import BqdumpError
from bqdump.core.settings.settings import Settings
from bqdump.core.times import AsOf
from bqdump.ports.store import ObjectStore
from bqdump.retain.erase import erase
from bqdump.retain.prune import prune
from bqdump.retain.rewrite import Task
from restore.paused import Pause, Pausing
from retain.scene import DAY, SETTINGS, START, Scene
from tiers import points

StoreAt = Callable[[Any], ObjectStore]
Look = Callable[[StoreAt, Settings], Coroutine[Any, Any, Any]]


async def pruned(scene: Scene) -> None:
    """The older run leaves the log, and goes a day later."""
    for _ in range(2):
        await prune(scene.pruning())
        scene.now += DAY


async def erased(scene: Scene) -> None:
    await erase(Task(scene.store, SETTINGS, Erasing("sales", scene.now, "dana", "why"), None, delete=True))


LOOKS: dict[str, Look] = {
    "status": lambda at, of: verbs.status(at, of),
    "status RUN": lambda at, of: verbs.status(at, of, "r1"),
    "runs": lambda at, of: verbs.runs(at, of),
    "runs --storage": lambda at, of: verbs.runs(at, of, storage=True),
    "runs --growth": lambda at, of: verbs.growth(at, of),
    "ls": lambda at, of: verbs.ls(at, of),
    "ls RUN": lambda at, of: verbs.ls(at, of, "r1"),
    "--as-of": lambda at, of: verbs.run_as_of(at, of, AsOf(START + 2 * DAY - 1, "then")),
    "diff": lambda at, of: verbs.diff(at, of),
    "diff RUN RUN": lambda at, of: verbs.diff(at, of, "r1", "r2"),
    "report": lambda at, of: verbs.report(at, of),
    "report RUN": lambda at, of: verbs.report(at, of, "r1"),
    "report --since": lambda at, of: verbs.report(at, of, since="r1"),
    "report --drill RUN": lambda at, of: verbs.report(at, of, "r1", drill=True),
    "verify": lambda at, of: verbs.verify(at, of),
    "verify RUN": lambda at, of: verbs.verify(at, of, "r1"),
    "runs --tag": lambda at, of: verbs.tag(at, of, "r1", ["keep"]),
}


async def look_beside(scene: Scene, look: Look, meanwhile: Any, at: int) -> bool:
    """Whether the look was paused before this request, while the other happened."""
    pause = Pause(at)
    store = Pausing(scene.store, pause)
    looking = asyncio.create_task(look(lambda _: store, SETTINGS))
    if paused := await pause.reach(looking):
        await meanwhile(scene)
    pause.over.set()
    await asyncio.wait([looking])
    if error := looking.exception():
        assert isinstance(error, BqdumpError), (at, error)
        assert error.cause, (at, error)
        assert error.hint, (at, error)
    return paused


@pytest.mark.parametrize("meanwhile", [pruned, erased])
@pytest.mark.parametrize("name", LOOKS)
def test_a_look_at_runs_answers_while_one_of_them_goes(name: str, meanwhile: Any) -> None:
    for at in points(range(1_000)):
        scene = Scene()
        scene.run("r1", "r2", incremental=True)
        if not asyncio.run(look_beside(scene, LOOKS[name], meanwhile, at)):
            break
    assert at
