"""What one sees of a run while it goes: bars on a terminal, log lines elsewhere, nothing where quiet is wanted."""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest
import requests
from msgspec.structs import replace

from bqdump.cli.progress import Lines, following
from bqdump.core.progress.events import Event, Looked, Started
from bqdump.core.progress.log_events import LogEvent
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.observe.follow import Pace
from integration.command import call
from integration.stage import COMMAND, Stage
from integration.terminal import Session, on_terminal

TERMINAL = {"TERM": "xterm-256color"}


def run_on_terminal(stage: Stage, *arguments: str, **env: str) -> Session:
    return on_terminal([*COMMAND, *arguments], {**stage.variables, **TERMINAL, **env}, cwd=stage.folder)


def some_tables(stage: Stage) -> None:
    for name in ("apples", "pears", "plums"):
        stage.table(name)
    stage.stack.jobs(run_seconds=0.5)


def test_a_terminal_shows_bars_and_keeps_none_of_them(stage: Stage) -> None:
    some_tables(stage)
    session = run_on_terminal(stage, "--run-id", "one")
    assert session.code == 0
    for shown in ("planning", "exporting", "publishing", "0 of 3 tables", "3 running", "longest", "━"):
        assert shown in session.raw
    assert session.coloured
    assert session.cursor_shown
    *lines, result = session.screen
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines), session.screen
    assert [line[9:].partition(" as of ")[0].split(",")[0] for line in lines if "7 days" not in line] == [
        "planned 3 tables", "published run one",
    ]  # fmt: skip
    assert result.startswith("done: 3 tables in 3 files, ")


def test_bars_stay_on_the_terminal_where_the_result_goes_elsewhere(stage: Stage) -> None:
    some_tables(stage)
    command = ["sh", "-c", '"$0" -m bqdump run > result; cat result > copy', sys.executable]
    session = on_terminal(command, {**stage.variables, **TERMINAL}, cwd=stage.folder)
    assert "0 of 3 tables" in session.raw
    assert not any("━" in line or "done: " in line for line in session.screen)
    assert (stage.folder / "copy").read_text().startswith("done: 3 tables in 3 files, ")


def test_errors_stay_on_the_screen(stage: Stage) -> None:
    some_tables(stage)
    stage.stack.jobs(faults=[{"at": "run", "table": "^pears@", "reason": "invalid", "message": "Cannot read it"}])
    session = run_on_terminal(stage, "--run-id", "one")
    assert session.code == 3
    assert "1 failed" in session.raw
    assert any("error: pears: failed: invalid: Cannot read it" in line for line in session.screen)
    assert any("1 of 3 tables failed, nothing was published" in line for line in session.screen)
    assert session.cursor_shown


def test_without_colour_there_are_bars_and_no_colours(stage: Stage) -> None:
    some_tables(stage)
    session = run_on_terminal(stage, NO_COLOR="1")
    assert session.code == 0
    assert "0 of 3 tables" in session.raw
    assert not session.coloured


def test_a_dumb_terminal_gets_lines(stage: Stage) -> None:
    some_tables(stage)
    session = run_on_terminal(stage, TERM="dumb")
    assert session.code == 0
    assert "\x1b" not in session.raw
    assert any("plums: exported in 1 file" in line for line in session.screen)


def test_quiet_prints_nothing(stage: Stage) -> None:
    some_tables(stage)
    session = run_on_terminal(stage, "--quiet")
    assert (session.code, session.raw) == (0, "")
    assert stage.execute("-q", execution="two").text == ""
    assert stage.latest().run == "two"


def test_ctrl_c_gives_the_terminal_back(stage: Stage) -> None:
    some_tables(stage)
    stage.stack.jobs(run_seconds=60.0)

    def interrupt(process: subprocess.Popen[bytes], written: str) -> None:
        if "planning" in written and process.poll() is None:
            os.kill(process.pid, signal.SIGINT)

    session = on_terminal([*COMMAND], {**stage.variables, **TERMINAL}, cwd=stage.folder, answer=interrupt)
    assert session.code == 130
    assert session.cursor_shown
    resume = r"stopped by SIGINT.* To resume run (\S+): bqdump run --run-id \1"
    assert re.search(resume, session.raw)


def test_nothing_of_it_is_to_be_seen_where_no_terminal_is(stage: Stage) -> None:
    some_tables(stage)
    code = "import sys\nfrom bqdump.cli.main import start\nstart(['run'])\nprint('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=stage.folder, env=stage.variables
    )
    result, rich = done.stdout.splitlines()
    assert rich == "False"
    assert "\x1b" not in done.stdout + done.stderr
    assert result.startswith("done: 3 tables")
    assert len(done.stderr.splitlines()) == 5


