"""bqdump status --watch of a run that ends otherwise than published."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bqdump.adapters.signing_keys import FileKey
from bqdump.cli.main import start
from bqdump.core.sets.member import one_dataset
from bqdump.repository.signatures import sign_manifest
from browser.scenes import shop
from copying.scene import Copies
from entries import entry
from observe.test_trust import public
from opened import open_given
from retain.scene import Scene
from sets.world import SetWorld


@pytest.mark.parametrize("manifest", [False, True])
def test_watching_reports_that_a_later_run_was_published(
    manifest: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    asyncio.run(scene.export("second"))
    if not manifest and (found := scene.store.peek(name := scene.settings.layout.run("first").manifest.name)):
        asyncio.run(scene.store.delete([(name, found[1].generation)]))
    open_given(monkeypatch, lambda _: scene.store)
    # As `bqdump run` of such a run ends.
    assert start(["status", "first", "--watch", "--bucket", "exports"]) == 0
    reported = capsys.readouterr().out.splitlines()
    assert reported[0].startswith("run first: superseded: 4 of 4 tables done")
    assert reported[1].startswith("run first: superseded, my-project.shop as of")
    assert reported[-1] == "  the published run is second, with a later snapshot time"


def test_a_set_is_followed_while_a_dataset_waits_for_its_signature(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, world, looks = Ed25519PrivateKey.generate(), SetWorld("ops", "sales"), list[float]()
    world.run("n1")
    manifest = world.settings().layout.set_manifest.name
    found = world.store.peek(manifest)
    assert found
    asyncio.run(world.store.delete([(manifest, found[1].generation)]))

    def publish(seconds: float) -> None:
        looks.append(seconds)
        for dataset in ("ops", "sales"):
            own = one_dataset(world.settings(), dataset)
            asyncio.run(sign_manifest(world.store, own.target, own.layout.run("n1"), FileKey(key)))
        world.store.put_now(manifest, found[0])

    open_given(monkeypatch, lambda _: world.store)
    monkeypatch.setattr("bqdump.cli.commands.status.time", SimpleNamespace(sleep=publish, time=time.time))
    place = ("--bucket", "memory", "--prefix", "x", "--trust", public(tmp_path, key))
    assert start(["status", "--watch", "--quiet", *place]) == 0
    assert len(looks) == 1


@pytest.mark.parametrize("damaged", ["manifest", "entry"])
def test_watching_a_run_that_cannot_be_read_ends_with_what_is_wrong(
    damaged: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    asyncio.run(scene.export("second"))
    layout = scene.settings.layout
    name = layout.run("second").manifest.name if damaged == "manifest" else entry(scene.store, layout, "second")
    scene.store.put_now(name, b"")
    open_given(monkeypatch, lambda _: scene.store)
    assert start(["status", "second", "--watch", "--quiet", "--bucket", "exports"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert f"cannot read {name}" in said.err


@pytest.mark.parametrize("published", ["this set", "the set before", "no set"])
@pytest.mark.parametrize("damaged", ["manifest", "entry"])
def test_watching_a_set_ends_with_the_dataset_that_cannot_be_read(
    damaged: str, published: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SetWorld("ops", "sales")
    world.run("n1")
    layout, own = world.settings().layout, one_dataset(world.settings(), "ops").layout
    before = world.store.peek(layout.set_manifest.name)
    world.run("n2")
    name = {"manifest": own.run("n2").manifest.name, "entry": entry(world.store, own, "n2")}[damaged]
    world.store.put_now(name, b"")
    found = world.store.peek(layout.set_manifest.name)
    assert before
    assert found
    if published == "the set before":
        world.store.put_now(layout.set_manifest.name, before[0])
    elif published == "no set":
        asyncio.run(world.store.delete([(layout.set_manifest.name, found[1].generation)]))
    open_given(monkeypatch, lambda _: world.store)
    assert start(["status", "n2", "--watch", "--quiet", "--bucket", "memory", "--prefix", "x"]) == 4
    said = capsys.readouterr().err
    assert "run n2: unreadable" in said
    assert f"cannot read {name}" in said


@pytest.mark.parametrize(
    ("run", "damaged", "code", "said"),
    [
        ("b", "", 0, "run b: published"),
        ("a", "", 0, "run a: superseded"),
        ("b", "manifest", 4, "manifest.json"),
        ("b", "entry", 4, "-b.json"),
    ],
)
def test_a_copied_run_is_watched_by_its_manifest(
    run: str, damaged: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = Copies()
    copies.export("a", "b")
    copies.copy("a", "b")
    layout = copies.there.layout
    if damaged:
        names = {"manifest": layout.run(run).manifest.name, "entry": entry(copies.target, layout, run)}
        copies.target.put_now(names[damaged], b"")
    open_given(monkeypatch, lambda _: copies.target)
    assert start(["status", run, "--watch", "--bucket", "second", "--prefix", "copies"]) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert ("Copy it again: that enters it in the log." in captured.out) == (damaged == "entry")
    assert "planning" not in captured.out + captured.err


def test_watching_a_pruned_run_says_that_it_was_pruned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene()
    scene.run("a", "b")
    scene.prune_once()
    open_given(monkeypatch, lambda _: scene.store)
    assert start(["status", "a", "--watch", "--quiet", "--bucket", "memory", "--prefix", "x"]) == 5
    assert "cannot find run a: it was pruned" in capsys.readouterr().err


@pytest.mark.parametrize("watch", [[], ["--watch"]])
@pytest.mark.parametrize("document", ["plan.json", "claims/", "receipts/", "failures/00000-00000/0-first.json"])
def test_a_published_run_is_shown_without_documents_that_it_no_longer_needs_and_they_are_named(
    document: str, watch: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    root = scene.settings.layout.run("first").root
    name = next((name for name in scene.store.names_now() if name.startswith(root + document)), root + document)
    scene.store.put_now(name, b"{}")
    open_given(monkeypatch, lambda _: scene.store)
    assert start(["status", "first", *watch, "--bucket", "exports"]) == 0
    shown = capsys.readouterr().out
    assert "run first: published, my-project.shop as of" in shown
    assert "4 of 4 tables done" in shown
    assert f"cannot read {name}: it is not a valid" in shown
    assert "The run is complete without it." in shown


def test_a_published_set_is_shown_without_the_plan_of_a_dataset_which_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SetWorld("ops", "sales")
    world.run("n1")
    name = one_dataset(world.settings(), "ops").layout.run("n1").plan.name
    world.store.put_now(name, b"")
    open_given(monkeypatch, lambda _: world.store)
    assert start(["status", "n1", "--watch", "--bucket", "memory", "--prefix", "x"]) == 0
    shown = capsys.readouterr().out
    assert "run n1: published" in shown
    assert f"cannot read {name}" in shown


@pytest.mark.parametrize("command", ["status", "verify"])
def test_what_is_wrong_with_a_document_of_a_set_is_said_once(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SetWorld("ops", "sales")
    world.run("n1")
    world.run("n2")
    name = entry(world.store, one_dataset(world.settings(), "ops").layout, "n2")
    world.store.put_now(name, b"")
    open_given(monkeypatch, lambda _: world.store)
    start([command, "--bucket", "memory", "--prefix", "x"])
    assert capsys.readouterr().err.count(f"{name} is not used") == 1
