"""bqdump diff says how many tables differ."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.cli.main import start
from browser.scenes import orders, shop
from opened import open_given


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
    # The run that is published is not compared with itself.
    assert start(["diff", "three", "--bucket", "exports"]) == 2
    assert "run three: it is the published run, so there is nothing to compare." in capsys.readouterr().err
