"""Shells complete commands, flags and values: asked as they ask, and in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bqdump.cli.main import COMMANDS, start
from bqdump.core.formats.formats import FORMATS

BIN = Path(sys.executable).parent


def completed(*words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    env = {
        **os.environ, "_BQDUMP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("bqdump", *words)),
        "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    done = subprocess.run([BIN / "bqdump"], capture_output=True, text=True, check=True, env=env)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_are_completed() -> None:
    assert completed("st") == ["status"]
    assert completed("local", "e") == ["execute"]
    assert set(completed("")) == set(COMMANDS)


def test_flags_are_completed() -> None:
    assert completed("plan", "--form") == ["--format"]
    assert "--quiet" in completed("run", "--q")


def test_values_of_settings_are_completed() -> None:
    assert completed("run", "--format", "") == list(FORMATS)
    assert completed("plan", "--compression", "z") == ["zstd"]
    assert completed("completion", "f") == ["fish"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_calls_bqdump(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["completion", shell]) == 0
    assert f"_BQDUMP_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_the_script_for_zsh_sets_up_completion_where_that_is_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["completion", "zsh"]) == 0
    *_, condition, registered, end = capsys.readouterr().out.rstrip().splitlines()
    assert condition.strip() == "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }"
    assert (registered.strip(), end) == ("compdef _bqdump_completion bqdump", "fi")


def test_the_documented_line_works_in_bash(tmp_path: Path) -> None:
    script = """
        eval "$(bqdump completion bash)"
        COMP_WORDS=(bqdump run --format ""); COMP_CWORD=3
        _bqdump_completion bqdump run --format
        echo "${COMPREPLY[@]}"
        complete -p bqdump
    """
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-eu"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": path},
        cwd=tmp_path,
    )
    offered, registered = done.stdout.splitlines()
    assert offered.split() == list(FORMATS)
    assert registered.endswith("-F _bqdump_completion bqdump")
