"""A copy that meets the prune of its own run in the place of the copies: no file stays that nothing names."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bqdump.copying.run import copy
from bqdump.core.errors import NotFoundError, UsageError
from bqdump.core.retention.policy import Policy
from bqdump.observe.history import list_runs
from copying.scene import Copies, complete
from copying.test_interrupted import Watched


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


def test_a_manifest_that_comes_after_its_prune_shows_readers_no_run_and_goes_with_the_next_one() -> None:
    copies = Copies()
    copies.export("n1", "n2")
    copies.copy("n2", "n1")
    name = copies.there.layout.run("n1").manifest.name
    found = copies.target.peek(name)
    assert found
    assert copies.prune(keep_last=1) == ["n1"]
    copies.target.put_now(name, found[0])
    assert [line.run for line in asyncio.run(list_runs(copies.target, copies.there))] == ["n2"]
    with pytest.raises(NotFoundError, match="run n1: it was pruned"):
        copies.verify("n1")
    assert copies.prune(keep_last=5) == ["n1"]
    assert not [name for name in copies.target.names_now() if "/n1/" in name]


def test_a_run_comes_back_once_its_mark_is_deleted() -> None:
    copies = Copies()
    copies.export("n1", "n2")
    copies.copy(every=True)
    copies.prune(keep_last=1)
    with pytest.raises(UsageError, match=r"run n1: it was pruned in gs://second/copies/"):
        copies.copy("n1")
    mark = copies.target.peek(copies.there.layout.mark("n1").name)
    assert mark
    asyncio.run(copies.target.delete([(mark[1].name, mark[1].generation)]))
    copies.copy("n1")
    complete(copies)
    assert (copies.verify("n1").findings, copies.latest()) == ((), "n2")


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
