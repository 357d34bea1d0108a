"""bqdump status --watch of a run that ends otherwise than published."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.cli.main import start
from browser.scenes import shop
from opened import open_given


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
