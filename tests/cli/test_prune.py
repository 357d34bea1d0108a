"""bqdump prune says what it keeps and removes, and deletes only with --yes; bqdump runs tags a run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bqdump.cli.main import start
from opened import open_given
from retain.scene import Scene

TARGET = ("--to", "gs://memory", "--prefix", "x")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, no_waiting: None) -> Scene:
    made = Scene()
    made.now = int(time.time() * 1000) - 10 * 86_400_000
    made.run("a", "b", "c")
    open_given(monkeypatch, lambda _: made.store)
    return made


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_shows_each_run_with_the_rules_that_keep_it(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    before = scene.names()
    assert start(["prune", *TARGET, "--keep-last", "2", "--keep-daily", "1"]) == 0
    head, c, b, a, last = said(capsys)
    assert head == "run as of state tables size would free"
    assert c.endswith("Z complete 2 48 B 48 B kept: published, last, daily")
    assert b.endswith("Z complete 2 48 B 48 B kept: last")
    assert a.endswith("Z complete 2 48 B 48 B remove")
    assert last == (
        "Would remove 1 run (0 files, 0 B now; 2 files, 48 B a day later) and keep 2 runs. "
        "Nothing was deleted: add --yes to delete."
    )
    assert scene.names() == before


def test_numbers_are_aligned_with_the_end_of_their_heading(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["prune", *TARGET, "--keep-last", "2"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()[:4]
    ends = [head.index(name) + len(name) for name in ("tables", "size", "would free")]
    assert [[row[:end].split()[-1] for end in ends] for row in rows] == [["2", "B", "B"]] * 3


def test_deletes_with_yes_and_then_has_nothing_to_do(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["prune", *TARGET, "--keep-last", "2", "--yes"]) == 0
    assert said(capsys)[-1] == "Removed 1 run (0 files, 0 B now; 2 files, 48 B a day later); 2 runs kept."
    assert start(["prune", *TARGET, "--keep-last", "2", "--yes", "--quiet"]) == 0
    assert said(capsys) == []
    scene.now += 86_400_000
    assert start(["prune", *TARGET, "--keep-last", "2", "--yes"]) == 0
    assert said(capsys)[-1] == "Removed 1 run (2 files, 48 B); 2 runs kept."
    assert start(["prune", *TARGET, "--keep-last", "2"]) == 0
    assert said(capsys)[-1] == "Nothing to remove: 2 runs kept."


def test_with_now_the_files_go_at_once(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["prune", *TARGET, "--keep-last", "2", "--now", "--yes"]) == 0
    note, last = said(capsys)[-2:]
    assert note.startswith("Files are deleted at once: no restore, verification")
    assert last == "Removed 1 run (2 files, 48 B); 2 runs kept."
    assert scene.names("x/a/") == []
    scene.abandon("d")
    assert start(["prune", *TARGET, "--keep-last", "1", "--now", "--yes"]) == 2
    assert "run d has not ended" in (error := capsys.readouterr().err)
    assert "leave --now out" in error


def test_a_dry_run_lists_every_run_as_json(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["prune", *TARGET, "--keep-last", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["run"], one["removed"]) for one in found["runs"]] == [("c", False), ("b", True), ("a", True)]
    assert (found["deleted"], found["files"], found["later_files"]) == (False, 0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no rule says which runs to keep, so nearly all of them would be deleted. Set at least one, such as"),
        (["--keep-last", "0"], "no rule says which runs to keep"),
        (["--keep-last", "-3"], "--keep-last: invalid value '-3': expected a number of runs, 0 for none."),
        (["--keep-tag", "a/b"], "--keep-tag: invalid value 'a/b': invalid tag 'a/b': expected up to 30 letters"),
        (["--keep-within", "soon"], "--keep-within: invalid value 'soon': expected a duration such as"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(
    scene: Scene, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(["prune", *TARGET, *arguments, "--yes"]) == 2
    assert message in capsys.readouterr().err


def test_a_manifest_that_cannot_be_read_is_a_difference(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.store.put_now("x/_bqdump/runs/a/manifest.json", b"{")
    assert start(["prune", *TARGET, "--keep-last", "1", "--yes"]) == 4
    assert "runs/a/manifest.json" in (error := capsys.readouterr().err)
    assert "Nothing was deleted" in error


def test_a_huge_policy_keeps_everything(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["prune", *TARGET, "--keep-last", "1000000000000", "--yes"]) == 0
    assert said(capsys)[-1] == "Removed 0 runs (0 files, 0 B); 3 runs kept."


def test_reads_the_policy_from_a_file(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bqdump.toml").write_text('to = "gs://memory/x"\n[retention]\nkeep_last = 2\nkeep_within = "1d"\n')
    assert start(["prune"]) == 0
    assert "Would remove 1 run" in said(capsys)[-1]
    Path("bqdump.toml").write_text('to = "gs://memory/x"\n[retention]\nkeep_lst = 2\n')
    assert start(["prune"]) == 2
    assert "bqdump.toml: retention: unknown setting 'keep_lst'. Did you mean 'keep_last'?" in capsys.readouterr().err
    Path("bqdump.toml").write_text('to = "gs://memory/x"\n[retention]\nkeep_last = 2\nformat = "csv"\n')
    assert start(["prune"]) == 2
    assert "unknown setting 'format'. Write it above [retention]: what follows" in capsys.readouterr().err
    Path("bqdump.toml").write_text('keep_last = 1\nto = "gs://memory/x"\n[retention]\nkeep_last = 2\n')
    assert start(["prune"]) == 2
    assert "keep_last is also set outside the table" in capsys.readouterr().err


def test_a_run_is_tagged_and_the_tag_is_shown(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["runs", *TARGET, "--tag", "keep", "--tag", "v1.2", "a"]) == 0
    assert said(capsys)[-1].endswith("keep, v1.2")
    assert start(["prune", *TARGET, "--keep-last", "1"]) == 0
    assert any(line.startswith("a ") and line.endswith("kept: tag keep") for line in said(capsys))
    assert start(["runs", *TARGET, "--untag", "keep", "a", "--json"]) == 0
    assert {one["run"]: one["tags"] for one in json.loads(capsys.readouterr().out)} == {"c": [], "b": [], "a": ["v1.2"]}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a"], 2, "this lists all runs; to tag one, add --tag NAME."),
        (["--tag", "x"], 2, "no run given"),
        (["--tag", "a/b", "a"], 2, "invalid tag 'a/b'"),
        (["--tag", "x", "../a"], 2, "RUN: '../a' is not the name of a run"),
        (["--tag", "x", "zzz"], 5, "cannot tag run zzz: there is none."),
        (["--untag", "x", "a"], 2, "it does not have the tag x."),
    ],
)
def test_what_cannot_be_tagged_is_reported(
    scene: Scene, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert start(["runs", *TARGET, *arguments]) == code
    assert message in capsys.readouterr().err


def test_runs_shows_what_each_run_would_free(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["runs", *TARGET, "--storage"]) == 0
    head, first, *_ = said(capsys)
    assert head == "run state as of tables unchanged files bytes would free shared proven restorable tags"
    assert "48 B 48 B 0 B" in first
