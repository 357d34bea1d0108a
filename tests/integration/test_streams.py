"""Streams that are closed, full, or read by nobody: an export goes on without them, and a lost result is an error."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bqdump.core.progress.log_events import LogEvent
from bqdump_local.stack import Stack
from docs.warm_shell import commands
from integration.stage import Stage, records

ROOT = Path(__file__).resolve().parents[2]
AWAY = {
    "closed": "{} >&-", "full": "{} >/dev/full", "reader gone": "{} | true", "all closed": "{} <&- >&- 2>&-",
    "errors closed": "{} 2>&-", "errors full": "{} 2>/dev/full", "both full": "{} >/dev/full 2>&1",
}  # fmt: skip


def shell(stage: Stage, away: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that does this with its streams. A fork can be started with any but closed ones."""
    start = '"$0" -m bqdump "$@"' if "&-" in away or env else 'bqdump "$@"'
    command = f"set -o pipefail; {away.format(start)}"
    with TemporaryDirectory() as folder, commands(Path(folder)) as started:
        path = os.pathsep.join((str(started), os.environ["PATH"]))
        return subprocess.run(
            ["bash", "-c", command, env.get("PYTHON", sys.executable), *arguments], capture_output=True, text=True,
            cwd=stage.folder, env=os.environ | stage.variables | env | {"PATH": path}, check=False, timeout=300,
        )  # fmt: skip


def published(stage: Stage, away: str, *arguments: str) -> None:
    stage.table("a")
    done = shell(stage, AWAY[away], "run", *arguments)
    assert done.returncode == 0, done
    assert "Traceback" not in done.stdout + done.stderr
    assert "Logging error" not in done.stderr
    assert [table.table for table in stage.manifest().tables] == ["a"]


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("away", AWAY)
def test_an_export_is_published_and_ends_with_0(stage: Stage, away: str) -> None:
    published(stage, away)


@pytest.mark.parametrize("away", ["closed", "full", "reader gone"])
def test_an_export_whose_result_is_lost_is_published_and_ends_with_0(stage: Stage, away: str) -> None:
    published(stage, away, "--json")


@pytest.mark.parametrize("away", AWAY)
def test_an_export_that_fails_keeps_its_exit_code(stage: Stage, away: str) -> None:
    done = shell(stage, AWAY[away], "run", "--dataset", "nowhere")
    assert done.returncode == 5, done
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def exported(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A dataset that has been exported; commands that only look leave it as it is."""
    made = Stage(stack, tmp_path_factory.mktemp("exported"))
    made.table("a")
    assert made.run("--run-id", "r1").code == 0
    yield made
    made.close()


FULL, CLOSED = "{} >/dev/full", "{} >&-"


@pytest.mark.parametrize(
    ("away", "arguments"),
    [
        (FULL, ["status"]), (FULL, ["--help"]), (FULL, ["--version"]),
        (FULL, ["init", "--force", "--project", "proj", "--dataset", "data", "--bucket", "target"]),
        (CLOSED, ["runs", "--json"]), (CLOSED, ["--version"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_result_that_cannot_be_printed_is_an_error_in_one_sentence(
    exported: Stage, away: str, arguments: list[str]
) -> None:
    done = shell(exported, away, *arguments)
    assert done.returncode == 1, done
    assert done.stderr.startswith("bqdump: cannot write to standard output: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_ends_a_command_in_silence(exported: Stage) -> None:
    done = shell(exported, "{} | true", "status")
    assert (done.returncode in (0, 1), done.stderr) == (True, "")


def test_a_lost_result_of_a_run_is_named_in_its_log(stage: Stage) -> None:
    stage.table("a")
    done = shell(stage, "{} >/dev/full", "run", "--json", "--log-format", "json")
    assert done.returncode == 0
    last = list(records(done.stderr))[-1]
    assert (last["severity"], last["event"]) == ("WARNING", LogEvent.RESULT_NOT_PRINTED)
    assert "cannot write to standard output: No space left" in last["message"]


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, str]:
    """A locale without further characters. In it, Python imports nothing from a folder that has some in its name.

    Before 3.13 it does not even start in an environment with a .pth file that names such a folder: so without one.
    """
    folders = {"src": ROOT / "src", "packages": Path(sysconfig.get_path("purelib"))}
    for name, folder in folders.items():
        (tmp_path / name).symlink_to(folder)
    return {
        "PYTHON": str(getattr(sys, "_base_executable", sys.executable)),
        "PYTHONPATH": os.pathsep.join(str(tmp_path / name) for name in folders),
        "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0",
    }  # fmt: skip


def test_a_locale_without_the_characters_of_a_name_does_not_stop_an_export(stage: Stage, plain: dict[str, str]) -> None:
    stage.table("表")
    done = shell(stage, "{}", "run", **plain)
    assert done.returncode == 0, done
    assert "\\u8868: exported in 1 file" in done.stderr
    shown = shell(stage, "{}", "plan", **plain)
    assert shown.returncode == 0, shown
