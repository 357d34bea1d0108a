"""Ctrl-C at each import of a command, once and twice: exit code 130, and no stack trace."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import bqdump

SCRIPT = Path(__file__).with_name("interrupted.py")
LEAST = 40


@pytest.mark.parametrize("times", ["1", "2"])
@pytest.mark.parametrize("command", [("runs", "--to", "exports"), ("plan", "--to", "exports")])
def test_ctrl_c_is_clean_at_each_import(command: tuple[str, ...], times: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, times, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *unclean, last = [line for line in ran.stderr.splitlines() if not line.startswith("bqdump: ")]
    assert unclean == []
    assert last.endswith(" copies")
    assert int(last.split()[0]) > LEAST


LINGERS = """
import threading
def linger():
    threading.main_thread().join()
    print("over", flush=True)
    threading.Event().wait(60)
threading.Thread(target=linger).start()
"""


@pytest.mark.parametrize(("command", "code"), [("completion bash", 0), ("completion of-another-shell", 2)])
def test_sigterm_once_a_command_is_over_ends_it_with_its_own_exit_code(
    cold: None, tmp_path: Path, command: str, code: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LINGERS)
    started = [sys.executable, "-m", "bqdump", *command.split()]
    with subprocess.Popen(started, env={"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while process.stdout.readline() != b"over\n":
            pass
        # Python misses a signal that comes just before it begins to wait for its threads.
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
        assert process.returncode == code


def test_until_ctrl_c_is_dealt_with_next_to_nothing_is_imported() -> None:
    script = "import sys; before = set(sys.modules); import bqdump.cli.process; print(*set(sys.modules) - before)"
    source = Path(bqdump.__file__).parents[1]
    command = [sys.executable, "-S", "-c", script]
    ran = subprocess.run(command, env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True)
    assert not {"collections", "enum", "re", "types", "typing"}.intersection(ran.stdout.split())
