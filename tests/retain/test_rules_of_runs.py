"""The rules of a run that prunes: they are not given in vain, and do not delete nearly everything by mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import bqdump
from bqdump.cli.commands.run import tell_unused_rules
from bqdump.cli.main import start
from bqdump.core.exit_codes import USAGE
from bqdump.core.retention.policy import refuse_short
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target

WHERE = ("--project", "proj-1", "--dataset", "d", "--to")


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("rule", [("--keep-last", "3"), ("--keep-within", "30d"), ("--keep-tag", "audit")])
def test_rules_without_prune_are_refused(
    command: str, rule: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start([command, *WHERE, str(tmp_path), *rule]) == USAGE
    said = capsys.readouterr()
    expected = f"{rule[0]}: it has no effect, because this run does not prune. Add --prune, or leave it out."
    assert expected in said.err + said.out
    with pytest.raises(bqdump.UsageError, match="this run does not prune"):
        getattr(bqdump, command)(project="proj-1", dataset="d", to=str(tmp_path), keep_daily=7)


def settings(**rules: Any) -> Settings:
    return Settings(project="p", dataset="d", target=Target("gs", "b"), prune=True, **rules)


@pytest.mark.parametrize(
    "rules",
    [
        {"keep_within": 3600},
        {"keep_hourly": 23},
        {"keep_within_daily": 3600},
        {"keep_within": 86_399, "keep_hourly": 1},
    ],
)
def test_rules_of_less_than_a_day_are_to_be_confirmed(rules: dict[str, int]) -> None:
    with pytest.raises(bqdump.UsageError, match=r"keeps less than a day of runs.*confirm it with yes=True"):
        refuse_short(settings(**rules), yes=False)
    refuse_short(settings(**rules), yes=True)
    refuse_short(settings(**rules, keep_last=2), yes=False)


@pytest.mark.parametrize(
    "rules",
    [
        {"keep_within": 86_400},
        {"keep_within_monthly": 86_400},
        {"keep_hourly": 24},
        {"keep_last": 1},
        {"keep_daily": 1},
        {"keep_tag": ("a",)},
    ],
)
def test_other_rules_are_not(rules: dict[str, object]) -> None:
    refuse_short(settings(**rules), yes=False)


def test_the_command_and_the_function_ask_before_anything_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(["run", *WHERE, str(tmp_path), "--prune", "--keep-within", "12h"]) == USAGE
    said = capsys.readouterr()
    assert "--keep-within 12h keeps less than a day of runs" in said.err + said.out
    assert "confirm it with --yes" in said.err + said.out
    with pytest.raises(bqdump.UsageError, match="keep_within='12h' keeps less than a day of runs"):
        bqdump.run(project="proj-1", dataset="d", to=str(tmp_path), prune=True, keep_within="12h")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("prune", "told"), [(False, 1), (True, 0)])
def test_variables_with_rules_are_mentioned_by_a_run_that_does_not_prune(
    told: int, *, prune: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BQDUMP_KEEP_DAILY", "7")
    with caplog.at_level("INFO"):
        tell_unused_rules(replace(settings(keep_daily=7), prune=prune))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["no effect on this run, which does not prune (BQDUMP_PRUNE): BQDUMP_KEEP_DAILY"] * told
