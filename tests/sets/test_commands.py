"""Commands show a set and each of its datasets; where one export is expected, they name the command to use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.cli.main import start
from bqdump.core.errors import DatasetsFailedError, NotFoundError, UsageError
from bqdump.core.exit_codes import TABLES_FAILED
from bqdump.core.sets.member import one_dataset
from bqdump.repository.notes import read_tags
from bqdump.sets.plan import plan_set
from opened import everywhere, open_given
from sets.world import SetWorld

Result = TypeVar("Result")


def asked(question: Awaitable[Result]) -> Result:
    async def main() -> Result:
        return await question

    return asyncio.run(main())


@pytest.fixture
def world() -> SetWorld:
    world = SetWorld()
    world.put("sales", "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        world.run("first", 2)
    return world


def test_status_shows_each_dataset(world: SetWorld) -> None:
    found = asked(verbs.status(everywhere(world.store), world.settings()))
    assert (found.run, found.state, found.tables, found.done) == ("first", "partial", 7, 6)
    assert {one.dataset: one.state for one in found.datasets} == {
        "ops_eu": "published", "ops_us": "published", "sales": "failed",
    }  # fmt: skip
    assert "bad" in found.datasets[-1].problem


def test_status_of_a_dataset_that_was_not_planned_counts_the_tables_that_the_patterns_choose() -> None:
    world = SetWorld("ops", "sales")
    world.run("first")
    with pytest.raises(DatasetsFailedError, match="removed-tables"):
        world.run("second", include=("orders",))
    found = asked(verbs.status(everywhere(world.store), world.settings()))
    assert [(one.state, one.done, one.tables) for one in found.datasets] == [("failed", 0, 1)] * 2
    assert found.tables == 2


def test_status_names_a_dataset_whose_documents_are_damaged_and_shows_the_others(world: SetWorld) -> None:
    world.store.put_now("x/ops_eu/_bqdump/runs/first/manifest.json", b"{")
    first, second, _ = asked(verbs.status(everywhere(world.store), world.settings())).datasets
    assert (first.state, second.state) == ("unreadable", "published")
    assert first.problem.startswith("cannot read x/ops_eu/_bqdump/runs/first/manifest.json: it is not a valid Manifest")


def test_problems_name_settings_as_flags_and_the_error_in_the_words_of_its_front_end() -> None:
    world = SetWorld("ops", "sales")
    world.put("ops", "log")
    world.run("first")
    with pytest.raises(DatasetsFailedError, match="allow='removed-tables'"):
        world.run("second", exclude=("log",))
    status = asked(verbs.status(everywhere(world.store), world.settings()))
    verified = asked(verbs.verify(everywhere(world.store), world.settings()))
    problems = [of.datasets[0].problem for of in (world.set_manifest(), status, planned(world, exclude=("log",)))]
    problems.append(verified.datasets[0].note)
    assert all("--allow removed-tables" in problem for problem in problems)


@pytest.mark.parametrize("dataset", ["*", ""])
def test_a_set_is_found_whatever_the_settings_name(world: SetWorld, dataset: str) -> None:
    settings = world.settings(dataset=dataset)
    assert len(asked(verbs.status(everywhere(world.store), settings)).datasets) == 3
    lines = asked(verbs.runs(everywhere(world.store), settings))
    assert {line.dataset for line in lines} == {
        "*",
        "ops_eu",
        "ops_us",
        "sales",
    }


@pytest.mark.parametrize("dataset", ["*", "", "ops_eu"])
def test_one_dataset_is_found_below_its_folder(world: SetWorld, dataset: str) -> None:
    settings = world.settings(dataset=dataset, prefix="x/ops_eu/")
    assert asked(verbs.status(everywhere(world.store), settings)).dataset == "p.ops_eu"
    assert [line.run for line in asked(verbs.runs(everywhere(world.store), settings))] == ["first"]
    assert asked(verbs.verify(everywhere(world.store), settings)).tables == 2


def test_verify_names_differences_by_dataset_and_what_was_not_published(world: SetWorld) -> None:
    info = world.store.put_now("x/ops_eu/items/items_000000000000.csv", b"changed")
    found = asked(verbs.verify(everywhere(world.store), world.settings()))
    assert [(one.table, one.file) for one in found.findings] == [("ops_eu.items", info.name)]
    assert [one.problem for one in found.datasets] == ["", "", ""]
    notes = {one.dataset: one.note for one in found.datasets}
    assert (notes["ops_eu"], notes["ops_us"]) == ("", "")
    assert "bad" in notes["sales"]


def test_a_dataset_whose_manifest_is_gone_is_a_problem_without_a_hint_for_python(world: SetWorld) -> None:
    found = world.store.peek("x/ops_eu/_bqdump/runs/first/manifest.json")
    assert found
    asyncio.run(world.store.delete([(found[1].name, found[1].generation)]))
    verified = asked(verbs.verify(everywhere(world.store), world.settings()))
    assert verified.datasets[0].problem == "cannot read x/ops_eu/_bqdump/runs/first/manifest.json: it does not exist"


def test_verify_of_another_run_of_a_set_is_as_of_its_own_time(world: SetWorld) -> None:
    first = asked(verbs.verify(everywhere(world.store), world.settings())).snapshot_time
    world.broken.clear()
    world.run("second")
    assert asked(verbs.verify(everywhere(world.store), world.settings(), "first")).snapshot_time == first
    with pytest.raises(NotFoundError, match="cannot find run third in "):
        asked(verbs.verify(everywhere(world.store), world.settings(), "third"))


def test_the_report_links_to_each_dataset(world: SetWorld) -> None:
    run, page = asked(verbs.report(everywhere(world.store), world.settings()))
    stored = world.store.peek("x/_bqdump/projects/first/report.html")
    assert stored
    assert b'href="../../../ops_eu/_bqdump/runs/first/report.html"' in stored[0]
    assert (run, b"x/ops_eu/_bqdump/runs/first/report.html" in page) == ("first", True)


def test_commands_for_one_export_name_the_datasets_and_the_setting(world: SetWorld) -> None:
    for run in ("", "first", "other"):
        with pytest.raises(UsageError, match=r"3 datasets \(ops_eu, ops_us, sales\).* prefix='x/ops_eu'"):
            asked(verbs.manifest(world.store, world.settings(), run))
    with pytest.raises(NotFoundError, match="nothing has been published there yet"):
        asked(verbs.manifest(world.store, world.settings(prefix="elsewhere/")))


def test_prune_holds_for_each_dataset(world: SetWorld) -> None:
    world.broken.clear()
    world.run("second")
    found = asked(verbs.prune(everywhere(world.store), world.settings(keep_last=1), delete=True))
    kept = {(one.dataset, one.run) for one in found.kept}
    assert kept >= {("p.ops_eu", "second"), ("p.ops_us", "second"), ("p.sales", "second")}
    assert {(one.dataset, one.run) for one in found.removed} == {("p.ops_eu", "first"), ("p.ops_us", "first")}


def planned(world: SetWorld, **settings: Any) -> Any:
    return asked(plan_set(world.task("r", **settings)))


def test_plan_shows_each_dataset_and_writes_nothing() -> None:
    world = SetWorld()
    found = planned(world)
    assert [(one.dataset, one.tables, one.problem) for one in found.datasets] == [
        ("ops_eu", 2, ""), ("ops_us", 2, ""), ("sales", 2, ""),
    ]  # fmt: skip
    assert found.totals["tables"] == len(found.tables) == 6
    assert "sales.orders" in {table.table for table in found.tables}
    assert world.store.names_now() == []


def test_plan_names_what_a_run_would_not_export() -> None:
    world = SetWorld()
    world.put("sales", "odd")
    world.warehouse.put("p", "sales", "strange", [], kind="STRANGE")
    found = planned(world)
    assert {one.dataset for one in found.datasets if one.problem} == {"sales"}


def test_diff_compares_dataset_by_dataset(world: SetWorld) -> None:
    world.broken.clear()
    world.put("ops_eu", "new")
    world.run("second")
    changes = asked(verbs.diff(everywhere(world.store), world.settings(), "first"))
    found = {change.table: (change.what, change.why) for change in changes}
    only = "only run second has exported dataset sales"
    assert found == {
        "ops_eu.new": ("added", ""),
        **{f"sales.{table}": ("added", only) for table in ("bad", "items", "orders")},
    }
    assert asked(verbs.diff(everywhere(world.store), world.settings(), "second", "second")) == []
    with pytest.raises(NotFoundError, match="find run third in "):
        asked(verbs.diff(everywhere(world.store), world.settings(), "first", "third"))


@pytest.mark.parametrize(("run", "since"), [("other", ""), ("", "first")])
def test_the_report_of_a_set_is_that_of_the_published_run(world: SetWorld, run: str, since: str) -> None:
    with pytest.raises(UsageError, match=r"shows the published run, first.*prefix='x/ops_eu'"):
        asked(verbs.report(everywhere(world.store), world.settings(), run, since))
    assert asked(verbs.report(everywhere(world.store), world.settings(), "first"))[0] == "first"


def test_a_dataset_without_the_run_gets_no_tag(world: SetWorld) -> None:
    sales = one_dataset(world.settings(), "sales")
    for name in [name for name in world.store.names_now() if "/sales/_bqdump/runs/first/" in name]:
        found = world.store.peek(name)
        assert found
        asked(world.store.delete([(name, found[1].generation)]))
    assert asked(verbs.tag(everywhere(world.store), world.settings(), "first", ["keep"])) == ("keep",)
    assert asked(read_tags(world.store, sales.layout)) == {}
    assert asked(read_tags(world.store, one_dataset(world.settings(), "ops_eu").layout)) == {"first": ("keep",)}


def test_a_tag_is_of_every_dataset_that_has_the_run(world: SetWorld) -> None:
    assert asked(verbs.tag(everywhere(world.store), world.settings(), "first", ["keep"])) == ("keep",)
    lines = asked(verbs.runs(everywhere(world.store), world.settings(), storage=True))
    assert {line.dataset: line.tags for line in lines} == dict.fromkeys(["*", "ops_eu", "ops_us", "sales"], ("keep",))
    assert lines[0].alone == sum(line.alone or 0 for line in lines[1:]) > 0
    asked(verbs.tag(everywhere(world.store), one_dataset(world.settings(), "sales"), "first", remove=["keep"]))
    assert asked(verbs.runs(everywhere(world.store), world.settings()))[0].tags == ()
    assert asked(verbs.tag(everywhere(world.store), world.settings(), "first", remove=["keep"])) == ()
    with pytest.raises(UsageError, match="does not have the tag keep"):
        asked(verbs.tag(everywhere(world.store), world.settings(), "first", remove=["keep"]))
    with pytest.raises(NotFoundError, match="cannot tag run other: there is none"):
        asked(verbs.tag(everywhere(world.store), world.settings(), "other", ["keep"]))


def test_watching_a_set_follows_all_of_its_datasets(
    world: SetWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = asked(verbs.status(everywhere(world.store), world.settings()))
    open_ = replace(ended.datasets[0], state="running", done=1)
    looks = [replace(ended, state="running", done=5, datasets=(open_, *ended.datasets[1:])), ended]
    monkeypatch.setattr("bqdump.cli.commands.status.PAUSE_SECONDS", 0)
    monkeypatch.setattr("bqdump.cli.commands.status._look", lambda *_, drills: looks.pop(0))
    monkeypatch.setenv("SOURCE_DATASET", "*")
    assert start(["status", "--watch", "--bucket", "memory"]) == TABLES_FAILED
    shown = capsys.readouterr().out
    assert "run first: 2 of 3 datasets ended, 5 of 7 tables done" in shown
    assert "run first: partial" in shown
    assert looks == []


def test_watching_one_dataset_by_its_folder_follows_that_one(
    world: SetWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the settings name."""
    open_given(monkeypatch, lambda _: world.store)
    for dataset in ("*", "ops_eu"):
        monkeypatch.setenv("SOURCE_DATASET", dataset)
        assert start(["status", "--watch", "--bucket", "memory", "--prefix", "x/ops_eu"]) == 0
        assert "run first: published, p.ops_eu" in capsys.readouterr().out


def test_what_grew_in_a_set_has_the_tables_of_every_dataset() -> None:
    world = SetWorld()
    world.run("first")
    world.warehouse.put("p", "sales", "orders", ["sales.orders", "another row"])
    world.put("ops_eu", "extra")
    world.run("second")
    found = asyncio.run(verbs.growth(everywhere(world.store), world.settings()))
    assert (found.run, found.since, found.of) == ("second", "first", 7)
    assert {(one.table, one.rows, one.new) for one in found.tables} == {
        ("sales.orders", 1, False), ("ops_eu.extra", 1, True),
    }  # fmt: skip
