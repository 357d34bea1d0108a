"""Tasks as processes, as Cloud Run and other engines with array jobs run them."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bqdump_local.execute import Engine, Execution, execute, task_variables
from bqdump_local.processes import Processes, TaskLine


def python(code: str) -> list[str]:
    # Isolated mode without site packages: processes start much faster.
    return [sys.executable, "-I", "-S", "-c", f"import os, signal, sys, time\n{code}"]


def run(code: str, **options: Any) -> tuple[Execution, list[TaskLine]]:
    lines: list[TaskLine] = []
    options = {"env": {}, "on_output": lines.append, **options}
    return asyncio.run(execute(python(code), **options)), lines


def texts(lines: list[TaskLine]) -> list[str]:
    return [line.text for line in lines]


INDEX = "index = int(os.environ['CLOUD_RUN_TASK_INDEX']); attempt = int(os.environ['CLOUD_RUN_TASK_ATTEMPT'])"


def test_every_task_gets_its_variables() -> None:
    code = "print({k: v for k, v in sorted(os.environ.items()) if k.startswith('CLOUD_RUN')})"
    execution, lines = run(code, tasks=3, execution="bqdump-x7k2p")
    assert execution.ok
    assert [eval(line.text) for line in sorted(lines, key=lambda line: line.task)] == [
        {
            "CLOUD_RUN_JOB": "bqdump",
            "CLOUD_RUN_EXECUTION": "bqdump-x7k2p",
            "CLOUD_RUN_TASK_INDEX": str(index),
            "CLOUD_RUN_TASK_COUNT": "3",
            "CLOUD_RUN_TASK_ATTEMPT": "0",
        }
        for index in range(3)
    ]


def test_every_execution_has_its_own_name() -> None:
    first, lines = run("print(os.environ['CLOUD_RUN_EXECUTION'])", tasks=2, job="nightly")
    second, _ = run("", tasks=1, job="nightly")
    assert set(texts(lines)) == {first.name}
    assert first.name.startswith("nightly-")
    assert len(first.name) == len("nightly-x7k2p")
    assert first.name != second.name


def test_tasks_do_not_inherit_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_TASK_INDEX", "5")
    monkeypatch.setenv("SECRET", "x")
    _, lines = run("print(sorted(os.environ))", tasks=1, env={"DESTINATION_BUCKET": "b"})
    names = eval(lines[0].text)
    assert "DESTINATION_BUCKET" in names
    assert "PATH" in names
    assert not {"BATCH_TASK_INDEX", "SECRET"} & set(names)


@pytest.mark.parametrize(
    ("engine", "variables"),
    [
        ("kubernetes", {"JOB_COMPLETION_INDEX": "2"}),
        ("gcp-batch", {"BATCH_TASK_INDEX": "2", "BATCH_TASK_COUNT": "4", "BATCH_TASK_RETRY_ATTEMPT": "0"}),
        (
            "aws-batch",
            {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "4", "AWS_BATCH_JOB_ATTEMPT": "1"},
        ),
    ],
)
def test_other_engines_have_other_variables(engine: Engine, variables: dict[str, str]) -> None:
    assert task_variables(engine, index=2, count=4, attempt=0, execution="e", job="j") == variables
    code = "print({k: v for k, v in os.environ.items() if 'TASK' in k or 'JOB' in k})"
    _, lines = run(code, tasks=4, engine=engine)
    assert eval(next(line.text for line in lines if line.task == 2)) == variables


def test_a_failed_task_is_retried_under_its_index() -> None:
    execution, lines = run(f"{INDEX}; print(index, attempt); sys.exit(7 if attempt < index else 0)", tasks=3)
    assert sorted(texts(lines)) == ["0 0", "1 0", "1 1", "2 0", "2 1", "2 2"]
    assert (execution.succeeded, execution.failed, execution.ok) == (3, 0, True)
    assert [[attempt.exit_code for attempt in task.attempts] for task in execution.tasks] == [[0], [7, 0], [7, 7, 0]]
    assert [attempt.number for attempt in execution.tasks[2].attempts] == [0, 1, 2]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_task_that_fails_for_good_fails_the_execution_after_all_others(retries: int) -> None:
    execution, lines = run(
        f"{INDEX}; print(index, attempt); sys.exit(index == 0)", tasks=4, parallelism=1, max_retries=retries
    )
    assert (execution.succeeded, execution.failed, execution.ok) == (3, 1, False)
    assert len(execution.tasks[0].attempts) == retries + 1
    assert texts(lines)[-3:] == ["1 0", "2 0", "3 0"]


def test_a_signal_is_a_failure_and_distinguished_from_an_exit_code() -> None:
    execution, _ = run(f"{INDEX}; attempt or os.kill(os.getpid(), signal.SIGSEGV)", tasks=1)
    assert [(attempt.exit_code, attempt.signal) for attempt in execution.tasks[0].attempts] == [
        (None, signal.SIGSEGV),
        (0, None),
    ]


def test_tasks_start_in_the_order_given() -> None:
    _, lines = run(f"{INDEX}; print(index)", tasks=4, parallelism=1, order=[2, 0, 3, 1])
    assert texts(lines) == ["2", "0", "3", "1"]
    _, lines = run(f"{INDEX}; print(index)", tasks=4, parallelism=1)
    assert texts(lines) == ["0", "1", "2", "3"]


def test_a_seed_shuffles_the_order_and_names_the_execution() -> None:
    runs = [run(f"{INDEX}; print(index)", tasks=6, parallelism=1, seed=seed) for seed in (1, 1, 2)]
    orders = [texts(lines) for _, lines in runs]
    assert orders[0] == orders[1] != orders[2]
    assert runs[0][0].name == runs[1][0].name
    assert sorted(orders[2]) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("options", [{"order": [0]}, {"order": [0, 0]}, {"parallelism": 0}], ids=str)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="every task from 0 to 1 once" if "order" in options else "at least 1"):
        run("", tasks=2, **options)


@pytest.mark.parametrize(("parallelism", "peak"), [(1, 1), (2, 2), (None, 5)])
def test_parallelism_is_a_cap_that_is_used(tmp_path: Path, parallelism: int | None, peak: int) -> None:
    processes, running = Processes(), []
    # A task ends only after as many as may run at once have started.
    code = (
        f"{INDEX}; open(str(index), 'w').close(); print(index, flush=True)\n"
        f"while len(os.listdir()) < {peak}: time.sleep(0.005)"
    )
    execution, _ = run(
        code,
        tasks=5,
        parallelism=parallelism,
        processes=processes,
        cwd=tmp_path,
        on_output=lambda _line: running.append(len(processes.running)),
        task_timeout=30,
        max_retries=0,
    )
    assert execution.ok
    assert max(running) <= peak


def test_output_comes_line_by_line_with_its_task() -> None:
    code = (
        f"{INDEX}; print('out', index); print('err', index, file=sys.stderr); "
        "sys.stdout.write('x' * 300_000 + '\\n\\nno end'); sys.stdout.buffer.write(b'\\xff')"
    )
    _, lines = run(code, tasks=2)
    for index in range(2):
        out = [line.text for line in lines if line.task == index and line.stream == "stdout"]
        assert out == [f"out {index}", "x" * 300_000, "", "no end\ufffd"]
        assert [line.text for line in lines if line.task == index and line.stream == "stderr"] == [f"err {index}"]


def test_a_task_that_takes_too_long_gets_sigterm_and_is_retried() -> None:
    code = (
        f"{INDEX}\n"
        "def stop(*_):\n    print('stopped', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "if attempt == 0: time.sleep(60)"
    )
    execution, lines = run(code, tasks=1, task_timeout=1)
    first, second = execution.tasks[0].attempts
    # An exit code of 0 does not help a task whose time was up.
    assert (first.timed_out, first.exit_code, first.succeeded) == (True, 0, False)
    assert (second.timed_out, second.succeeded) == (False, True)
    assert texts(lines) == ["stopped"]


def test_a_task_that_ignores_sigterm_is_killed() -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    execution, lines = run(code, tasks=1, task_timeout=1, max_retries=0, grace=0.1)
    [attempt] = execution.tasks[0].attempts
    assert (attempt.timed_out, attempt.signal, attempt.exit_code) == (True, signal.SIGKILL, None)
    assert texts(lines) == ["deaf"]
    assert execution.failed == 1


def test_a_test_can_kill_the_running_process_of_a_task() -> None:
    processes, lines = Processes(), []

    def kill(line: TaskLine) -> None:
        lines.append(line.text)
        if line.text == "1 0":
            assert processes.kill(line.task)

    code = f"{INDEX}; print(index, attempt, flush=True); (index, attempt) == (1, 0) and time.sleep(60)"
    execution, _ = run(code, tasks=3, processes=processes, on_output=kill)
    assert execution.ok
    assert execution.tasks[1].attempts[0].signal == signal.SIGKILL
    assert sorted(lines) == ["0 0", "1 0", "1 1", "2 0"]
    assert processes.running == {}
    assert not processes.kill(1)


def has_ended(pid: int) -> bool:
    """Whether a process ends within a few seconds, since the kernel needs some time after SIGKILL."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


