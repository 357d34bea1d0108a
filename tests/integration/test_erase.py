"""A table is erased from the command line and from Python; what reads the runs says so, and finds no damage."""

from __future__ import annotations

import json
from typing import Any

import pytest

import bqdump
from integration.stage import Stage

KEEP = "{run}/{table}/{table}_*.{ext}"
REASON = ("--reason", "request 4711", "--by", "dana")
WORDS = "by dana: request 4711"


@pytest.fixture
def kept(stage: Stage) -> Stage:
    """Two runs of two tables, each with a folder of its own."""
    stage.table("customers", rows=3)
    stage.table("orders", rows=2)
    for run in ("r1", "r2"):
        stage.run_tasks(1, execution=run, path=KEEP)
    return stage


def test_an_erased_table_is_named_as_such_wherever_a_run_is_read(kept: Stage) -> None:
    shown = kept.command("erase", "customers")
    assert (shown.code, "r1, r2" in shown.out, "add --yes to erase" in shown.out) == (0, True, True), shown.text
    missing = kept.command("erase", "customers", "--yes")
    assert (missing.code, "--reason: missing. Say why the table is erased" in missing.text) == (2, True)
    done = kept.command("erase", "customers", *REASON, "--yes")
    assert (done.code, "Copies of these runs in other places are not touched" in done.out) == (0, True), done.text
    assert done.out.splitlines()[-1].startswith("Erased 2 files, ")
    assert [name for name in kept.objects() if "customers" in name] == []
    assert kept.command("verify", "--read").code == 0
    for run in ("r1", "r2"):
        (left,) = json.loads(kept.command("ls", run, "--json").out)["left_out"]
        assert (left["name"], left["reason"].endswith(WORDS)) == ("customers", True)
    restored = kept.command("restore", "--into", "back", "--json")
    assert restored.code == 0, restored.text
    result = json.loads(restored.out)
    assert [table["table"] for table in result["tables"]] == ["orders"]
    assert any(lost["name"] == "customers" and WORDS in lost["reason"] for lost in result["not_restored"])
    assert kept.command("report").code == 0
    assert WORDS in kept.read("_bqdump/runs/r2/report.html").decode()
    assert kept.command("diff", "r1", "r2").code == 0
    again = kept.command("erase", "customers", *REASON, "--yes")
    assert (again.code, "no kept run has it any more; it was erased on 2" in again.text) == (5, True), again.text
    assert WORDS in again.text


@pytest.mark.parametrize("command", [("restore", "--into", "back"), ("drill",)], ids=["restore", "drill"])
def test_what_names_only_an_erased_table_is_refused_and_proves_nothing(kept: Stage, command: tuple[str, ...]) -> None:
    assert kept.command("erase", "customers", *REASON, "--yes").code == 0
    refused = kept.command(*command, "--include", "cust*")
    assert (refused.code, "nothing that it names can be restored (customers: " in refused.text) == (2, True)
    assert WORDS in refused.text
    assert json.loads(kept.command("status", "--json").out)["restorable"]["proven"] is None
    assert [dataset.dataset_id for dataset in kept.big.list_datasets()] == [kept.dataset]


def test_the_next_run_exports_it_again_and_others_are_reused(kept: Stage) -> None:
    settings: dict[str, Any] = {"path": KEEP, "incremental": True}
    kept.run_tasks(1, execution="r3", **settings)
    erased = bqdump.erase("customers", reason="why", yes=True, bucket=kept.bucket, project=kept.project)
    assert [export.runs for export in erased.exports] == [("r1", "r2", "r3")]
    kept.run_tasks(1, execution="r4", **settings)
    tables = {entry.table: entry for entry in kept.manifest().tables}
    assert (tables["customers"].carried, bool(tables["orders"].carried)) == (None, True)
    assert kept.command("verify", "--read").code == 0


def test_the_printed_command_finishes_an_interrupted_erasure_without_a_reason(
    kept: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("bqdump.retain.erase.rewrite", killed)
        until = ("--before", "0s")
        with pytest.raises(KeyboardInterrupt):
            bqdump.erase("customers", reason="why", before="0s", yes=True, bucket=kept.bucket, project=kept.project)
        assert kept.command("erase", "customers", *until).code == 2
    refused = kept.run("--run-id", "r3", "--path", KEEP)
    command = refused.text.split("Finish it: bqdump ")[1].split("--yes")[0].split()
    assert command[:3] == ["erase", f"{kept.manifest().dataset}.customers", "--before"]
    done = kept.command(*command, "--yes")
    assert (done.code, "r1, r2" in done.out) == (0, True), done.text
    assert [name for name in kept.objects() if "customers" in name] == []
    assert kept.run("--run-id", "r4", "--path", KEEP).code == 0