def test_without_a_terminal_a_line_a_minute_has_all_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bqdump")
    reported: queue.Queue[logging.LogRecord] = queue.Queue()

    class Told(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            reported.put(record)
            return True

    caplog.handler.addFilter(Told())
    with following(lines=lambda view: Lines(view, every=0.01)) as follower:
        follower.hear(Looked({"a": Started("a", "orders", 7, 0)}, {}, {}))
        while (line := reported.get(timeout=10)).__dict__["progress"]["running"] == 0:
            pass
    assert line.__dict__["event"] == LogEvent.RUN_PROGRESS
    assert line.getMessage() == "progress: planning"
    assert line.__dict__["progress"]["tables"] == 0


def test_a_run_reports_events_as_they_happen(stage: Stage) -> None:
    some_tables(stage)
    stage.stack.jobs(run_seconds=0.0)
    reported: list[Event] = []

    async def work(task: Callable[[int], Task]) -> None:
        await run(replace(task(0), tell=reported.append))

    stage.perform(work, execution="one")
    kinds = [type(event).__name__ for event in reported]
    assert kinds[0] == "Plan"
    assert kinds.count("Started") == kinds.count("Receipt") == 3
    assert kinds[-1] == "Entered"


def test_a_terminal_shows_a_line_for_each_task_of_an_execution(stage: Stage) -> None:
    some_tables(stage)
    stage.stack.jobs(run_seconds=1.5)
    (stage.folder / "stack.json").write_bytes(msgspec.json.encode(stage.stack))
    session = on_terminal(
        [sys.executable, "-m", "bqdump", "local", "--folder", str(stage.folder), "execute", "--tasks", "3"],
        {**stage.variables, **TERMINAL}, cwd=stage.folder,
    )  # fmt: skip
    assert session.code == 0
    for shown in ("task 0", "task 1", "task 2", "3 tables", "longest", "succeeded"):
        assert shown in session.raw
    assert '"severity"' not in session.raw
    assert session.screen[-1].startswith("execution bqdump-")
    assert session.screen[-1].partition(": ")[2].startswith("3 of 3 tasks succeeded")
    assert any(re.fullmatch(r"task \d: planned 3 tables as of .*, for 3 tasks", line) for line in session.screen)
    assert not any("━" in line for line in session.screen)


def test_watching_reports_each_change_and_ends_with_the_run(stage: Stage) -> None:
    some_tables(stage)
    stage.execute(execution="one")
    command = [sys.executable, "-m", "bqdump", "status", "--watch"]
    env = {"PATH": os.environ["PATH"], **stage.variables}
    piped = subprocess.run(command, capture_output=True, text=True, check=True, cwd=stage.folder, env=env)
    assert piped.stdout.splitlines()[0].startswith("run one: published: 3 of 3 tables done")
    assert f"run one: published, {stage.project}.{stage.dataset} as of" in piped.stdout
    lines = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, cwd=stage.folder, env=env)
    assert [msgspec.json.decode(line)["state"] for line in lines.stdout.splitlines()] == ["published"]
    quiet = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=True, cwd=stage.folder, env=env)
    assert quiet.stdout == quiet.stderr == ""
    session = on_terminal(command, {**stage.variables, **TERMINAL}, cwd=stage.folder)
    assert (session.code, session.cursor_shown) == (0, True)
    assert session.screen[0].startswith(f"run one: published, {stage.project}.{stage.dataset} as of")


def test_watching_a_run_that_fails_ends_with_3_and_the_reason(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some_tables(stage)
    stage.stack.jobs(run_seconds=0.0)
    stage.stack.jobs(faults=[{"at": "run", "table": "^pears@", "reason": "invalid", "message": "Cannot read it"}])
    assert stage.execute(execution="one").codes == [3]
    monkeypatch.setattr("bqdump.observe.follow.PACE", Pace(0.01, 0.05))
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    called = call(capsys, "status", "--watch")
    assert called.code == 3
    assert "pears: invalid: Cannot read it" in called.out
    assert "nothing has been published here yet" in called.out
    assert call(capsys, "status", "--watch", "never").code == 5


def test_a_verification_shows_bars_and_its_quiet_is_quiet(stage: Stage) -> None:
    some_tables(stage)
    stage.stack.jobs(run_seconds=0.0)
    stage.execute("--format", "parquet", execution="one")
    command = [sys.executable, "-m", "bqdump", "verify", "--read"]
    # Long enough to be drawn.
    slow = {"operation": "^storage.objects.list$", "seconds": 0.5, "times": 1}
    requests.put(f"{stage.stack.storage}/_local/faults", json={"rules": [slow]}, timeout=10).raise_for_status()
    session = on_terminal(command, {**stage.variables, **TERMINAL}, cwd=stage.folder)
    assert session.code == 0
    for shown in ("listing", "reading", "3 files", "━"):
        assert shown in session.raw
    assert session.cursor_shown
    assert not any("━" in line for line in session.screen)
    assert session.screen[-1] == "Every file is there, with its size, checksum and generation."
    assert on_terminal([*command, "--quiet"], {**stage.variables, **TERMINAL}, cwd=stage.folder).raw == ""
    stage.upload(stage.files()[0], b"changed")
    changed = on_terminal([*command, "--quiet"], {**stage.variables, **TERMINAL}, cwd=stage.folder)
    assert changed.code == 4
    assert "1 difference." in changed.screen
