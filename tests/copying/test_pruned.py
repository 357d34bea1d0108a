"""A copy that meets the prune of its own run in the place of the copies: no file stays that nothing names."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bqdump.copying.run import copy
from bqdump.core.errors import NotFoundError, UsageError
from bqdump.core.retention.policy import Policy, policy_of
from bqdump.observe.history import list_runs
from bqdump.retain.prune import prune
from bqdump.retain.survey import Task as Pruning
from copying.scene import Copies, complete
from copying.test_interrupted import KilledError, Watched
from retain.scene import DAY


def at(number: int, act: Callable[[], object]) -> Callable[[str, str], None]:
    """Does something at the request of this number, once; of those that change something."""
    left, done = iter(range(number)), list[str]()

    def before(what: str, name: str) -> None:
        if what in ("write", "note", "stream", "delete") and next(left, None) is None and not done:
            done.append(name)
            thread = threading.Thread(target=act)
            thread.start()
            thread.join()

    return before


def unnamed(copies: Copies) -> list[str]:
    """Files that no manifest names."""
    named = {file.name for manifest in copies.manifests() for entry in manifest.tables for file in entry.files}
    return [name for name in copies.data() if name not in named]


def abandoned(copies: Copies, days: int) -> None:
    copies.prune(days=days, keep_last=5, abandoned_after=86_400)


def test_files_that_arrive_after_a_prune_took_the_copy_for_an_abandoned_one_go_with_the_next_prune() -> None:
    """At whichever of its requests the copy was stopped meanwhile, such as by a machine that slept."""
    number, refused = 0, 0
    while True:
        copies = Copies()
        copies.export("n1")
        pruned: list[int] = []

        def prune_now() -> None:
            pruned.append(1)  # noqa: B023
            abandoned(copies, 2)  # noqa: B023

        target: Any = Watched(copies.target, at(number, prune_now))
        try:
            asyncio.run(copy(copies.task(None, target), (), Policy(), every=False))
        except (NotFoundError, UsageError):
            refused += 1
        complete(copies)
        if not pruned:
            break
        for days in (5, 8):
            abandoned(copies, days)
        complete(copies)
        assert not unnamed(copies), f"request {number}"
        number += 1
    assert refused > 3


def test_the_same_command_completes_a_copy_whose_files_a_prune_deleted_meanwhile() -> None:
    copies = Copies()
    copies.export("n1")
    stored: list[str] = []

    def before(what: str, name: str) -> None:
        if what == "stream":
            stored.append(name)
            if len(stored) == 2:
                thread = threading.Thread(target=lambda: abandoned(copies, 2))
                thread.start()
                thread.join()

    target: Any = Watched(copies.target, before)
    with pytest.raises(NotFoundError, match="a prune of gs://second/copies/ has deleted what was copied of it"):
        asyncio.run(copy(copies.task(None, target), (), Policy(), every=False))
    copies.copy()
    complete(copies)
    assert (copies.latest(), unnamed(copies)) == ("n1", [])


@pytest.mark.parametrize("kept", [True, False], ids=["complete", "abandoned"])
def test_a_late_prune_of_a_run_that_another_one_has_deleted_leaves_its_new_copy_alone(kept: bool) -> None:
    """It has looked at the run before, and would delete what names the files of the new copy, but not these."""
    copies = Copies()
    copies.export("n1", "n2")
    if kept:
        copies.copy("n1")
    else:
        kill_after(copies, "n1", streams=1)
    copies.copy("n2")
    tombstone = copies.there.layout.run("n1").tombstone.name

    def between(what: str, name: str) -> None:
        if name == tombstone and what == "write" and not begun:
            begun.append(name)
            thread = threading.Thread(target=prune_and_copy_again)
            thread.start()
            thread.join()

    def prune_and_copy_again() -> None:
        copies.prune(days=2, keep_last=1, abandoned_after=86_400)
        copies.source.now += 2 * DAY
        kill_after(copies, "n1", streams=2)

    begun: list[str] = []
    late: Any = Watched(copies.target, between)
    settings = msgspec.structs.replace(copies.there, keep_last=1, abandoned_after=86_400)
    task = Pruning(late, settings, policy_of(settings), copies.source.now + 2 * DAY, delete=True)
    result = asyncio.run(prune(task))
    assert begun
    why = "its manifest was deleted meanwhile" if kept else "it is needed again"
    assert ("n1", False, (why,)) in [(run.run, run.removed, run.reasons) for run in result.runs]
    assert [name for name in copies.data() if "/n1/" in name]
    assert copies.target.peek(copies.there.layout.run("n1").copying.name)
    copies.copy("n1")
    complete(copies)
    assert not unnamed(copies)
    assert {manifest.run for manifest in copies.manifests()} == {"n1", "n2"}


def kill_after(copies: Copies, run: str, streams: int) -> None:
    """Copy a run, and kill the process once it has stored so many files."""
    left = iter(range(streams))

    def before(what: str, name: str) -> None:
        if what == "stream" and next(left, None) is None:
            raise KilledError
        if name.endswith("/copied/000000.json"):
            raise KilledError

    target: Any = Watched(copies.target, before)
    with pytest.raises(KilledError):
        asyncio.run(copy(copies.task(None, target), (run,), Policy(), every=False))


def left_over() -> Copies:
    """n2 is published; the prune of n1 was over when its manifest was stored, by a task that was killed then."""
    copies = Copies()
    copies.export("n1", "n2")
    copies.copy("n2")
    manifest = copies.there.layout.run("n1").manifest.name
    stored: list[str] = []

    def before(what: str, name: str) -> None:
        if stored:
            raise KilledError
        if (what, name) == ("write", manifest):
            stored.append(name)
            thread = threading.Thread(target=copy_and_prune)
            thread.start()
            thread.join()

    def copy_and_prune() -> None:
        copies.copy("n1")
        assert copies.prune(keep_last=1) == ["n1"]

    slow: Any = Watched(copies.target, before)
    with pytest.raises(KilledError):
        asyncio.run(copy(copies.task(None, slow), ("n1",), Policy(), every=False))
    assert copies.target.peek(manifest)
    assert not [name for name in copies.data() if "/n1/" in name]
    return copies


def test_a_manifest_that_comes_after_its_prune_shows_readers_no_run() -> None:
    copies = left_over()
    assert [line.run for line in asyncio.run(list_runs(copies.target, copies.there))] == ["n2"]
    with pytest.raises(NotFoundError, match="run n1: it was pruned meanwhile"):
        copies.verify("n1")


def test_a_manifest_that_comes_after_its_prune_takes_no_place_of_another_run_and_goes_with_the_next_prune() -> None:
    copies = left_over()
    assert copies.prune(keep_last=5) == ["n1"]
    assert not [name for name in copies.target.names_now() if "/n1" in name]
    complete(copies)


def test_a_run_whose_manifest_came_after_its_prune_is_copied_anew() -> None:
    copies = left_over()
    copies.copy("n1")
    complete(copies)
    assert (copies.verify("n1").findings, copies.latest()) == ((), "n2")
    assert copies.prune(keep_last=5) == []


def test_a_copy_replaces_a_manifest_that_came_after_the_prune_of_the_copy_before_it() -> None:
    copies = left_over()
    name = copies.there.layout.run("n1").manifest.name
    found = copies.target.peek(name)
    assert found
    assert copies.prune(keep_last=5) == ["n1"]
    late: list[str] = []

    def before(what: str, stored: str) -> None:
        if (what, stored, late) == ("write", name, []):
            late.append(stored)
            copies.target.put_now(name, found[0])

    target: Any = Watched(copies.target, before)
    asyncio.run(copy(copies.task(None, target), ("n1",), Policy(), every=False))
    assert late
    complete(copies)


def test_a_copy_that_lacks_a_file_and_has_not_ended_is_not_pruned_as_one_that_was() -> None:
    copies = Copies()
    copies.export("n1", "n2")
    copies.copy(every=True)
    lost = next(name for name in copies.data() if "/n1/" in name)
    found = copies.target.peek(lost)
    assert found
    asyncio.run(copies.target.delete([(lost, found[1].generation)]))
    assert copies.prune(keep_last=5) == []
    assert [finding.file for finding in copies.verify("n1").findings] == [lost]
