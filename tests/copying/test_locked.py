"""Copies that are locked: written once, pruned only once their locks have ended, and nothing else is coordinated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.check.verify import verify
from bqdump.copying.run import copy
from bqdump.core.documents.codec import encode
from bqdump.core.documents.retention import PrunedRun
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Drill
from bqdump.core.errors import BqdumpError, DeniedError, NotFoundError, UsageError, VerificationError
from bqdump.core.restore.plan import Options
from bqdump.core.retention.policy import Policy, policy_of
from bqdump.ports.store import Abilities, ObjectInfo
from bqdump.repository.repository import overwrite
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as Restoring
from bqdump.retain.prune import prune as prune_place
from bqdump.retain.survey import Task
from bqdump_memory import MemoryDestination
from copying.scene import Copies
from copying.test_interrupted import KilledError, Watched, in_a_thread
from entries import entry
from retain.scene import DAY


@pytest.fixture(params=["as Cloud Storage", "as S3"])
def vault(request: pytest.FixtureRequest) -> Copies:
    return Copies("keep", Abilities(listed_checksums=request.param == "as Cloud Storage"))


def ends(vault: Copies) -> dict[str, int]:
    return {name: found[1].locked_until for name in vault.target.names_now() if (found := vault.target.peek(name))}


def night(vault: Copies, run: str, lock: int = 14) -> None:
    """Export a day later, and copy."""
    vault.export(run)
    vault.copy(lock=lock)


def prune(vault: Copies, days: int, **settings: int) -> Sequence[str]:
    """Prune some days later; the runs that went."""
    vault.source.now += days * DAY
    vault.target.lock = None
    return vault.prune(0, (), **settings)


def intact(vault: Copies) -> None:
    """Hold that every run that is there is complete, and locked as long as its manifest says."""
    for manifest in vault.manifests():
        assert not vault.verify(manifest.run).findings


def published(vault: Copies) -> str:
    return vault.verify().run


Read = Callable[[Copies, MemoryStore], Coroutine[Any, Any, object]]


def verifying(vault: Copies, store: MemoryStore) -> Coroutine[Any, Any, object]:
    return verify(store, vault.there, "r1")


def restoring(vault: Copies, store: MemoryStore) -> Coroutine[Any, Any, object]:
    into = MemoryDestination(store, vault.source.warehouse.clock)
    request = Request(Options(project="p", dataset="copy"), "r1")
    return restore(Restoring(store, into, vault.there, request, Owner("x", 0), 1))


def test_nothing_is_written_twice(vault: Copies) -> None:
    night(vault, "r1")
    before = {name: vault.target.peek(name) for name in vault.target.names_now()}
    assert min(ends(vault).values()) == vault.source.now + 14 * DAY
    night(vault, "r2")
    for name, found in before.items():
        now = vault.target.peek(name)
        assert found
        assert now
        assert (now[0], now[1].generation) == (found[0], found[1].generation)
    intact(vault)
    assert published(vault) == "r2"


def test_a_prune_says_until_when_runs_are_locked_and_frees_what_is_free(vault: Copies) -> None:
    night(vault, "r1")
    night(vault, "r2")
    assert prune(vault, 12, keep_last=1) == []
    # The day after the first one's lock has ended, and before the second one's.
    removed = prune(vault, 1, keep_last=1)
    assert removed == ["r1"]
    left = vault.target.names_now()
    assert not [name for name in left if "/r1/" in name or "r1.json" in name]
    assert published(vault) == "r2"
    intact(vault)


def test_files_that_a_kept_run_names_stay(vault: Copies) -> None:
    for run in ("r1", "r2", "r3"):
        vault.export(run, incremental=True)
        vault.copy(lock=3)
    shared = {file.name for entry in vault.manifest("r3").tables for file in entry.files if "/r3/" not in file.name}
    assert shared
    assert "r1" in prune(vault, 30, keep_last=1)
    assert shared <= set(vault.target.names_now())
    intact(vault)
    assert not vault.verify().findings


def test_no_document_of_an_export_decides_about_a_locked_copy(vault: Copies) -> None:
    for run in ("r1", "r2", "r3"):
        night(vault, run, 3)
    vault.target.lock = None
    names = vault.there.layout.run("r2")
    for name, planted in (
        (vault.there.layout.mark("r2").name, encode(PrunedRun(run="r2"))),
        (vault.there.layout.mark("r1").name, b"junk"),
        (names.plan.name, b"junk"),
        (vault.there.layout.publishing.name, b"junk"),
    ):
        vault.target.put_now(name, planted)
    assert prune(vault, 30, keep_last=2) == ["r1"]
    # A lock that has ended is all that is found.
    assert {str(finding.kind) for finding in vault.verify("r2").findings} <= {"lock"}
    assert [file for entry in vault.manifest("r2").tables for file in entry.files if vault.target.peek(file.name)]


def test_what_an_abandoned_copy_has_left_goes_once_its_lock_has_ended(vault: Copies) -> None:
    night(vault, "r1")
    vault.target.put_now("copies/gone/items/items_0.csv", b"of a copy that was killed")
    vault.target.lock = None
    vault.target.put_now("copies/foreign", b"of somebody else")
    assert prune(vault, 1) == []
    assert "copies/gone/items/items_0.csv" in vault.target.names_now()
    prune(vault, 30)
    assert "copies/gone/items/items_0.csv" not in vault.target.names_now()
    assert "copies/foreign" in vault.target.names_now()


def test_an_entry_of_what_is_not_there_is_passed_over(vault: Copies, caplog: pytest.LogCaptureFixture) -> None:
    night(vault, "r1")
    night(vault, "r2")
    layout = vault.there.layout
    newest = entry(vault.target, layout, "r2")
    found = vault.target.peek(newest)
    assert found
    for run, junk in (("r9", b"junk"), ("r8", found[0]), ("r7", found[0].replace(b'"r2"', b'"r7"'))):
        vault.target.put_now(newest.replace("-r2", f"-{run}"), junk)
    assert published(vault) == "r2"
    for run in ("r9", "r8", "r7"):
        assert f"{newest.replace('-r2', f'-{run}')} is not used" in caplog.text


def test_a_file_that_was_pruned_while_its_run_was_copied_is_no_file_of_the_copy(vault: Copies) -> None:
    night(vault, "r1")
    (name, *_) = vault.data()
    with pytest.raises(UsageError, match="locked copies"):
        vault.copy("r1")
    # The store itself refuses.
    found = vault.target.peek(name)
    assert found
    with pytest.raises(DeniedError):
        vault.target.put_now(name, b"forged")


class Keeping(MemoryStore):
    """A bucket that keeps all objects for so long that nobody may delete these."""

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        answers = list[bool | BqdumpError]()
        for name, generation in objects:
            kept = "/drills/" in name
            denied = DeniedError("delete", name, "the bucket keeps it")
            answers += [denied] if kept else await super().delete([(name, generation)])
        return answers


def test_old_documents_that_the_pruner_may_not_delete_are_left_and_named(vault: Copies) -> None:
    vault.target = Keeping("second", page=100, abilities=vault.target.abilities)
    vault.target.clock = lambda: vault.source.now
    night(vault, "r1")
    vault.target.lock = None
    for number in range(2):
        note = Drill(
            run="r1", snapshot=1, dataset="p.x", tool="1", began=vault.source.now + number,
            ended=vault.source.now + number, tables=1, of=1,
        )  # fmt: skip
        asyncio.run(overwrite(vault.target, vault.there.layout.drill(f"d{number}"), note))
    night(vault, "r2")
    vault.source.now += 60 * DAY
    vault.target.lock = None
    settings = msgspec.structs.replace(vault.there, keep_last=1)
    task = Task(vault.target, settings, policy_of(settings), vault.source.now, delete=True)
    pruned = asyncio.run(prune_place(task))
    assert [run.run for run in pruned.removed] == ["r1"]
    # The other one is the last drill.
    assert pruned.left == (vault.there.layout.drill("d0").name,)
    assert not [note for note in pruned.notes if "Removed" in note]


def test_a_night_a_day_needs_no_more_storage_than_its_locks_and_rules_keep(vault: Copies) -> None:
    nights = []
    for number in range(40):
        night(vault, f"n{number:03d}")
        prune(vault, 0, keep_daily=14)
        nights.append((len(vault.manifests()), len(vault.target.names_now())))
    # The figures of docs/internals/copying.md: 14 days of locks and 14 daily runs are the same runs.
    assert {len(manifest.tables) for manifest in vault.manifests()} == {2}
    assert nights[13:] == [(14, 86)] * 27
    intact(vault)


class Overtaken(MemoryStore):
    """The vault as a process sees it; something else happens when that looks at its first file."""

    def __init__(self, vault: Copies, act: Callable[[], Awaitable[object]]) -> None:
        self.__dict__ = vault.target.__dict__ | {"act": act}

    async def stat(self, name: str) -> ObjectInfo | None:
        await self._meanwhile(name)
        return await super().stat(name)

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        await self._meanwhile(prefix)
        async for page in super().objects(prefix, start):
            yield page

    async def _meanwhile(self, name: str) -> None:
        if "/_bqdump/" not in name and (act := self.__dict__.pop("act", None)):
            await act()


@pytest.mark.parametrize("read", [verifying, restoring], ids=["verify", "restore"])
def test_whoever_reads_a_locked_run_while_it_is_pruned_is_told_so(vault: Copies, read: Read) -> None:
    night(vault, "r1")
    night(vault, "r2")
    vault.target.lock = None
    vault.source.now += 30 * DAY
    settings = msgspec.structs.replace(vault.there, keep_last=1)

    async def prune_now() -> None:
        await prune_place(Task(vault.target, settings, policy_of(settings), vault.source.now, delete=True))

    with pytest.raises(NotFoundError, match=r"run r1: it was pruned\. bqdump\.runs\(\) lists"):
        asyncio.run(read(vault, Overtaken(vault, prune_now)))


@pytest.mark.parametrize("read", [verifying, restoring], ids=["verify", "restore"])
def test_a_planted_mark_explains_no_damage_of_a_locked_run(vault: Copies, read: Read) -> None:
    night(vault, "r1")
    vault.target.lock = None
    vault.target.put_now(vault.there.layout.mark("r1").name, encode(PrunedRun(run="r1")))
    assert published(vault) == "r1"
    vault.source.now += 30 * DAY
    damaged = next(name for name in vault.data() if "/items/" in name)

    async def damage() -> None:
        vault.target.put_now(damaged, b"other")

    # A NotFoundError would say that it was pruned.
    with suppress(VerificationError):
        asyncio.run(read(vault, Overtaken(vault, damage)))
    assert vault.verify("r1").findings


class Slow(MemoryStore):
    """The vault as a copy writes to it that takes long: its lock ends, and a prune follows, before it stores this."""

    def __init__(self, vault: Copies, storing: str) -> None:
        self.__dict__ = vault.target.__dict__ | {"vault": vault, "storing": storing}

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        await self._take_long(name)
        return await super().stream(name, pieces, expect)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        await self._take_long(name)
        return await super().write(name, data, expect)

    async def _take_long(self, name: str) -> None:
        vault = self.__dict__["vault"]
        if self.lock and name.endswith(self.__dict__["storing"]) and vault.source.now < self.lock.until:
            vault.source.now += 2 * DAY
            await prune_place(Task(vault.target, vault.there, Policy(last=1), vault.source.now, delete=True))


@pytest.mark.parametrize("storing", ["items_000000000000.csv", "r2/manifest.json", "r2/contents.json"])
def test_a_copy_that_takes_longer_than_its_lock_lasts_names_no_file_that_is_gone(vault: Copies, storing: str) -> None:
    night(vault, "r1", 100)
    vault.export("r2")
    task = vault.task(lock=1)
    slow = Slow(vault, storing)
    task = task._replace(target=task.target._replace(store=slow), mover=StreamMover(task.source.store, slow))
    with pytest.raises(UsageError, match=r"its lock ended at .*, before the copy was complete"):
        asyncio.run(copy(task, (), Policy(), every=False))
    vault.target.lock = None
    intact(vault)
    assert published(vault) == "r1"
    vault.copy(lock=14)
    intact(vault)
    assert published(vault) == "r2"


@pytest.mark.parametrize("data", [b"junk", b"of another run"])
def test_what_lists_show_of_a_run_and_was_there_before_its_copy_is_named_once_the_copy_is_complete(
    data: bytes, vault: Copies
) -> None:
    night(vault, "r1")
    layout = vault.there.layout
    names = {run: layout.run(run).contents.name for run in ("r1", "r2")}
    of_r1 = vault.target.peek(names["r1"])
    assert of_r1
    vault.target.put_now(names["r2"], data if data == b"junk" else of_r1[0].replace(b"r1", b"r2"))
    vault.export("r2")
    with pytest.raises(VerificationError, match="was stored before run r2 was copied") as error:
        vault.copy(lock=14)
    assert names["r2"] in error.value.subject
    assert published(vault) == "r2"
    assert vault.verify().findings == ()


def test_it_is_named_also_by_the_repeated_copy_where_the_first_was_killed_once_it_had_its_manifest(
    vault: Copies,
) -> None:
    night(vault, "r1")
    layout = vault.there.layout
    of_r1 = vault.target.peek(layout.run("r1").contents.name)
    assert of_r1
    vault.target.put_now(layout.run("r2").contents.name, of_r1[0].replace(b"r1", b"r2"))
    vault.export("r2")

    def before(what: str, name: str) -> None:
        if name == layout.run("r2").contents.name and vault.target.peek(layout.run("r2").manifest.name):
            raise KilledError

    with pytest.raises(KilledError):
        asyncio.run(
            copy(vault.task(None, cast("Any", Watched(vault.target, before)), lock=14), (), Policy(), every=False)
        )
    with pytest.raises(VerificationError, match="was stored before run r2 was copied"):
        vault.copy(lock=14)
    assert published(vault) == "r2"
    # It is named once: later copies are not held up as long as it is locked.
    assert [run.state for run in vault.copy(lock=14).runs] == ["there"]


def test_a_copy_that_locks_a_run_for_longer_while_a_prune_deletes_it_says_that_it_was_deleted(vault: Copies) -> None:
    night(vault, "r1")
    vault.source.now += 60 * DAY
    manifest = vault.there.layout.run("r1").manifest.name
    deleted: list[str] = []

    def before(what: str, name: str) -> None:
        found = vault.target.peek(manifest)
        if name.startswith(vault.there.layout.log) and found:
            deleted.append(manifest)
            in_a_thread(lambda: asyncio.run(vault.target.delete([(manifest, found[1].generation)])))

    target = cast("Any", Watched(vault.target, before))
    with pytest.raises(VerificationError, match="deleted or replaced while run r1 was copied"):
        asyncio.run(copy(vault.task(None, target, lock=14), (), Policy(), every=False))
    assert deleted


def test_what_lists_show_of_a_run_and_was_there_before_its_copy_is_replaced_where_nothing_is_locked() -> None:
    copies = Copies("keep")
    copies.export("r1")
    copies.copy()
    copies.export("r2")
    contents = copies.there.layout.run("r2").contents
    copies.target.put_now(contents.name, b"junk")
    copies.copy()
    for document in (contents,):
        found = copies.target.peek(document.name)
        assert found
        assert b'"run":"r2"' in found[0].replace(b": ", b":")
