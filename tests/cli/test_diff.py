"""bqdump diff says how many tables differ."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.cli import diff
from bqdump.cli.main import start
from browser.scenes import orders, shop


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
    monkeypatch.setattr(diff, "ask_each", lambda settings, ask: [asyncio.run(ask(scene.store, settings))])
    assert start(["diff", "one", "two", "--bucket", "exports"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == output
