"""A dataset that left its set nights ago still has exports there: every command on the set takes them into account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.cli.main import start
from bqdump.core.documents.layout import Layout
from bqdump.core.errors import DatasetsFailedError, NotFoundError, UsageError
from bqdump.core.exit_codes import DIFFERENCE, DONE, TABLES_FAILED
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.sets.member import one_dataset
from bqdump.core.sets.restoring import Choice
from bqdump.repository.exports import names_in_set
from entries import entry
from logged import logged
from opened import everywhere, open_given
from sets.restores import RestoreWorld
from sets.world import SetWorld

Answer = TypeVar("Answer")
ALLOWED = (Risk.REMOVED_TABLES,)
RUNS = {"first", "second", "third", "fourth"}


def asked(question: Awaitable[Answer]) -> Answer:
    async def main() -> Answer:
        return await question

    return asyncio.run(main())


@pytest.fixture
def world() -> SetWorld:
    """Dataset b was dropped after the first of four nights."""
    world = SetWorld("a", "b", "c")
    world.run("first", path="{table}/{run}/{table}_*.csv")
    del world.warehouse.datasets["p", "b"]
    for run in ("second", "third", "fourth"):
        world.run(run, path="{table}/{run}/{table}_*.csv")
    assert not world.set_manifest().removed
    return world


def test_diff_of_an_older_run_has_its_tables(world: SetWorld) -> None:
    changes = asked(verbs.diff(everywhere(world.store), world.settings(), "first"))
    assert {(change.table, change.what) for change in changes} == {("b.orders", "removed"), ("b.items", "removed")}


def test_a_tag_of_an_older_run_is_set_in_it_too(world: SetWorld) -> None:
    asked(verbs.tag(everywhere(world.store), world.settings(), "first", ["keep"]))
    lines = asked(verbs.runs(everywhere(world.store), world.settings()))
    tagged = {line.dataset for line in lines if line.tags}
    assert tagged == {"*", "a", "b", "c"}


def test_prune_holds_for_it(world: SetWorld) -> None:
    world.warehouse.datasets["p", "b"] = world.warehouse.datasets["p", "a"]
    world.run("fifth", path="{table}/{run}/{table}_*.csv")
    for run in ("sixth", "seventh", "eighth"):
        world.run(run, path="{table}/{run}/{table}_*.csv", exclude_datasets=("b",), allow=ALLOWED)
    pruned = asked(verbs.prune(everywhere(world.store), world.settings(keep_last=1), delete=True, now=True))
    assert {one.run for one in pruned.removed if one.dataset == "p.b"} == {"first"}
    assert {one.run for one in pruned.kept if one.dataset == "p.b"} == {"fifth"}
    assert "b" in asked(names_in_set(world.store, world.settings()))
    left = asked(verbs.status(everywhere(world.store), world.settings())).left
    assert [(one.dataset, one.run) for one in left] == [("b", "fifth")]


def test_status_names_it_with_its_last_export(
    world: SetWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(verbs.status(everywhere(world.store), world.settings()))
    assert [(one.dataset, one.run) for one in found.left] == [("b", "first")]
    assert {one.dataset for one in found.datasets} == {"a", "c"}
    assert asked(verbs.status(everywhere(world.store), world.settings(), "first")).left == ()
    monkeypatch.setattr("bqdump.cli.commands.status._look", lambda *_, **__: found)
    assert start(["status", "--bucket", "memory"]) == DONE
    assert "b: not in this set any more; its last export (run first, as of" in capsys.readouterr().out


def test_verify_takes_its_last_export(world: SetWorld) -> None:
    found = asked(verbs.verify(everywhere(world.store), world.settings()))
    assert [(one.dataset, one.run, one.problem) for one in found.datasets] == [
        ("a", "fourth", ""), ("c", "fourth", ""), ("b", "first", ""),
    ]  # fmt: skip
    assert "left the set" in found.datasets[-1].note
    world.store.put_now("x/b/orders/first/orders_000000000000.csv", b"changed")
    assert [one.table for one in asked(verbs.verify(everywhere(world.store), world.settings())).findings] == [
        "b.orders"
    ]
    of_first = asked(verbs.verify(everywhere(world.store), world.settings(), "first"))
    assert [(one.dataset, one.findings) for one in of_first.datasets] == [("a", 0), ("b", 1), ("c", 0)]


def test_its_damaged_entry_hides_no_other_dataset(world: SetWorld) -> None:
    name = entry(world.store, Layout("x/b/"), "first")
    world.store.put_now(name, b"garbage")
    shown = {
        one.dataset: (one.state, one.problem)
        for one in asked(verbs.status(everywhere(world.store), world.settings())).datasets
    }
    assert (shown["a"], shown["c"]) == (("published", ""), ("published", ""))
    assert shown["b"][0] == "unreadable"
    assert name in shown["b"][1]
    found = {
        one.dataset: one.problem for one in asked(verbs.verify(everywhere(world.store), world.settings())).datasets
    }
    assert (found["a"], found["c"]) == ("", "")
    assert name in found["b"]


def test_a_damaged_plan_of_an_older_run_hides_nothing_else(world: SetWorld, caplog: pytest.LogCaptureFixture) -> None:
    plan = "x/_bqdump/projects/second/plan.json"
    for run in ("first", "second"):
        world.store.put_now(f"x/_bqdump/projects/{run}/plan.json", b"garbage")
    everything = everywhere(world.store)
    assert [one.dataset for one in asked(verbs.status(everything, world.settings())).datasets] == ["a", "c"]
    assert [one.dataset for one in asked(verbs.verify(everything, world.settings())).datasets] == ["a", "c"]
    assert {line.run for line in asked(verbs.runs(everything, world.settings())) if line.dataset == "a"} == RUNS
    pruned = asked(verbs.prune(everything, world.settings(keep_last=1), delete=True, now=True))
    assert {one.run for one in pruned.removed} == RUNS - {"fourth"}
    assert not world.store.peek("x/_bqdump/projects/third/plan.json")
    assert world.store.peek(plan)
    assert {vars(line)["run"] for line in logged(caplog, LogEvent.SET_PLAN_UNREADABLE)} == {"first", "second"}


def test_status_has_the_command_that_resumes_a_run_until_it_is_published(world: SetWorld) -> None:
    everything = everywhere(world.store)
    assert asked(verbs.status(everything, world.settings())).resume == ""
    world.broken.add("orders")
    with pytest.raises(DatasetsFailedError):
        world.run("fifth", path="{table}/{run}/{table}_*.csv")
    found = asked(verbs.status(everything, world.settings()))
    assert found.resume == (
        "bqdump run --run-id fifth --project p --dataset '*' --bucket memory --prefix x "
        "--path '{table}/{run}/{table}_*.csv'"
    )


def test_a_dataset_that_joined_later_does_not_fail_an_older_run(world: SetWorld) -> None:
    world.put("d", "orders")
    world.run("fifth", path="{table}/{run}/{table}_*.csv")
    found = asked(verbs.verify(everywhere(world.store), world.settings(), "fourth"))
    assert [(one.dataset, one.problem, one.note) for one in found.datasets] == [("a", "", ""), ("c", "", "")]


def test_a_run_without_its_plan_is_verified_in_each_dataset_that_has_it(world: SetWorld) -> None:
    stored = world.store.peek("x/_bqdump/projects/third/plan.json")
    assert stored
    asyncio.run(world.store.delete([(stored[1].name, stored[1].generation)]))
    found = asked(verbs.verify(everywhere(world.store), world.settings(), "third"))
    assert [one.dataset for one in found.datasets] == ["a", "c"]
    with pytest.raises(NotFoundError, match="run nosuch"):
        asked(verbs.verify(everywhere(world.store), world.settings(), "nosuch"))


def test_the_export_of_a_dataset_that_was_never_in_the_set_is_none_of_it(world: SetWorld) -> None:
    """It was exported below the prefix, with run ids of the set by chance."""
    before = asked(names_in_set(world.store, world.settings()))
    for name in world.store.names_now():
        found = world.store.peek(name)
        if found and name.startswith("x/a/"):
            world.store.put_now(name.replace("x/a/", "x/z/", 1), found[0])
    assert asked(names_in_set(world.store, world.settings())) == before == ["a", "b", "c"]


def code_of(world: SetWorld, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `bqdump verify` on this set."""
    open_given(monkeypatch, lambda _: world.store)
    return start(["verify", "--bucket", "memory", "--prefix", "x", *arguments])


