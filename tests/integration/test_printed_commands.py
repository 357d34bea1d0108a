"""Commands in messages do what they say when they are pasted, with the flags of the command that printed them."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bqdump.verbs import inspection
from integration.command import Called, call
from integration.stage import Stage

BROKEN = [{"at": "run", "table": "^b@", "reason": "invalid", "times": 1}]


@pytest.fixture
def flags(stage: Stage) -> list[str]:
    """The three settings as flags."""
    three = [stage.variables[name] for name in ("PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET")]
    return [word for pair in zip(("--project", "--dataset", "--bucket"), three, strict=True) for word in pair]


def printed(called: Called, command: str) -> list[str]:
    """The arguments of the command of this name in the last error that has one."""
    found = [match[1] for error in called.errors for match in re.finditer(rf"bqdump ({command}\b.*)", error)]
    return shlex.split(found[-1].rstrip("."))


def test_the_resume_command_completes_the_run_that_failed(stage: Stage, flags: list[str]) -> None:
    for table in ("a", "b"):
        stage.table(table)
    stage.stack.jobs(faults=BROKEN)
    chosen = ["--prefix", "night ly", "--format", "json", "--exclude", "tmp_*", "--exclude", "x'*"]
    failed = stage.bare("run", *flags, *chosen, "--run-id", "n1")
    assert failed.code == 3
    assert stage.bare(*printed(failed, "run")).code == 0
    assert "night ly/_bqdump/runs/n1/manifest.json" in stage.objects()
    assert "b/b_000000000000.json" not in stage.objects()


def test_the_status_of_a_failed_run_has_the_command_that_completes_it(stage: Stage, flags: list[str]) -> None:
    for table in ("a", "b"):
        stage.table(table)
    stage.stack.jobs(faults=BROKEN)
    assert stage.bare("run", *flags, "--prefix", "night ly", "--format", "json", "--run-id", "n1").code == 3
    shown = stage.bare("status", "--to", f"gs://{flags[-1]}/night ly").out
    assert "run n1: failed" in shown
    command = re.search(r"fix the cause, then resume with: bqdump (run .*)", shown)
    assert command
    assert stage.bare(*shlex.split(command[1])).code == 0
    assert "night ly/b/b_000000000000.json" in stage.objects()


def test_a_settings_file_that_was_named_is_named_again(stage: Stage, flags: list[str]) -> None:
    stage.table("b")
    (stage.folder / "my backup.toml").write_text('format = "avro"\n')
    stage.stack.jobs(faults=BROKEN)
    failed = stage.bare("run", "--config", "my backup.toml", *flags, "--run-id", "n1")
    assert stage.bare(*printed(failed, "run")).code == 0
    assert "b/b_000000000000.avro" in stage.objects()


def test_the_list_of_runs_is_of_the_target_that_was_asked(stage: Stage, flags: list[str]) -> None:
    stage.table("a")
    assert stage.bare("run", *flags, "--prefix", "nightly", "--run-id", "n1").code == 0
    target = ["--to", f"gs://{flags[-1]}/nightly"]
    unknown = stage.bare("verify", "n2", *target)
    assert unknown.code == 5
    assert "n1" in stage.bare(*printed(unknown, "runs")[:3]).out
    alone = stage.bare("diff", *target)
    assert "there is no earlier one" in alone.err
    assert "n1" in stage.bare(*printed(alone, "runs")).out


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["run", "--dry-run"], "`bqdump plan` shows what a run would do"),
        (["prune", "--dry-run"], "Without --yes, prune only shows what it would delete"),
        (["run", "--tasks", "4"], "On the local stack: bqdump local execute --tasks N"),
        (["restore", "--dry-run"], "--plan shows what would be restored"),
        (["drill", "--into", "sales"], "--scratch-project names its project"),
        (["prune", "--keep", "7"], "Did you mean --keep-last or --keep-daily?"),
        (
            ["sql", "SELECT 1", "--to", "gs://target/my x"],
            "To execute it: bqdump sql --command 'SELECT 1' --to 'gs://target/my x'",
        ),
        (["sql", "SELECT 1"], "To execute it: bqdump sql --command 'SELECT 1'"),
    ],
)
def test_habits_from_other_tools_are_answered(
    arguments: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    called = call(capsys, *arguments)
    assert called.code == 2
    assert answer in called.err


@pytest.mark.parametrize("arguments", [[], ["local"], ["render"]])
def test_a_command_that_needs_another_one_prints_its_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    called = call(capsys, *arguments)
    assert (called.code, called.err) == (0, "")
    assert called.out.startswith(f"Usage: {' '.join(['bqdump', *arguments])} ")


@pytest.mark.parametrize("way", ["variable", "file"])
def test_a_copy_without_the_prefix_of_the_settings_is_found_as_printed(
    stage: Stage,
    flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    stage.table("a")
    if way == "variable":
        monkeypatch.setenv("BQDUMP_PREFIX", "sales")
    else:
        (stage.folder / "bqdump.toml").write_text('prefix = "sales"\n')
    assert stage.bare("run", *flags, "--run-id", "n1").code == 0
    bucket = flags[-2:]
    inner = stage.bare("copy", "./a copy", *bucket)
    found = re.search(r"name it with (.*)\.$", inner.out.strip())
    assert found
    place = shlex.split(found[1])
    assert stage.bare("verify", "n1", *place).code == 0
    assert stage.bare("copy", "./second", *place).code == 0
    # With a prefix of its own, as in a bucket, --to is enough.
    other = stage.bare("copy", f"gs://{flags[-1]}/other", *bucket)
    assert other.code == 0
    assert "name it" not in other.out
    assert stage.bare("verify", "n1", "--to", f"gs://{flags[-1]}/other").code == 0


def test_what_a_broken_objective_prints_is_pasted_until_it_is_met(
    stage: Stage,
    flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """In the place itself, where the drill needs a project that the status does not, and in a copy of it."""

    def status_after_an_hour(*place: str) -> Called:
        with monkeypatch.context() as patch:
            patch.setattr(inspection, "time", SimpleNamespace(time=lambda: time.time() + 3600))
            return stage.bare("status", *place, "--rpo", "30m")

    stage.table("a")
    place = ["--to", f"gs://{flags[-1]}/night ly"]
    kept = ["--path", "{run}/{table}_*.{ext}", "--format", "parquet"]
    assert stage.bare("run", *flags, "--prefix", "night ly", *kept, "--run-id", "n1").code == 0
    objective = ["--rpo", "1d", "--rto", "4h"]
    unproven = stage.bare("status", *place, *objective)
    assert unproven.code == 4
    elsewhere = ["--to", str(tmp_path / "un proven")]
    assert stage.bare("copy", elsewhere[1], *place).code == 0
    in_copy = stage.bare("status", *elsewhere, *objective)
    assert in_copy.code == 4
    assert stage.bare(*printed(in_copy, "drill")).code == 0
    assert stage.bare("status", *elsewhere, *objective).code == 0
    assert stage.bare(*printed(unproven, "drill")).code == 0
    met = stage.bare("status", *place, *objective)
    assert met.code == 0, met.text
    assert "objectives met: proven run n1" in met.out
    old = status_after_an_hour(*place)
    assert old.code == 4
    again = printed(old, "run")
    assert stage.bare(*again).code == 0
    assert len([name for name in stage.objects() if name.startswith("night ly/_bqdump/log/")]) == 2
    assert stage.bare(*printed(unproven, "drill")).code == 0
    copied = str(tmp_path / "co py")
    assert stage.bare("copy", copied, *place).code == 0
    behind = status_after_an_hour("--to", copied)
    assert behind.code == 4
    assert stage.bare(*again).code == 0
    assert stage.bare(*printed(behind, "copy")).code == 0
    assert len(list((tmp_path / "co py/_bqdump/log").glob("*.json"))) == 2