linux_only = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="asks Linux about processes of others")
# A task that starts a child process, prints both process ids, and keeps running.
FAMILY = (
    "import subprocess\n"
    "child = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)'])\n"
    "print(os.getpid(), child.pid, flush=True)\n"
)


def cancelled_after_first_lines(code: str, tasks: int) -> list[str]:
    """Run tasks, cancel the execution once every task has written a line, and wait for its end."""
    lines: list[str] = []

    async def go() -> None:
        ready = asyncio.Event()

        def note(line: TaskLine) -> None:
            lines.append(line.text)
            if len(lines) == tasks:
                ready.set()

        running = asyncio.create_task(execute(python(code), tasks=tasks, env={}, on_output=note, grace=0.2))
        await ready.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(go())
    return lines


@linux_only
@pytest.mark.parametrize("prelude", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"], ids=["polite", "deaf"])
def test_cancellation_leaves_no_process(prelude: str) -> None:
    lines = cancelled_after_first_lines(f"{prelude}{FAMILY}time.sleep(60)", tasks=3)
    pids = [int(pid) for line in lines[:3] for pid in line.split()]
    assert len(pids) == 6
    assert all(has_ended(pid) for pid in pids)


@linux_only
def test_children_that_a_task_leaves_behind_end_with_it() -> None:
    execution, lines = run(FAMILY, tasks=1)
    assert execution.ok
    assert execution.seconds < 30
    left = [int(pid) for pid in lines[0].text.split()]
    assert left
    assert all(has_ended(pid) for pid in left)


def test_a_command_that_cannot_be_started_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        asyncio.run(execute([str(tmp_path / "absent")], tasks=3, env={}))


def test_children_lead_groups_of_their_own() -> None:
    _, lines = run("print(os.getpgid(0) == os.getpid())", tasks=2)
    assert texts(lines) == ["True", "True"]
