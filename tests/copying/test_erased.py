"""Copies and erasures: a copy is erased for itself, and copying goes on afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.copying.run import copy
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.copying import Copying, Expected
from bqdump.core.documents.retention import Erasure, ObjectVersion
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import BqdumpError, DeniedError, NotFoundError, UnavailableError, UsageError
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.repository import Loaded
from bqdump.retain.erase import erase
from bqdump.retain.prune import prune
from bqdump.retain.rewrite import Task, delete_files
from bqdump.retain.survey import Task as Pruning
from copying.scene import Copies, complete
from copying.test_interrupted import KilledError, Watched, in_a_thread


def erased(copies: Copies, store: ObjectStore, settings: Settings, after: int = 5000) -> tuple[str, ...]:
    erasing = Erasing("sales", copies.source.now + after, "dana", "why")
    return asyncio.run(erase(Task(store, settings, erasing, delete=True))).runs


def test_a_copy_is_erased_for_itself_and_later_runs_are_copied() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    copies.copy("r1", "r2")
    assert erased(copies, copies.source.store, copies.settings) == ("r1", "r2")
    assert any("/sales_" in name for name in copies.data())
    assert erased(copies, copies.target, copies.there) == ("r1", "r2")
    assert not any("/sales_" in name for name in copies.data())
    copies.export("r3")
    copies.copy("r1", "r2", "r3")
    complete(copies)
    assert copies.verify().findings == ()
    assert [[entry.table for entry in copies.manifest(run).tables] for run in ("r1", "r3")] == [
        ["items"], ["items", "sales"],
    ]  # fmt: skip


def test_a_run_that_was_erased_before_it_is_copied_arrives_without_the_table() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    erased(copies, copies.source.store, copies.settings)
    copies.copy("r1", "r2")
    complete(copies)
    assert [note.table for note in copies.manifest("r1").erased] == ["sales"]
    assert not any("/sales_" in name for name in copies.data())


def test_a_locked_copy_is_refused_with_the_date_of_its_lock() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1", lock=30)
    until = time_of(copies.source.now) + timedelta(days=30)
    with pytest.raises(UsageError, match=f"is locked until {until:%Y-%m-%d}"):
        erased(copies, copies.target, copies.there)


def mark(copies: Copies) -> Erasing:
    """The mark of an erasure of the copy, as one that was killed has left it."""
    name = copies.there.layout.latest.name
    found = copies.target.peek(name)
    assert found
    erasing = Erasing("sales", copies.source.now + 5000, "dana", "why")
    copies.target.put_now(copies.there.layout.erasing.name, encode(erasing))
    return erasing


def marked(copies: Copies) -> Erasing | None:
    document = copies.there.layout.erasing
    found = copies.target.peek(document.name)
    return decode(found[0], document.type, document.name) if found else None


def test_no_copy_begins_while_a_table_is_erased_there() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    copies.copy("r1")
    erasing = mark(copies)
    data = copies.data()
    with pytest.raises(UnavailableError, match="table sales is being erased") as refused:
        copies.copy("r2")
    assert fill(refused.value.hint, COMMANDS) == (
        "Finish it: bqdump erase sales.sales --bucket second --prefix copies --yes"
    )
    assert (copies.data(), marked(copies)) == (data, erasing)
    assert erased(copies, copies.target, copies.there) == ("r1",)
    copies.copy("r2")
    complete(copies)


def test_a_copy_that_is_there_already_keeps_the_mark_of_an_erasure() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    erasing = mark(copies)
    copies.copy("r1")
    assert marked(copies) == erasing


def test_an_erasure_deletes_no_file_that_a_copy_has_announced() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    erasing, store = mark(copies), copies.target
    announced, other = "copies/r9/sales/sales_0.csv", "copies/r8/sales/sales_0.csv"
    files = []
    for name in (announced, other):
        store.put_now(name, b"rows")
        found = store.peek(name)
        assert found
        files.append(ObjectVersion(name, found[1].generation, 4))
    layout = copies.there.layout
    note = Copying("r9", "gs://memory/x/", "0" * 64, (Expected(announced, 4, "AAAAAA=="),))
    store.put_now(layout.run("r9").copying.name, encode(note))
    record = Loaded(Erasure(erasing=erasing, runs=("r8",), files=tuple(files)), 0)
    asyncio.run(delete_files(Task(store, copies.there, erasing, delete=True), record))
    assert (store.peek(announced) is None, store.peek(other) is None) == (False, True)


def test_a_copy_of_a_run_that_was_erased_in_one_place_only_says_where_to_erase_it() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    erased(copies, copies.source.store, copies.settings)
    with pytest.raises(UsageError, match="table sales was erased from it in the source, and not in") as refused:
        copies.copy("r1")
    expected = "Erase it there as well: bqdump erase sales.sales --reason REASON --bucket second --prefix copies"
    assert fill(refused.value.hint, COMMANDS) == expected
    other = Copies()
    other.export("r1")
    other.copy("r1")
    erased(other, other.target, other.there)
    with pytest.raises(UsageError, match="table sales was erased from it in gs://second/copies/, and not in") as back:
        other.copy("r1")
    assert fill(back.value.hint, COMMANDS).endswith("brings it back: bqdump erase sales.sales --reason REASON")


def test_a_locked_copy_of_a_run_that_was_erased_says_until_when_it_stays() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1", lock=30)
    until = time_of(copies.source.now) + timedelta(days=30)
    erased(copies, copies.source.store, copies.settings)
    with pytest.raises(UsageError, match=rf"It is locked there until {until:%Y-%m-%d}.*let prune delete it"):
        copies.copy("r1", lock=30)


def unfinished(copies: Copies, run: str) -> None:
    """A copy of the run that was killed when it had all files."""
    stopped(copies, run, "/manifest.json")


def stopped(copies: Copies, run: str, at: str) -> None:
    """A copy of the run that was killed before it stored its manifest or a later document, whose name ends so."""
    names = copies.there.layout.run(run)

    def before(what: str, name: str) -> None:
        final = name != names.copying.name or copies.target.peek(names.manifest.name)
        if at in name and what in ("write", "note") and final:
            raise KilledError

    target: Any = Watched(copies.target, before)
    with pytest.raises(KilledError):
        asyncio.run(copy(copies.task(None, target), (run,), Policy(), every=False))


def test_an_unfinished_copy_of_a_run_that_was_erased_since_says_how_to_delete_it_and_nothing_of_it_stays() -> None:
    copies = Copies()
    copies.export("r1")
    unfinished(copies, "r1")
    assert any("/sales_" in name for name in copies.data())
    assert erased(copies, copies.source.store, copies.settings) == ("r1",)
    copies.source.now += 120_000
    with pytest.raises(UsageError, match="has an unfinished copy of an earlier version of this run") as refused:
        copies.copy("r1")
    assert fill(refused.value.hint, COMMANDS) == (
        "Delete that one first, an hour after it was stopped: "
        "bqdump prune r1 --bucket second --prefix copies --abandoned-after 1h --yes"
    )
    copies.source.now += 3_600_000
    assert copies.prune(days=0, abandoned_after=3600, named=("r1",)) == ["r1"]
    assert not copies.data()
    copies.copy("r1")
    complete(copies)
    assert [entry.table for entry in copies.manifest("r1").tables] == ["items"]
    assert not any("/sales_" in name for name in copies.data())


def test_files_of_an_unfinished_copy_that_an_earlier_run_shares_stay_with_that_run() -> None:
    copies = Copies()
    copies.export("r1", "r2", incremental=True)
    copies.copy("r1")
    unfinished(copies, "r2")
    erased(copies, copies.source.store, copies.settings)
    copies.source.now += 120_000
    assert copies.prune(days=0, abandoned_after=60, named=("r2",)) == ["r2"]
    complete(copies)
    assert erased(copies, copies.target, copies.there) == ("r1",)
    copies.copy("r1", "r2")
    complete(copies)
    assert not any("/sales_" in name for name in copies.data())


def test_an_erasure_at_the_copy_waits_for_an_unfinished_copy_and_says_how_it_ends() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    copies.copy("r1")
    unfinished(copies, "r2")
    data = copies.data()
    with pytest.raises(UsageError, match="run r2 has not ended, and may name files of it") as refused:
        erased(copies, copies.target, copies.there)
    delete = "`bqdump prune r2 --abandoned-after 1h --yes`"
    hint = f"Let it end or repeat the copy, or delete it an hour after it was stopped: {delete}."
    assert (fill(refused.value.hint, COMMANDS), copies.data()) == (hint, data)
    copies.copy("r2")
    assert erased(copies, copies.target, copies.there) == ("r1", "r2")
    complete(copies)
    assert not any("/sales_" in name for name in copies.data())


AT = ("contents.json", "_bqdump/log/", "latest.json", "runs/{run}/copying.json")
# The first copy, a later one, and one of an earlier run, which latest.json does not name.
STOPPED = [
    *(((), "r1", at) for at in AT),
    *((("r1",), "r2", at) for at in AT),
    *((("r2",), "r1", at) for at in AT if at != "latest.json"),
]


@pytest.mark.parametrize(("before", "run", "stopped_at"), STOPPED)
def test_a_copy_that_was_stopped_after_its_manifest_can_be_erased_as_its_source_and_goes_on(
    before: tuple[str, ...], run: str, stopped_at: str
) -> None:
    copies = Copies()
    copies.export("r1", "r2")
    for earlier in before:
        copies.copy(earlier)
    stopped(copies, run, stopped_at.format(run=run))
    erased(copies, copies.source.store, copies.settings)
    looked = {name: copies.target.peek(name) for name in copies.target.names_now()}
    with pytest.raises(UsageError, match="table sales was erased from it in the source"):
        copies.copy(run, dry=True)
    assert {name: copies.target.peek(name) for name in copies.target.names_now()} == looked
    with pytest.raises(UsageError, match="table sales was erased from it in the source") as refused:
        copies.copy(run)
    assert "Erase it there as well: bqdump erase sales.sales" in fill(refused.value.hint, COMMANDS)
    assert erased(copies, copies.target, copies.there) == tuple(sorted({*before, run}))
    for each in (*before, run):
        copies.copy(each)
    complete(copies)
    assert copies.latest() == max(*before, run, "")
    assert [[entry.table for entry in manifest.tables] for manifest in copies.manifests()] == [["items"]] * len(
        {*before, run}
    )
    assert not any("/sales_" in name for name in copies.data())
    assert [one.state for one in copies.copy(run).runs] == ["there"]


def test_an_erasure_at_a_copy_that_is_not_published_says_to_repeat_the_copy() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    stopped(copies, "r1", "_bqdump/log/")
    with pytest.raises(NotFoundError) as refused:
        erased(copies, copies.target, copies.there)
    assert "Run r1 has not ended, and may have it: finish it, or repeat the copy, then this" in refused.value.hint
    copies.copy("r1")
    stopped(copies, "r2", "_bqdump/log/")
    with pytest.raises(UsageError, match="run r2 is being published") as waits:
        erased(copies, copies.target, copies.there)
    assert waits.value.hint == "Repeat the copy, then this."
    copies.copy("r2")
    assert erased(copies, copies.target, copies.there) == ("r1", "r2")


def file_of_sales(copies: Copies, run: str) -> str:
    (name,) = [file.name for entry in copies.manifest(run).tables if entry.table == "sales" for file in entry.files]
    return name


def late_file(copies: Copies, run: str = "r1") -> str:
    """A file of `sales` that is there again: a task that was late has stored it, once the table had been erased."""
    name = file_of_sales(copies, run)
    found = copies.target.peek(name)
    assert found
    erased(copies, copies.target, copies.there)
    assert copies.target.peek(name) is None
    copies.target.put_now(name, found[0])
    return name


def test_prune_deletes_what_a_late_task_has_stored_of_an_erased_table() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    name = late_file(copies)
    assert copies.prune() == []
    assert copies.target.peek(name) is None
    complete(copies)


def test_it_deletes_them_also_where_an_earlier_version_has_stored_the_record() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    name = late_file(copies)
    record = copies.target.peek(record_of(copies))
    assert record
    fields = msgspec.json.decode(record[0])
    del fields["deleting"]
    copies.target.put_now(record_of(copies), msgspec.json.encode(fields))
    assert copies.prune() == []
    assert copies.target.peek(name) is None


def test_a_prune_that_only_looks_counts_it_and_a_file_of_others_stays() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    name = late_file(copies)
    pruning = Pruning(copies.target, copies.there, Policy(), copies.source.now)
    assert asyncio.run(prune(pruning)).files == 1
    copies.target.put_now(name, b"rows of others")
    assert asyncio.run(prune(pruning._replace(delete=True))).files == 0
    found = copies.target.peek(name)
    assert found is not None
    assert found[0] == b"rows of others"


def test_an_erasure_that_is_repeated_deletes_what_a_late_task_has_stored() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    name = late_file(copies)
    assert erased(copies, copies.target, copies.there, 6000) == ()
    assert copies.target.peek(name) is None
    with pytest.raises(NotFoundError, match="no kept run has it any more"):
        erased(copies, copies.target, copies.there, 7000)


def test_a_task_that_is_late_deletes_what_it_has_stored_of_an_erased_table() -> None:
    copies = Copies()
    copies.export("r1")
    stored: list[str] = []

    def before(what: str, name: str) -> None:
        if what == "stream" and "/sales_" in name and not stored:
            stored.append(name)
            in_a_thread(lambda: copies.copy("r1"))
            in_a_thread(lambda: erased(copies, copies.target, copies.there))

    with pytest.raises(UsageError, match="was erased from it"):
        asyncio.run(copy(copies.task(None, cast("Any", Watched(copies.target, before))), (), Policy(), every=False))
    assert [copies.target.peek(name) for name in stored] == [None]
    complete(copies)


def test_a_copy_moves_a_file_again_that_a_prune_is_about_to_delete_of_an_erased_table() -> None:
    copies = Copies()
    copies.export("r1", "r2", incremental=True)
    copies.copy("r1", "r2")
    name = late_file(copies, "r2")
    records: list[str] = []

    def before(what: str, written: str) -> None:
        records.extend([written] if what == "write" and "/erasures/" in written else [])
        # The prune has looked for runs that name the file, for the last time.
        if what == "delete" and records and copies.latest() == "r2":
            in_a_thread(lambda: copies.export("r3", incremental=True))
            in_a_thread(lambda: copies.copy("r3"))

    assert copies.target.peek(name)
    target = cast("Any", Watched(copies.target, before))
    asyncio.run(prune(Pruning(target, copies.there, Policy(), copies.source.now, delete=True)))
    assert records
    assert name in [file.name for entry in copies.manifest("r3").tables for file in entry.files]
    complete(copies)


class Holding(Watched):
    """A store whose bucket holds these objects: they can neither be deleted nor replaced."""

    def __init__(self, copies: Copies, held: str, before: Callable[[str, str], None] = lambda *_: None) -> None:
        super().__init__(copies.target, before)
        self._held = held

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        free = [(name, generation) for name, generation in objects if name != self._held]
        answers, held = iter(await super().delete(free)), DeniedError("delete", self._held, "the bucket holds it")
        return [held if name == self._held else next(answers) for name, _ in objects]

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        if name == self._held and expect:
            raise DeniedError("write", name, "the bucket holds it")
        return await super().stream(name, pieces, expect)


def test_later_copies_keep_a_file_of_an_erased_table_that_the_bucket_holds() -> None:
    copies = Copies()
    copies.export("r1", "r2", "r3", "r4", incremental=True)
    copies.copy("r3")
    name = file_of_sales(copies, "r3")
    holding = cast("Any", Holding(copies, name))
    assert erased(copies, holding, copies.there) == ("r3",)
    for _ in range(2):
        asyncio.run(copy(copies.task(None, holding), ("r4",), Policy(), every=False))
        asyncio.run(prune(Pruning(holding, copies.there, Policy(), copies.source.now, delete=True)))
        complete(copies)
    assert file_of_sales(copies, "r4") == name


def test_a_prune_that_deletes_nothing_of_an_erased_table_does_not_say_so(caplog: pytest.LogCaptureFixture) -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1")
    holding = cast("Any", Holding(copies, file_of_sales(copies, "r1")))
    erased(copies, holding, copies.there)
    with caplog.at_level(logging.INFO):
        caplog.clear()
        asyncio.run(prune(Pruning(holding, copies.there, Policy(), copies.source.now, delete=True)))
    assert not [record.getMessage() for record in caplog.records if "which was erased" in record.getMessage()]


def record_of(copies: Copies) -> str:
    (name,) = [name for name in copies.target.names_now() if name.startswith(copies.there.layout.erasures)]
    return name


def announce_deletion(copies: Copies, name: str) -> None:
    """A prune has named the file that is there in the record of the erasure, and is killed before it deletes it."""
    found, record = copies.target.peek(name), copies.target.peek(record_of(copies))
    assert found
    assert record
    files = (ObjectVersion(name, found[1].generation, found[1].size),)
    doomed = replace(decode(record[0], Erasure, record_of(copies)), deleting=files)
    copies.target.put_now(record_of(copies), encode(doomed))


def test_no_copy_replaces_a_doomed_file_of_an_erased_table_on_which_another_copy_relies() -> None:
    copies = Copies()
    copies.export("r1", "r2", "r3", "r4", "r5", incremental=True)
    copies.copy("r3")
    name = late_file(copies, "r3")
    refused: list[str] = []

    def copy_r5() -> None:
        with pytest.raises(UnavailableError, match=r"the copy of run r4 in .* relies on a file") as error:
            copies.copy("r5")
        refused.append(error.value.hint)

    def before(what: str, written: str) -> None:
        if written == copies.there.layout.run("r4").manifest.name and what in ("write", "note") and not refused:
            announce_deletion(copies, name)
            in_a_thread(copy_r5)

    asyncio.run(copy(copies.task(None, cast("Any", Watched(copies.target, before))), ("r4",), Policy(), every=False))
    complete(copies)
    hint = "Retry when that copy has ended. If it was interrupted, repeat it first, or let prune delete it."
    assert refused == [hint]
    copies.copy("r5")
    complete(copies)
    assert [file_of_sales(copies, run) for run in ("r4", "r5")] == [name, name]


def test_a_copy_that_was_refused_does_not_stand_in_the_way_of_the_one_that_it_waits_for() -> None:
    copies = Copies()
    copies.export("r1", "r2", "r3", "r4", "r5", incremental=True)
    copies.copy("r3")
    name = late_file(copies, "r3")
    stopped_at = copies.there.layout.run("r4").renewed(0).name.rpartition("-")[0]

    def before(what: str, written: str) -> None:
        if written.startswith(stopped_at) and what in ("write", "note"):
            raise KilledError

    target = cast("Any", Watched(copies.target, before))
    with pytest.raises(KilledError):
        asyncio.run(copy(copies.task(None, target), ("r4",), Policy(), every=False))
    announce_deletion(copies, name)
    with pytest.raises(UnavailableError, match="the copy of run r4"):
        copies.copy("r5")
    copies.copy("r4")
    copies.copy("r5")
    complete(copies)


def test_copies_at_once_may_both_move_a_doomed_file_again() -> None:
    copies = Copies()
    copies.export("r1", "r2", "r3", "r4", "r5", incremental=True)
    copies.copy("r3")
    name = late_file(copies, "r3")
    announce_deletion(copies, name)
    doomed = copies.target.peek(name)
    unfinished(copies, "r4")
    copies.copy("r5")
    copies.copy("r4")
    complete(copies)
    assert copies.target.peek(name) != doomed


def test_an_error_of_what_is_deleted_after_a_late_task_does_not_replace_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    copies = Copies()
    copies.export("r1")
    stored: list[str] = []

    def before(what: str, name: str) -> None:
        if what == "stream" and "/sales_" in name and not stored:
            stored.append(name)
            in_a_thread(lambda: copies.copy("r1"))
            in_a_thread(lambda: erased(copies, copies.target, copies.there))
        elif stored and name.startswith(copies.there.layout.erasures):
            raise UnavailableError("read", name, "no answer")

    with pytest.raises(UsageError, match="was erased from it"):
        asyncio.run(copy(copies.task(None, cast("Any", Watched(copies.target, before))), (), Policy(), every=False))
    assert "could not be deleted" in caplog.text


def test_a_copy_that_is_refused_before_there_is_a_manifest_reads_no_records_of_erasures() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    copies.copy("r1")
    erased(copies, copies.target, copies.there)
    listed: list[str] = []

    def before(what: str, name: str) -> None:
        if what == "stream" and not listed:
            listed.append("")
            raise UsageError("write", name, "refused")
        if listed and name.startswith(copies.there.layout.erasures):
            listed.append(name)

    with pytest.raises(UsageError, match="refused"):
        asyncio.run(
            copy(copies.task(None, cast("Any", Watched(copies.target, before))), ("r2",), Policy(), every=False)
        )
    assert listed == [""]
