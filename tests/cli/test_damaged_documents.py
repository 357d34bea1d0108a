"""Documents that are missing or damaged: what goes on, and who says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from bqdump.cli.main import start
from bqdump.core.sets.member import one_dataset
from opened import open_given
from retain.scene import LAYOUT, Scene
from sets.world import SetWorld


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


@pytest.mark.parametrize("command", ["diff n1 n2", "diff n2 n1", "ls n2", "ls"])
def test_a_dataset_of_a_set_whose_manifest_is_lost_is_not_said_to_have_had_no_export(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SetWorld("ops", "sales")
    world.run("n1")
    world.run("n2")
    name = one_dataset(world.settings(), "ops").layout.run("n2").manifest.name
    stored = world.store.peek(name)
    assert stored
    asyncio.run(world.store.delete([(name, stored[1].generation)]))
    open_given(monkeypatch, lambda _: world.store)
    assert start([*command.split(), "--bucket", "memory", "--prefix", "x"]) == 4
    assert f"cannot read {name}: it does not exist" in capsys.readouterr().err


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
