"""bqdump ui where it cannot start."""

from __future__ import annotations

import importlib.util

import pytest

from bqdump.cli.main import start


def test_without_its_packages_it_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    assert start(["ui", "--bucket", "exports"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'bqdump[ui]'" in error
    assert error.count("\n") == 1
