"""With --quiet, a command that does not end well says why; and other words that were missing where they are needed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from bqdump import verbs
from bqdump.adapters.folder.content import FULL, HINTS
from bqdump.cli.commands.run import tell_new_folder
from bqdump.cli.commands.status import _ended
from bqdump.cli.main import start
from bqdump.core.copy.plan import Copied, CopiedRun
from bqdump.core.exit_codes import DIFFERENCE, TABLES_FAILED
from bqdump.core.retention.erased import ErasedFrom, Erasures, Held
from bqdump.core.settings.target import parse_target
from bqdump.core.times import EPOCH
from bqdump.observe.status import Status


def answering(monkeypatch: pytest.MonkeyPatch, verb: str, answer: Any) -> None:
    async def answered(*_: Any, **__: Any) -> Any:
        return answer

    monkeypatch.setattr(verbs, verb, answered)


def exported(tmp_path: Path) -> str:
    (tmp_path / "exports").mkdir()
    return str(tmp_path / "exports")


def test_a_copy_names_the_runs_that_were_not_copied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = (CopiedRun(run="a", state="copied"), CopiedRun(run="b", state="not copied", problem="a file is missing"))
    answering(monkeypatch, "copy", Copied(copied=True, source="x", target="y", runs=runs))
    assert start(["copy", str(tmp_path / "copy"), "--all", "--to", exported(tmp_path), "--quiet"]) == TABLES_FAILED
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "bqdump: run b was not copied: a file is missing\n")


def test_an_erasure_names_what_the_bucket_keeps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    held = (Held("orders.csv", "it is on hold"),)
    export = ErasedFrom(
        table="orders", target="x", runs=("a",), files=1, bytes=1, at=EPOCH, by="me", reason="r", held=held
    )
    answering(monkeypatch, "erase", Erasures(erased=True, exports=(export,)))
    line = ["erase", "orders", "--reason", "r", "--yes", "--to", exported(tmp_path), "--quiet"]
    assert start(line) == TABLES_FAILED
    assert capsys.readouterr().err == "bqdump: held: orders.csv: it is on hold\n"


@pytest.mark.parametrize(("state", "code"), [("failed", TABLES_FAILED), ("not trusted", DIFFERENCE)])
def test_a_run_that_was_followed_to_a_bad_end_is_described(
    state: Any, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Status(
        run="r", state=state, snapshot_time=None, tables=2, done=1, working=0, waiting=0, failed=(), skipped=0, bytes=1,
        latest="", problem="its signature is missing",
    )  # fmt: skip
    assert _ended(progress, code, as_json=False, quiet=True) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"bqdump: run r: {state}\n")
    assert "its signature is missing" in said.err


@pytest.mark.parametrize("there", ["old.key", "old.pub"])
def test_a_new_key_leaves_nothing_where_a_file_of_its_name_is(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(there).write_text("another key's")
    assert start(["keys", "new", "old"]) == 2
    assert f"{there}: it exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert Path(there).read_text() == "another key's"


@pytest.mark.parametrize("flag", ["-V", "-v"])
def test_the_version_is_named_where_another_tools_flag_was_meant(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start([flag]) == 2
    assert "Did you mean `bqdump --version`?" in capsys.readouterr().err


def test_a_full_disk_asks_to_repeat_the_command_whichever_it_was() -> None:
    assert {HINTS[error] for error in FULL} == {
        "Free some space and repeat the command: nothing counts before it is complete."
    }


@pytest.mark.parametrize(
    ("folder", "told"),
    [("my-exports/nightly", True), ("./my-exports", False), ("/tmp/my-exports", False), ("../x", False)],
)
def test_a_new_folder_whose_name_could_be_a_buckets_is_called_a_local_folder(
    folder: str, told: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        tell_new_folder(parse_target(folder))
    words = f"{folder}/ is a new local folder; a bucket is written gs://BUCKET/PREFIX"
    assert [record.getMessage() for record in caplog.records] == [words] * told
    assert parse_target(folder).named == f"the local folder {folder}/"
    # Of one that is there, it is known what it is.
    (tmp_path / "my-exports" / "nightly").mkdir(parents=True)
    caplog.clear()
    tell_new_folder(parse_target("my-exports/nightly"))
    assert caplog.records == []
