"""Every kind of document, damaged in every way, and every verb: what goes on, what says so, with which exit code."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from bqdump.cli.main import start
from bqdump.core.errors import DatasetsFailedError
from bqdump.repository.exports import readable_set
from damaged_places import VERBS, Copies, Export, SetOfExports
from docs.walk import ROOT
from opened import open_given
from retain.scene import LAYOUT, Scene
from sets.world import SetWorld
from tiers import points
from virtual_time import run_skipping

TABLES = (Path(__file__).parent / "damaged_documents.txt").read_text()
PLACES: dict[str, type[Export]] = {"one": Export, "set": SetOfExports, "copies": Copies}
DAMAGED = ("truncated", "another", "empty", "garbage", "{}")
HEAD = ["document", "damage"]


def table_of(place: str) -> tuple[list[list[str]], list[str]]:
    """The lines of a table, and the documents below it."""
    table, _, goes_on = TABLES.partition(f"== {place}: ")[2].partition("\n==")[0].partition("goes on:")
    return [line.split() for line in table.strip().splitlines()[1:]], goes_on.split()


def documents(place: str) -> list[str]:
    """The documents of a table, and those below it."""
    (_, *lines), goes_on = table_of(place)
    return [*dict.fromkeys(line[0] for line in lines), *goes_on]


def expected(place: str, document: str, damage: str) -> list[str]:
    """How each verb ends."""
    for name, damages, *cells in table_of(place)[0]:
        some = damages.split(",")
        if name == document and (damage in some or ("damaged" in some and damage in DAMAGED)):
            return cells
    return ["."] * len(VERBS)


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, Export]]:
    made = PLACES[request.param]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "run", run_skipping)
        patch.setattr("bqdump.verbs.restores.open_destination", lambda *_: made.big)
        open_given(patch, lambda target: made.second if target.bucket == "second" else made.store)
        made.make()
        yield request.param, made


def ended(made: Export, verb: str, name: str, data: bytes | None) -> str:
    """How a verb ends once this object is damaged, as a cell."""
    made.rewind()
    made.put(name, data)
    code, text = VERBS[verb](made)
    assert "Traceback" not in text
    # Of an entry that is lost, its run is named.
    named = name in text or (data is None and "/log/" in name and "not in the log" in text)
    return f"{code or ''}{'!' if named else ''}" or "."


def test_every_damage_ends_as_the_tables_say(place: tuple[str, Export]) -> None:
    name, made = place
    assert table_of(name)[0][0] == ["document", "damage", *VERBS]
    wrong = list[str]()
    for document in points(documents(name)):
        made.rewind()
        folder = "" if document.startswith(("ops/", "b/")) else "_bqdump/"
        for damage, (object_, data) in made.damages(f"{folder}{document}").items():
            cells = [ended(made, verb, object_, data) for verb in VERBS]
            told = expected(name, document, damage)
            wrong += [
                f"{document} {damage}: {verb} ends with {cell}, not {said}"
                for verb, cell, said in zip(VERBS, cells, told, strict=True)
                if cell != said
            ]
    assert wrong == []


def kinds() -> Iterator[str]:
    """The documents that docs/internals/documents.md lists, each below its folder."""
    page = (ROOT / "docs/internals/documents.md").read_text()
    folder = ""
    for line in page.partition("| object |")[2].partition("\n\n")[0].splitlines()[2:]:
        first, second = line.split("|")[1:3]
        names, about = re.findall("`([^`]+)`", first), re.findall(r"`([^` ]+(?:\.json|/…))`", second)
        if "**" not in first or not names[0].endswith("/"):
            yield from (f"{folder}{name.strip('*')}" for name in names)
        elif second.strip():
            folder = ""
            yield from (f"{names[0]}{name}" if "executions/" not in name else name for name in about)
        else:
            folder = names[0]


def test_every_kind_of_document_has_a_line() -> None:
    rows = [row.removeprefix("ops/_bqdump/") for place in PLACES for row in documents(place)]
    found = list(kinds())
    assert len(found) > 45
    shapes = {kind: re.sub(r"<[^>]*>", "[^/]+", kind).replace(".", r"\.").replace("…", ".+") for kind in found}
    rows = [row.replace("*", "0") for row in rows]
    assert [kind for kind, shape in shapes.items() if not any(re.fullmatch(shape, row) for row in rows)] == []


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written there."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", ["diff a b", "diff b a", "ls b", "verify b", "report b", "report a --since b"])
def test_a_run_whose_manifest_is_lost_is_named_with_it(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene()
    scene.run("a", "b")
    scene.delete_now(LAYOUT.run("b").manifest.name)
    open_given(monkeypatch, lambda _: scene.store)
    assert start([*command.split(), "--bucket", "memory", "--prefix", "x"]) == 4
    said = capsys.readouterr().err
    assert f"cannot read {LAYOUT.run('b').manifest.name}: it does not exist, although {LAYOUT.log}" in said
    assert "shows that run b was complete" in said


@pytest.mark.parametrize("command", ["status", "runs", "ls", "verify", "diff a b", "report"])
def test_a_manifest_with_a_risk_that_only_another_release_knows_is_read(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene()
    scene.run("a", "b")
    name = LAYOUT.run("b").manifest.name
    found = scene.store.peek(name)
    assert found
    risk = {"risk": "sunspots", "table": "items", "columns": [], "detail": "3 rows", "allowed": True}
    manifest = msgspec.json.decode(found[0])
    scene.store.put_now(name, msgspec.json.encode(manifest | {"flags": [*manifest.get("flags", ()), risk]}))
    scene.delete_now(LAYOUT.run("b").contents.name)
    open_given(monkeypatch, lambda _: scene.store)
    assert start([*command.split(), "--bucket", "memory", "--prefix", "x"]) == 0
    said = capsys.readouterr()
    assert "is not used" not in said.err
    if command.startswith("report"):
        assert (
            "items: sunspots, a risk that only another release of bqdump knows (3 rows)"
            in Path("report.html").read_text()
        )
    # Whether its files lack rows is not known, so they are not reused.
    (result,) = scene.run("c", incremental=True)
    assert result.state == "published"
    assert [entry.table for entry in result.plan.reused] == ["sales"]


def test_an_unknown_risk_cannot_be_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["run", "--allow", "sunspots", "--project", "project", "--dataset", "d", "--bucket", "bucket"]) == 2
    assert "unknown risk 'sunspots'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["project.json", "newest.json", "dataset.json", "projects/n1/plan.json"])
def test_the_next_night_of_a_set_goes_on_whatever_is_damaged_next_to_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SetWorld("ops", "sales")
    world.run("n1")
    world.store.put_now(f"x/_bqdump/{name}", b"{}")
    world.run("n2")
    assert {one.dataset: one.run for one in world.set_manifest().datasets} == {"ops": "n2", "sales": "n2"}
    open_given(monkeypatch, lambda _: world.store)
    assert [start([command, "--bucket", "memory", "--prefix", "x"]) for command in ("runs", "verify")] == [0, 0]
    assert "is not used" not in capsys.readouterr().err


@pytest.mark.parametrize("nights", [("n1",), ("n1", "n2")], ids=["complete", "partial"])
def test_a_set_whose_own_manifest_is_damaged_follows_from_the_logs_of_its_datasets(nights: tuple[str, ...]) -> None:
    world = SetWorld("ops", "sales")
    world.put("sales", "bad")
    for night in nights:
        with suppress(DatasetsFailedError):
            world.run(night)
        world.broken.add("bad")
    intact = world.set_manifest()
    world.store.put_now("x/_bqdump/project.json", b"{}")
    found = asyncio.run(readable_set(world.store, world.settings()))
    assert intact.run == nights[-1]
    assert found
    entries = tuple(msgspec.structs.replace(entry, problem="") for entry in found.datasets)
    expected = tuple(msgspec.structs.replace(entry, problem="") for entry in intact.datasets)
    assert msgspec.structs.replace(found, datasets=entries) == msgspec.structs.replace(intact, datasets=expected)
    assert [bool(entry.problem) for entry in found.datasets] == [bool(entry.problem) for entry in intact.datasets]
