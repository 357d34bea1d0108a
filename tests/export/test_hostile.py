"""Documents that somebody has edited by hand: one clear error, nothing deleted, nothing written outside the prefix.

A bucket holds a published run and a second one that has done all its work and is about to publish. One document is
changed; then the second run goes on, and every command that only looks is asked as well.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.check.verify import verify
from bqdump.core.documents import layout as names
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.placement.choose import running_export
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.export.work.work import work
from bqdump.observe.history import list_runs
from bqdump.observe.status import newest_run, status
from bqdump_memory import MemoryWarehouse
from entries import entries
from logged import logged

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory", "p/"))
LAYOUT = SETTINGS.layout
FIRST, SECOND = LAYOUT.run("first"), LAYOUT.run("second")
FOREIGN = ("other/secret.csv", "p/notes.txt", "p/_bqdump/runs/other/manifest.json", "p/other/other_000000000000.csv")
TABLES = ("customers", "orders", "people")
Edit = Callable[[Any], Any]


class Scene:
    """A bucket and a warehouse, as they are before the second run publishes."""

    def __init__(self) -> None:
        clock = itertools.count(1_800_000_000_000)
        self.store = MemoryStore()
        self.warehouse = MemoryWarehouse(self.store, lambda: next(clock))
        for name in FOREIGN:
            self.store.put_now(name, b"somebody else's")
        for table in TABLES:
            self.warehouse.put("project", "data", table, [f"{table} 1"])
        asyncio.run(run(self.task("first")))
        self.warehouse.put("project", "data", "orders", ["orders 2"])
        asyncio.run(self._prepare())

    async def _prepare(self) -> None:
        task = self.task("second")
        await work(running_export(task, await obtain_plan(task)))

    def task(self, name: str, **settings: Any) -> Task:
        """The only task of a run."""
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        return Task(self.store, self.warehouse, chosen, name, Owner(name, 0), 1)

    def place(self, place: str) -> str:
        """The name of the document."""
        if place == "units":
            return self.units
        return entries(self.store, LAYOUT)["first"] if place == "entry" else PLACES[place]

    @property
    def units(self) -> str:
        """The name of the second run's units."""
        return next(name for name in self.store.names_now() if name.startswith(f"{SECOND.root}units-"))

    def edit(self, name: str, edit: Edit) -> None:
        """Change a document as a person would: its JSON, or all its bytes."""
        found = self.store.peek(name)
        assert found, name
        changed = edit(found[0])
        if name.startswith(SECOND.receipts):
            asyncio.run(self.store.write_note(name, changed, None))
        else:
            self.store.put_now(name, changed)

    def rest(self) -> dict[str, int]:
        """The generations of everything that is not the second run's own."""
        found = ((name, self.store.peek(name)) for name in self.store.names_now() if not name.startswith(SECOND.root))
        return {name: entry[1].generation for name, entry in found if entry}


def fields(**values: Any) -> Edit:
    """Set these fields of a JSON document."""
    return lambda data: msgspec.json.encode(msgspec.json.decode(data) | values)