def broken(world: SetWorld) -> None:
    world.put("c", "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        world.run("fifth", path="{table}/{run}/{table}_*.csv")


def test_verify_ends_with_success_if_a_dataset_failed_and_its_last_export_is_intact(
    world: SetWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(world)
    assert code_of(world, monkeypatch) == DONE
    assert "not published by run fifth" in capsys.readouterr().out
    assert code_of(world, monkeypatch, "--quiet") == DONE
    assert capsys.readouterr().out == ""
    world.store.put_now("x/c/orders/fourth/orders_000000000000.csv", b"changed")
    assert code_of(world, monkeypatch) == DIFFERENCE


def test_verify_tells_a_dataset_without_any_export_from_one_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SetWorld("a", "c")
    broken(world)
    assert code_of(world, monkeypatch) == TABLES_FAILED
    assert code_of(world, monkeypatch, "fifth") == TABLES_FAILED
    found = world.store.peek("x/a/_bqdump/runs/fifth/manifest.json")
    assert found
    asyncio.run(world.store.delete([(found[1].name, found[1].generation)]))
    assert code_of(world, monkeypatch) == DIFFERENCE
    assert code_of(world, monkeypatch, "fifth") == DIFFERENCE


def test_the_set_has_the_numbers_of_the_last_export_of_a_dataset_that_failed(world: SetWorld) -> None:
    before = {one.dataset: one for one in world.set_manifest().datasets}["c"]
    broken(world)
    after = {one.dataset: one for one in world.set_manifest().datasets}["c"]
    assert (after.state, after.run) == ("failed", "fourth")
    assert after == replace(before, state="failed", problem=after.problem)
    assert (after.tables, after.rows, after.files) == (2, 2, 2)


def test_status_counts_the_tables_that_a_run_exports_and_those_that_it_does_not() -> None:
    world = SetWorld("a", "b")
    for run in ("first", "second", "third"):
        world.run(run, incremental=True)
    found = asked(verbs.status(everywhere(world.store), world.settings()))
    assert (found.state, found.tables, found.done, found.reused) == ("published", 0, 0, 4)
    assert [(one.tables, one.done, one.reused) for one in found.datasets] == [(0, 0, 2)] * 2
    of_one = asked(verbs.status(everywhere(world.store), one_dataset(world.settings(), "a")))
    assert (of_one.tables, of_one.reused) == (0, 2)


@pytest.mark.parametrize("dataset", ["ops_us", "gone"])
def test_a_dropped_dataset_is_restored_from_its_last_export_if_it_is_named(dataset: str) -> None:
    world = RestoreWorld("gone", "ops_us", "sales")
    for name in ("gone", "ops_us"):
        del world.warehouse.datasets["p", name]
        for run in ("second", "third"):
            world.run(f"{run}-{name}", allow=ALLOWED)
    with pytest.raises(UsageError, match="'nosuch': matches no dataset of the set"):
        world.restore(choice=Choice(("nosuch",)))
    done = world.restore(choice=Choice((dataset,)))
    assert [(one.dataset, one.state, one.tables) for one in done.datasets] == [(dataset, "restored", 2)]
    assert world.rows(f"{dataset}_copy", "orders") == [f"{dataset}.orders"]
    assert [one.dataset for one in world.restore(execution="all").datasets] == ["sales"]
