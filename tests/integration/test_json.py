"""What commands print with --json is what their schemas say, in every state that one can meet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bqdump_reference.commands_page import commands
from integration.stage import Stage
from json_schema import problems

DOCS = Path(__file__).parents[2] / "docs"
Ask = Callable[..., Any]
# Commands whose own tests hold their document against its schema.
ELSEWHERE = {("check-service",), ("sql",)}


def check(words: tuple[str, ...], text: str) -> Any:
    """The document, after its command's schema has found nothing wrong with it."""
    document = json.loads(text)
    schema = json.loads((DOCS / f"{'-'.join(words)}.schema.json").read_text())
    assert problems(document, _closed(schema)) == [], words
    return document


def _closed(schema: Any) -> Any:
    """The schema, with no field allowed that it does not name."""
    if isinstance(schema, dict):
        closed = {key: _closed(value) for key, value in schema.items()}
        return closed | {"additionalProperties": False} if "properties" in schema else closed
    return [_closed(item) for item in schema] if isinstance(schema, list) else schema


@pytest.fixture
def ask(stage: Stage) -> Ask:
    def asked(*words: str, code: int = 0) -> Any:
        called = stage.command(*words, "--json")
        assert called.code == code, called
        return check(words[:1], called.out)

    return asked


def test_every_json_fits_its_schema(stage: Stage, ask: Ask) -> None:
    tried: dict[tuple[str, ...], Callable[[], Any]] = {
        ("run",): lambda: ask("run", "--run-id", "r2", "--exclude", "v"),
        ("plan",): lambda: ask("plan"),
        ("runs",): lambda: ask("runs"),
        ("doctor",): lambda: ask("doctor", "--exclude", "v"),
        ("status",): lambda: ask("status"),
        ("diff",): lambda: ask("diff", "r1"),
        ("verify",): lambda: ask("verify"),
        ("report",): lambda: ask("report"),
        ("ls",): lambda: ask("ls"),
        ("copy",): lambda: ask("copy", str(stage.folder / "copies")),
        ("restore",): lambda: ask("restore", "--into", f"{stage.project}.json_restored"),
        ("restores",): lambda: ask("restores"),
        ("drill",): lambda: ask("drill"),
        ("prune",): lambda: ask("prune", "--keep-last", "1"),
        ("erase",): lambda: ask("erase", "b"),
    }
    # A command that gets a --json gets a line above.
    assert {found.words for found in commands() if found.json} - set(tried) <= ELSEWHERE
    assert ask("runs") == []
    stage.table("a", 5)
    stage.table("b")
    stage.sql(f"CREATE VIEW v AS SELECT * FROM `{stage.project}.{stage.dataset}.a`")
    stage.stack.jobs(faults=[{"at": "run", "table": "^a@", "reason": "invalid", "message": "Cannot read it"}])
    assert stage.run("--exclude", "v", execution="r1").code == 3
    failed = ask("status", "r1")
    assert [failure["table"] for failure in failed["failed"]] == ["a"]
    assert ask("run", "--run-id", "r1", "--exclude", "v")["state"] == "published"
    stage.table("b", 9)
    documents = {words: tell() for words, tell in tried.items()}
    assert documents["run",]["run"] == "r2"
    assert "b" in [change["table"] for change in documents["diff",]]
    assert documents["verify",]["findings"] == []
    assert documents["drill",]["state"] == "proven"
    stage.upload("b/b_000000000000.csv", b"changed\n")
    assert len(ask("verify", code=4)["findings"]) == 1


def test_a_run_that_cannot_be_read_does_not_hide_the_others(stage: Stage, ask: Ask) -> None:
    stage.table("a")
    ask("run", "--run-id", "r1")
    stage.upload("_bqdump/runs/r2/plan.json", b'{"format_version": 2}')
    first, second = ask("runs")
    assert (first["run"], first["state"], second["run"], second["state"]) == ("r2", "unreadable", "r1", "complete")
    sentence = "cannot read _bqdump/runs/r2/plan.json: it has format version 2, but this release reads version 1."
    assert first["problem"].startswith(sentence)
    called = stage.command("runs")
    assert called.code == 0
    assert [line.split()[:2] for line in called.out.splitlines()[1:]] == [["r2", "unreadable"], ["*", "r1"]]
    assert len(called.out.splitlines()[1].split()) == 2
    assert called.err == f"bqdump: run r2: {first['problem']}\n"