def in_units(edit: Callable[[list[dict[str, Any]]], Any]) -> Edit:
    """Change the units, in place, and keep every share where it is by padding with spaces."""

    def change(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        units = [msgspec.json.decode(line) for line in lines]
        edit(units)
        return b"".join(msgspec.json.encode(unit) + b"\n" for unit in units)

    return change


def first_unit(**values: Any) -> Edit:
    """Set these fields of the first unit."""
    return in_units(lambda units: units[0].update(values))


def file_of_first(**values: Any) -> Edit:
    """Set these fields of the first file in a manifest."""

    def change(data: bytes) -> bytes:
        manifest = msgspec.json.decode(data)
        manifest["tables"][0]["files"][0] |= values
        return msgspec.json.encode(manifest)

    return change


def entry_of_first(**values: Any) -> Edit:
    """Set these fields of the first table in a manifest."""

    def change(data: bytes) -> bytes:
        manifest = msgspec.json.decode(data)
        manifest["tables"][0] |= values
        return msgspec.json.encode(manifest)

    return change


def always(data: bytes) -> Edit:
    """Replace the document."""
    return lambda _: data


GARBAGE: dict[str, Edit] = {
    "empty": always(b""), "no JSON": always(b"\x00\xff not JSON"), "a list": always(b"[]"), "null": always(b"null"),
    "deep": always(b'{"a":' * 200_000), "deeper": always(b"[" * 1_000_000), "cut": lambda data: data[: len(data) // 2],
}  # fmt: skip
VERSIONS: dict[str, Edit] = {
    "next version": fields(format_version=2), "version as text": fields(format_version="1"),
    "huge version": fields(format_version=10**40),
}  # fmt: skip
PLAN: dict[str, Edit] = {
    **GARBAGE, **VERSIONS,
    "units of another run": fields(units="p/_bqdump/runs/first/units-00000000.jsonl"),
    "units outside": fields(units="../other/secret.csv"), "nonce outside": fields(nonce="../../x"),
    "another run": fields(run="first"), "run outside": fields(run="../../other"),
    "negative share": fields(shares=[[0, -5, 3, 1]]), "absurd share": fields(shares=[[0, 10**18, 10**17, 1]]),
    "share beyond": fields(shares=[[0, 100_000, 3, 1]]), "share in the middle": fields(shares=[[7, 900, 3, 1]]),
    "no shares": fields(shares=[]), "shares as text": fields(shares="all"), "absurd count": fields(tables=10**18),
    "negative count": fields(tables=-1), "absurd moment": fields(snapshot=10**17),
    "negative moment": fields(snapshot=-1),
    "other mode": fields(mode="keep"), "unknown mode": fields(mode="destroy"), "other project": fields(project="x"),
    "other dataset": fields(dataset="x"), "settings as text": fields(settings="x"),
    "other folder": lambda data: data.replace(b'"prefix": "p/"', b'"prefix": ""'),
    "other path": lambda data: data.replace(b"{table}/{table}_*", b"../{table}_*"),
}  # fmt: skip
UNITS: dict[str, Edit] = {
    **{name: edit for name, edit in GARBAGE.items() if name != "empty"}, "empty": always(b""),
    "outside": first_unit(pattern="other/secret*.csv"), "above": first_unit(pattern="p/../../other/x_*.csv"),
    "absolute": first_unit(pattern="/etc/x_*.csv"), "state": first_unit(pattern="p/_bqdump/runs/first/x_*.csv"),
    "somebody else's": first_unit(pattern="p/other/other_*.csv"), "no star": first_unit(pattern="p/x.csv"),
    "two stars": first_unit(pattern="p/x_*_*.csv"), "star in a folder": first_unit(pattern="p/*/x_*.csv"),
    "id of another": first_unit(id="00000-00002"), "id outside": first_unit(id="../../x"),
    "negative": first_unit(rows=-1), "as text": first_unit(bytes="many"), "no fields": always(b"{}\n{}\n{}\n"),
    "name outside": first_unit(table="../../other"), "deep definition": lambda data: data.replace(
        b'"definition":{', b'"definition":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b',"x":{', 1),
    "twice": in_units(lambda units: units[1].update({k: units[0][k] for k in ("table", "pattern")})),
    "swapped": in_units(lambda units: units.reverse()), "one less": in_units(lambda units: units.pop()),
    "one more": in_units(lambda units: units.append(units[0])),
}  # fmt: skip
RECEIPT: dict[str, Edit] = {
    **{name: edit for name, edit in GARBAGE.items() if "deep" not in name},
    "of another unit": fields(unit="00000-00002"), "negative files": fields(files=-1),
    "absurd files": fields(files=10**12),
    "files as text": fields(files="all"), "absurd attempt": fields(attempt=10**9), "absurd time": fields(ended=10**18),
    "unit outside": fields(unit="../../x"),
}  # fmt: skip
LATEST: dict[str, Edit] = {
    **GARBAGE, **VERSIONS,
    "manifest outside": fields(manifest="other/secret.csv"),
    "manifest of another run": fields(manifest="p/_bqdump/runs/other/manifest.json"),
    "absurd moment": fields(snapshot=10**17), "run outside": fields(run="../../x"),
    "cleared outside": fields(uncleared=[{"run": "x", "snapshot": 1, "manifest": "other/secret.csv"}]),
    "cleared as text": fields(uncleared="all"),
}  # fmt: skip
ENTRY: dict[str, Edit] = {
    **GARBAGE, **VERSIONS, "another run": fields(run="x"), "run outside": fields(run="../../x"),
    "absurd moment": fields(snapshot=10**17), "another moment": fields(snapshot=1),
    "no time": fields(snapshot_time="x"),
    "totals as text": fields(totals="all"), "negative rows": fields(rows=-1),
}  # fmt: skip
MANIFEST: dict[str, Edit] = {
    **GARBAGE, **VERSIONS,
    "outside": file_of_first(name="other/secret.csv"), "above": file_of_first(name="p/../other/secret.csv"),
    "state": file_of_first(name="p/_bqdump/runs/other/manifest.json"),
    "twice": file_of_first(name="p/orders/orders_000000000000.csv"), "negative size": file_of_first(size=-1),
    "size as text": file_of_first(size="1"), "generation as text": file_of_first(generation="1"),
    "no checksum": file_of_first(crc32c="x"), "files as number": entry_of_first(files=7),
    "of another run": fields(run="x"),
    "found outside": fields(found=[{"name": "other/secret.csv", "size": 1, "crc32c": "AAAAAA==", "generation": 1}]),
    "left outside": fields(left=[{"table": "t", "files": [
        {"name": "p/_bqdump/latest.json", "size": 1, "crc32c": "AAAAAA==", "generation": 1}]}]),
}  # fmt: skip
OTHER_OWNER: dict[str, Edit] = {
    **{name: edit for name, edit in VERSIONS.items() if name != "version as text"},
    "other dataset": fields(dataset="x"), "other project": fields(project="x"),
}  # fmt: skip
OWNER: dict[str, Edit] = {
    **GARBAGE, "version as text": VERSIONS["version as text"], "no dataset": fields(dataset=""),
    "absurd dataset": fields(dataset="x" * 100_000),
    "dataset of two lines": fields(dataset="x\ny"), "absurd project": fields(project="x" * 1000),
    "run outside": fields(run="../../x"), "absurd moment": fields(claimed=10**17),
    "released as text": fields(released="x"),
}  # fmt: skip
CASES = [
    *(("owner", name, edit) for name, edit in OTHER_OWNER.items()),
    *(("plan", name, edit) for name, edit in PLAN.items()),
    *(("units", name, edit) for name, edit in UNITS.items()),
    *(("receipt", name, edit) for name, edit in RECEIPT.items()),
]
# One run that cannot be read, and no reason to stop. latest.json is made from the log, which also shows whose it is.
PASSED_OVER = [
    *(("owner", name, edit) for name, edit in OWNER.items()),
    *(("latest", name, edit) for name, edit in LATEST.items()),
    *(("entry", name, edit) for name, edit in ENTRY.items()),
    *(("manifest", name, edit) for name, edit in MANIFEST.items()),
]
ALL = [*CASES, *PASSED_OVER]
RUN_CASES = [pytest.param(place, edit, id=f"{place} {what}") for place, what, edit in CASES]
PLACES = {
    "owner": LAYOUT.owner.name, "plan": SECOND.plan.name, "receipt": SECOND.receipt("00000-00000").name,
    "latest": LAYOUT.latest.name, "manifest": FIRST.manifest.name,
}  # fmt: skip


@pytest.mark.parametrize(("place", "edit"), RUN_CASES)
def test_a_run_that_meets_an_edited_document_reports_it_and_changes_nothing(place: str, edit: Edit) -> None:
    scene = Scene()
    scene.edit(scene.place(place), edit)
    before = scene.rest()
    with pytest.raises(BqdumpError) as caught:
        asyncio.run(run(scene.task("second")))
    assert len(str(caught.value)) < 1000
    assert scene.rest() == before


@pytest.mark.parametrize(
    ("place", "edit"), [pytest.param(place, edit, id=f"{place} {what}") for place, what, edit in PASSED_OVER]
)
def test_a_run_passes_over_what_is_damaged_of_the_published_one_and_says_so(
    place: str, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene()
    scene.edit(scene.place(place), edit)
    before = scene.rest()
    assert asyncio.run(run(scene.task("second"))).state == "published"
    assert {name: scene.rest()[name] for name in FOREIGN} == {name: before[name] for name in FOREIGN}
    verified = asyncio.run(verify(scene.store, SETTINGS))
    assert (verified.run, verified.tables, verified.findings) == ("second", len(TABLES), ())
    assert bool(logged(caplog, LogEvent.MANIFEST_MISSING)) == (place not in ("latest", "owner"))


@pytest.mark.parametrize("edit", [pytest.param(edit, id=what) for what, edit in OWNER.items()])
def test_where_nothing_is_published_a_damaged_owner_is_no_free_place(edit: Edit) -> None:
    scene = Scene()
    scene.edit(scene.place("owner"), edit)
    entries = [(name, generation) for name, generation in scene.rest().items() if name.startswith(LAYOUT.log)]
    assert asyncio.run(scene.store.delete(entries)) == [True]
    before = scene.rest()
    with pytest.raises(DocumentError, match=re.escape(LAYOUT.owner.name)):
        asyncio.run(run(scene.task("second")))
    assert scene.rest() == before


LOOKS: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "status": lambda scene: status(scene.store, SETTINGS, "second"),
    "verify": lambda scene: verify(scene.store, SETTINGS),
    "runs": lambda scene: list_runs(scene.store, SETTINGS),
    "newest": lambda scene: newest_run(scene.store, SETTINGS),
}


@pytest.mark.parametrize(
    ("place", "edit"),
    [pytest.param(place, edit, id=f"{place} {what}") for place, what, edit in ALL if place != "units"],
)
def test_who_only_looks_gets_an_answer_or_a_clear_error(place: str, edit: Edit) -> None:
    scene = Scene()
    scene.edit(scene.place(place), edit)
    before, reported = {name: scene.store.peek(name) for name in scene.store.names_now()}, list[str]()
    for look in LOOKS.values():
        try:
            asyncio.run(_ask(look(scene)))
        except BqdumpError as error:
            reported.append(str(error))
    assert max(map(len, reported), default=0) < 1000
    assert {name: scene.store.peek(name) for name in scene.store.names_now()} == before


async def _ask(answer: Awaitable[object]) -> object:
    return await answer


@pytest.mark.parametrize("manifest", ["other/secret.csv", "p/_bqdump/runs/first/manifest.json", 7])
def test_an_announcement_that_leads_elsewhere_is_refused(manifest: object) -> None:
    scene = Scene()
    scene.edit(LAYOUT.publishing.name, fields(manifest=manifest))
    before = scene.rest()
    with pytest.raises(DocumentError, match=r"publishing\.json"):
        asyncio.run(run(scene.task("second")))
    assert scene.rest() == before


def test_an_intent_speaks_of_final_names_only() -> None:
    scene = Scene()
    scene.store.put_now(SECOND.intent.name, b'{"run":"second","names":["other/secret.csv"],"format_version":1}')
    before = scene.rest()
    with pytest.raises(DocumentError, match=r"intent\.json"):
        asyncio.run(run(scene.task("second")))
    assert scene.rest() == before


@pytest.mark.parametrize("folder", ["receipts", "failures"])
def test_a_note_about_a_unit_that_the_plan_does_not_have_does_not_end_a_run(folder: str) -> None:
    scene = Scene()
    unit = "00007-00000"
    for name in [name for name in scene.store.names_now() if name.startswith(SECOND.receipt("00000-00002").name)]:
        generation = scene.store.peek(name)
        assert generation
        asyncio.run(scene.store.delete([(name, generation[1].generation)]))
    common = {"unit": unit, "table": "x", "job": "j", "attempt": 0}
    notes = {
        "receipts": {**common, "outcome": "done", "files": 0, "created": 1, "started": 1, "ended": 1, "task": 0},
        "failures": {**common, "reason": "x", "message": "x", "owner": {"execution": "x", "task": 0}},
    }
    place = {"receipts": SECOND.receipt(unit).name, "failures": SECOND.failure(unit, 0, "x").name}[folder]
    asyncio.run(scene.store.write_note(place, msgspec.json.encode(notes[folder]), 0))
    before = scene.rest()
    with pytest.raises(DocumentError, match="no unit of its plan"):
        asyncio.run(run(scene.task("second")))
    assert scene.rest() == before


def test_documents_that_are_too_large_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    monkeypatch.setattr(names, "LARGEST", 5_000)
    scene.edit(FIRST.manifest.name, lambda data: data[:-1] + b',"more":"' + b"x" * 10_000 + b'"}')
    with pytest.raises(DocumentError, match="it is larger than 5,000 bytes"):
        asyncio.run(verify(scene.store, SETTINGS))
    assert asyncio.run(run(scene.task("second"))).state == "published"


def test_without_an_edit_the_run_is_published() -> None:
    scene = Scene()
    assert asyncio.run(run(scene.task("second"))).state == "published"
    assert {name: scene.rest()[name] for name in FOREIGN} == {name: Scene().rest()[name] for name in FOREIGN}
