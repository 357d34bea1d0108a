"""bqdump diff says how many tables differ."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.cli.main import start
from bqdump.core.documents.changes import SAME
from browser.scenes import orders, shop
from opened import open_given
from sets.world import SetWorld


@pytest.mark.parametrize(("others", "output"), [((), "1 table differs."), (("added",), "2 tables differ.")])
def test_one_table_differs_and_two_differ(
    others: tuple[str, ...], output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = shop()
    asyncio.run(scene.export("one"))
    orders(scene, 2001)
    for name in others:
        scene.table(name, ["id"])
    asyncio.run(scene.export("two"))
    open_given(monkeypatch, lambda _: scene.store)
    assert start(["diff", "one", "two", "--bucket", "exports"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == output
    assert shown.err.endswith("changes from run one to run two\n")


def test_without_runs_the_published_one_is_compared_with_the_one_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = shop()
    open_given(monkeypatch, lambda _: scene.store)
    asyncio.run(scene.export("one"))
    assert start(["diff", "--bucket", "exports"]) == 5
    assert "cannot find the previous run: there is no earlier one" in capsys.readouterr().err
    asyncio.run(scene.export("two"))
    orders(scene, 2001)
    asyncio.run(scene.export("three"))
    assert start(["diff", "--bucket", "exports"]) == 0
    shown = capsys.readouterr()
    assert shown.err.endswith("changes from run two to the published run\n")
    assert shown.out.splitlines()[-1] == "1 table differs."


def test_a_run_that_is_compared_with_itself_has_not_changed_whether_it_is_named_once_or_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, world = shop(), SetWorld("ops", "sales")
    asyncio.run(scene.export("three"))
    world.run("three")
    for place in (["--bucket", "exports"], ["--bucket", "memory", "--prefix", "x"]):
        open_given(monkeypatch, lambda target: scene.store if target.bucket == "exports" else world.store)
        for runs in (["three"], ["three", "three"]):
            assert start(["diff", *runs, *place]) == 0
            assert capsys.readouterr().out == f"{SAME}\n"
