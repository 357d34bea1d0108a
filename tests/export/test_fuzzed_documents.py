"""Every field of every stored document, set to what it cannot be: an answer or a clear error from all that reads it.

The bucket holds a published run, a later one that is published over it, proven by a drill and restored, and a third one
that has done all its work.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from starlette.requests import Request as Asked

from bqdump.adapters.memory import MemoryStore
from bqdump.check.verify import verify
from bqdump.core.documents.changes import compare
from bqdump.core.documents.layout import is_note
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError
from bqdump.core.restore.documents import Restores
from bqdump.core.restore.plan import Options
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.placement.choose import running_export
from bqdump.export.publish.report import report_page
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.export.work.work import work
from bqdump.observe.history import list_runs
from bqdump.observe.status import newest_run, status
from bqdump.ports.store import Note, Stored
from bqdump.repository.published import read_manifest
from bqdump.restoration.listing import Place, find_restores
from bqdump.restoration.restore import restore_one
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as RestoreTask
from bqdump.ui.app import ADDRESSES
from bqdump.ui.archive import Archive
from bqdump_memory import MemoryDestination
from proofs import drilled
from tiers import points

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory", "p/"))
LAYOUT = SETTINGS.layout
WRONG: tuple[Any, ...] = (None, "\x00", "../x", -1, 10**39, 1.5, [], {})
RUNS = ("first", "second", "third")
REFUSED = "refused"
BEGAN = 1_800_000_000_000
Path = tuple[str | int, ...]


def filled() -> tuple[MemoryStore, MemoryDestination]:
    clock = itertools.count(1_800_000_000_000)
    store = MemoryStore()
    warehouse = MemoryDestination(store, lambda: next(clock))
    for name in ("customers", "orders"):
        warehouse.put("project", "data", name, [f"{name} 1"])
    for name in RUNS[:2]:
        asyncio.run(run(task_of(store, warehouse, name)))
    drilled(store, LAYOUT, RUNS[1], BEGAN)
    request = Request(Options(project="project", dataset="copy"))
    asyncio.run(restore_one(RestoreTask(store, warehouse, SETTINGS, request, Owner("restore", 0), 1)))

    async def prepare() -> None:
        task = task_of(store, warehouse, "third")
        await work(running_export(task, await obtain_plan(task)))

    asyncio.run(prepare())
    return store, warehouse


def task_of(store: MemoryStore, warehouse: MemoryDestination, name: str, execution: str = "") -> Task:
    return Task(store, warehouse, SETTINGS, name, Owner(execution or name, 0), 1)


STORE, WAREHOUSE = filled()
(RESTORE,) = asyncio.run(STORE.folders(Restores(LAYOUT).restores))
# What the addresses of the console name, apart from runs.
OTHERS = {"table": "orders", "place": 0, "began": BEGAN, "restore": RESTORE}
DOCUMENTS = {
    re.sub("(units|definitions|/000000)-[0-9a-f]+", r"\1", name.removeprefix(LAYOUT.root)): name
    for name in STORE.names_now() if name.startswith(LAYOUT.root) and name.endswith((".json", ".jsonl"))
    and "/first/" not in name and not name.endswith("00000-00001.json") and "/000001-" not in name
}  # fmt: skip


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every field and element of a document; of long lists the first element only."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def changed(document: Any, path: Path, wrong: Any) -> Any:
    """A copy of the document with this in that place."""
    if not path:
        return wrong
    made = copy.copy(document)
    made[path[0]] = changed(document[path[0]], path[1:], wrong)
    return made


def edits(name: str) -> Iterator[tuple[str, bytes]]:
    """The document with one field changed, for every field, and without the field; each with what was changed."""
    found = STORE.peek(name)
    assert found
    first, line_break, rest = found[0].partition(b"\n") if name.endswith(".jsonl") else (found[0], b"", b"")
    document = msgspec.json.decode(first)
    for path in places(document):
        for wrong in WRONG:
            data = msgspec.json.encode(changed(document, path, wrong))
            # The units of a plan stay where they are as long as they can.
            yield f"{path} = {wrong!r:.20}", data.ljust(len(first)) + line_break + rest
        if path and isinstance(path[-1], str):
            less = copy.deepcopy(document)
            inner = less
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            yield f"without {path}", msgspec.json.encode(less).ljust(len(first)) + line_break + rest


async def page(store: MemoryStore, path: str, **parameters: Any) -> None:
    """A page of the console."""
    pages = {address.path: address.page for address in ADDRESSES}
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [],
             "path_params": parameters}  # fmt: skip
    answer = await pages[path](Archive(store, SETTINGS), Asked(scope))
    parts: AsyncIterator[Any] | None = getattr(answer, "body_iterator", None)
    if parts is not None:
        async for _ in parts:
            pass


async def differences(store: MemoryStore) -> None:
    compare(await read_manifest(store, SETTINGS, "first"), await read_manifest(store, SETTINGS, "second"))


def reads(store: MemoryStore, run: str) -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
    """Every command that only looks at this run, or at all of them."""
    yield "status", partial(status, store, SETTINGS, run)
    yield "report", partial(report_page, store, SETTINGS, run)
    yield "newest", partial(newest_run, store, SETTINGS)
    yield "runs", partial(list_runs, store, SETTINGS)
    if run == "second":
        yield "diff", partial(differences, store)
        yield "verify", partial(verify, store, SETTINGS, "")
        place = Place(store, LAYOUT)
        yield "restores", partial(find_restores, [place])
    of_second = [address.path for address in ADDRESSES]
    for path in of_second if run == "second" else ("/", "/runs/{run}", "/runs/{run}/live"):
        yield (
            f"console {path}",
            partial(page, store, path, run=run, table="orders", place=0, began=BEGAN, restore=RESTORE),
        )


class Watched(MemoryStore):
    """A store that keeps whose content has been read of it: names, and the folders of notes."""

    def __init__(self, store: MemoryStore) -> None:
        vars(self).update(vars(store))
        self.names: set[str] = set()
        self.folders_of_notes: tuple[str, ...] = ()

    def has_shown(self, name: str) -> bool:
        """Whether the content of this object was read: as an object, or as a note by a listing."""
        return name in self.names or (is_note(name) and name.startswith(self.folders_of_notes))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        self.names.add(name)
        return await super().read(name, start, length)

    def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        self.folders_of_notes += (prefix,)
        return super().notes(prefix, start)


async def readers(run: str, name: str) -> list[str]:
    """The commands that read what is in this document: for the others, one edit of it is like another."""
    found = []
    for number, (command, _) in enumerate(reads(STORE, run)):
        watched = Watched(STORE)
        _, answer = next(itertools.islice(reads(watched, run), number, None))
        assert await outcome(answer()) == ""
        if watched.has_shown(name):
            found.append(command)
    return found


async def outcome(answer: Awaitable[object]) -> str:
    """How this ends: "" for an answer, REFUSED for a clear error; otherwise what is wrong with it."""
    try:
        await answer
    except BqdumpError as error:
        return REFUSED if len(str(error)) < 1000 else f"an error of {len(str(error))} characters: {error!s:.100}"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.100}"
    return ""


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_whoever_reads_an_edited_document_gets_an_answer_or_a_clear_error(kind: str) -> None:
    name = DOCUMENTS[kind]
    found = STORE.peek(name)
    assert found

    async def every() -> list[str]:
        bad = []
        run = "third" if "/third/" in name else "second"
        concerned = await readers(run, name)
        for number, (what, data) in points(enumerate(edits(name))):
            STORE.put_now(name, data)
            answers = [one for one in reads(STORE, run) if not number or one[0] in concerned]
            # Each command is the first one in turn. What one refuses, the others have read with the same codec.
            turn = number % len(answers) if answers else 0
            for command, answer in (*answers[turn:], *answers[:turn]):
                ended = await outcome(answer())
                if ended not in ("", REFUSED):
                    bad.append(f"{what}: {command}: {ended}")
                if ended:
                    break
        return bad

    try:
        bad = asyncio.run(every())
    finally:
        STORE.put_now(name, found[0])
    assert not bad, f"{len(bad)}: " + "\n".join(bad[:10])


@pytest.mark.parametrize("kind", [kind for kind in DOCUMENTS if "third" in kind or "/" not in kind])
def test_a_run_that_meets_an_edited_document_ends_well_or_with_a_clear_error(kind: str) -> None:
    name = DOCUMENTS[kind]

    async def every() -> list[str]:
        bad = []
        for what, data in points(edits(name)):
            store, warehouse = copy.copy(STORE), copy.copy(WAREHOUSE)
            store._objects = dict(STORE._objects)
            warehouse.store = store
            store.put_now(name, data)
            ended = await outcome(run(task_of(store, warehouse, "third", "resumed")))
            if ended not in ("", REFUSED):
                bad.append(f"{what}: {ended}")
        return bad

    bad = asyncio.run(every())
    assert not bad, f"{len(bad)}: " + "\n".join(bad[:10])
