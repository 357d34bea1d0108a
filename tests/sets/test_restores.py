"""A set comes back with one command: each dataset into one of its own, and nothing where one of them is refused."""

from __future__ import annotations

import asyncio

import pytest

from bqdump import verbs
from bqdump.cli.commands.restore import exit_code
from bqdump.cli.main import start
from bqdump.core.errors import DatasetsFailedError, DocumentError, NotFoundError, UsageError, VerificationError
from bqdump.core.exit_codes import DONE, TABLES_FAILED
from bqdump.core.restore.plan import Options
from bqdump.core.sets.restoring import Choice
from opened import open_given
from sets.restores import COPIES, RestoreWorld

DATASETS = ("ops_eu", "ops_us", "sales")


@pytest.fixture
def world() -> RestoreWorld:
    return RestoreWorld()


def test_every_dataset_of_a_set_is_restored_into_one_of_its_own(world: RestoreWorld) -> None:
    done = world.restore()
    assert (done.state, done.run, done.rows, len(done.tables)) == ("restored", "r1", 6, 6)
    assert [(one.dataset, one.into, one.tables, one.state) for one in done.datasets] == [
        (name, f"p.{name}_copy", 2, "restored") for name in DATASETS
    ]
    assert {table.table for table in done.tables} >= {"sales.orders", "ops_eu.items"}
    for name in DATASETS:
        assert world.rows(f"{name}_copy", "orders") == [f"{name}.orders"]


def test_the_same_command_again_changes_nothing_and_reports_the_same(world: RestoreWorld) -> None:
    first, jobs = world.restore(), len(world.big.started)
    assert world.restore(execution="again") == first
    assert len(world.big.started) == jobs


def test_a_set_that_is_restored_once_more_names_a_table_that_was_emptied_since(world: RestoreWorld) -> None:
    world.restore()
    world.big.put("p", "ops_us_copy", "items", [])
    again = world.restore(execution="again")
    assert [(one.name, one.reason) for one in again.failed] == [("ops_us.items", "changed")]
    assert {one.dataset: one.state for one in again.datasets} == {
        "ops_eu": "restored", "ops_us": "incomplete", "sales": "restored",
    }  # fmt: skip


def test_the_command_for_a_changed_table_names_its_dataset_and_replaces_no_other(
    world: RestoreWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.restore()
    for name in ("ops_us_copy", "sales_copy"):
        world.big.put("p", name, "items", [])
    world.restore(execution="again")
    printed = [message for record in caplog.records if "into='p.ops_us_copy'" in (message := record.getMessage())]
    assert "into='p.ops_us_copy', datasets='ops_us', include='items', replace=True" in printed[0]
    options = Options(project="p", dataset="ops_us_copy", include=("items",), replace=True)
    world.restore(options, "pasted", Choice(("ops_us",)), run="r1")
    assert (world.rows("ops_us_copy", "items"), world.rows("sales_copy", "items")) == (["ops_us.items"], [])


def test_views_name_the_restored_datasets_whatever_names_whom(world: RestoreWorld) -> None:
    world.define("ops_eu", a_last="SELECT * FROM sales.middle", first="SELECT * FROM `p.ops_eu.orders`")
    world.define("sales", middle="SELECT * FROM p.ops_eu.first JOIN ops_us.items")
    done = world.restore()
    assert (done.state, done.failed) == ("restored", ())
    assert world.query("ops_eu_copy", "a_last") == "SELECT * FROM sales_copy.middle"
    assert world.query("sales_copy", "middle") == "SELECT * FROM p.ops_eu_copy.first JOIN ops_us_copy.items"


def test_names_of_datasets_that_are_not_restored_stay(world: RestoreWorld) -> None:
    world.define("sales", beside="SELECT * FROM p.ops_eu.orders")
    done = world.restore(choice=Choice(exclude=("ops_eu",)))
    assert [one.dataset for one in done.datasets] == ["ops_us", "sales"]
    assert world.query("sales_copy", "beside") == "SELECT * FROM p.ops_eu.orders"
    kept = world.restore(Options(project="p", dataset="k_{dataset}", keep_references=True), "another")
    assert kept.state == "restored"
    assert world.query("k_sales", "beside") == "SELECT * FROM p.ops_eu.orders"


def test_a_target_that_is_not_empty_is_found_before_the_first_dataset_is_restored(world: RestoreWorld) -> None:
    world.big.put("p", "sales_copy", "mine", ["x"])
    before = world.store.names_now()
    with pytest.raises(UsageError, match=r"1 of 3 datasets cannot .*\(sales: p\.sales_copy: the dataset is not empty"):
        world.restore()
    assert (world.store.names_now(), world.rows("ops_eu_copy", "orders")) == (before, None)
    assert world.restore(choice=Choice(exclude=("sales",))).state == "restored"


def test_missing_files_and_runs_are_found_before_anything_is_restored(world: RestoreWorld) -> None:
    world.store.put_now("x/sales/orders/orders_000000000000.csv", b"changed")
    before = world.store.names_now()
    with pytest.raises(VerificationError, match=r"1 of 3 datasets.*sales: run r1: its files are not as exported"):
        world.restore()
    with pytest.raises(VerificationError, match="exclude_datasets='sales'"):
        world.plan()
    with pytest.raises(NotFoundError, match="run r0: the set has none"):
        world.restore(run="r0")
    assert world.store.names_now() == before


def test_one_target_for_several_datasets_is_refused_in_one_sentence(world: RestoreWorld) -> None:
    with pytest.raises(UsageError, match=r"into: 'copy' is one dataset, .* has 3 \(ops_eu, ops_us, sales\)"):
        world.restore(Options(project="p", dataset="copy"))
    done = world.restore(Options(project="p", dataset="copy"), choice=Choice(("sales",)))
    assert [one.into for one in done.datasets] == ["p.copy"]
    with pytest.raises(UsageError, match=r"^p\.copy: the dataset is not empty"):
        world.restore(Options(project="p", dataset="copy"), "another", Choice(("ops_eu",)))


def test_an_exported_dataset_is_not_replaced_without_a_confirmation() -> None:
    world = RestoreWorld("sales", "sales_copy")
    replacing = Options(project="p", dataset="{dataset}_copy", replace=True)
    with pytest.raises(UsageError, match=r"sales: p\.sales_copy: it is another dataset of the set"):
        world.restore(replacing)
    assert world.restore(replacing, yes=True).state == "restored"
    assert world.rows("sales_copy", "orders") == ["sales.orders"]


def test_a_dataset_that_fails_holds_back_no_other_and_is_completed_by_the_same_command(world: RestoreWorld) -> None:
    world.big.refused = frozenset({"ops_us_copy"})
    done = world.restore()
    assert (done.state, {one.dataset: one.state for one in done.datasets}) == (
        "incomplete", {"ops_eu": "restored", "ops_us": "incomplete", "sales": "restored"},
    )  # fmt: skip
    assert [(one.name, one.kind, one.reason) for one in done.failed] == [("ops_us", "DATASET", "Denied")]
    world.big.refused = frozenset()
    assert world.restore(execution="again").state == "restored"


def test_a_run_of_the_set_and_what_is_published(world: RestoreWorld) -> None:
    world.put("sales", "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        world.run("r2")
    done = world.restore()
    assert {one.dataset: one.run for one in done.datasets} == {"ops_eu": "r2", "ops_us": "r2", "sales": "r1"}
    assert [one.problem for one in done.datasets] == ["", "", "it has no export of run r2"]
    with pytest.raises(NotFoundError, match=r"1 of 3 datasets .*sales: the manifest of run r2: there is none"):
        world.restore(Options(project="p", dataset="of_{dataset}"), "another", run="r2")


def test_a_dataset_that_a_later_run_has_replaced_is_restored_as_it_is_now(world: RestoreWorld) -> None:
    """That run was killed before it named all datasets in project.json."""
    project = world.store.peek("x/_bqdump/project.json")
    world.warehouse.put("p", "sales", "orders", ["newer"])
    world.run("r2")
    assert project
    world.store.put_now("x/_bqdump/project.json", project[0])
    done = world.restore()
    assert (done.run, {one.run for one in done.datasets}) == ("r1", {"r2"})
    assert [one.problem for one in done.datasets] == ["it has no export of run r1"] * 3
    assert world.rows("sales_copy", "orders") == ["newer"]


def test_a_dataset_without_any_export_is_named_with_the_setting_that_leaves_it_out() -> None:
    world = RestoreWorld()
    world.put("sick", "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        world.run("r2")
    with pytest.raises(NotFoundError, match=r"an export of sick: .* exclude_datasets='sick'"):
        world.restore()
    assert world.restore(choice=Choice(exclude=("sick",))).state == "restored"


def test_a_damaged_dataset_is_left_out_by_name(world: RestoreWorld) -> None:
    world.store.put_now("x/sales/_bqdump/runs/r1/manifest.json", b"{}")
    with pytest.raises(DocumentError, match=r"1 of 3 datasets .*sales: x/sales/_bqdump/runs/r1/manifest\.json"):
        world.plan()
    with pytest.raises(DocumentError, match="leave datasets out: exclude_datasets='sales'"):
        world.plan(Options(project="p", dataset="{dataset}_copy", include=("orders",)))
    assert len(world.plan(choice=Choice(exclude=("sales",))).datasets) == 2


def test_a_table_that_fails_makes_its_dataset_incomplete_and_the_same_command_resumes(world: RestoreWorld) -> None:
    world.define("ops_us", over="SELECT * FROM sales.orders")
    world.broken.add("orders")
    done = world.restore()
    assert {one.dataset: (one.state, one.tables, one.failed) for one in done.datasets} == {
        "ops_eu": ("incomplete", 1, 1), "ops_us": ("incomplete", 1, 1), "sales": ("incomplete", 1, 1),
    }  # fmt: skip
    assert {(one.name, one.reason) for one in done.failed} >= {
        ("sales.orders", "invalid"),
        ("ops_eu.orders", "invalid"),
    }
    assert exit_code(done) == TABLES_FAILED
    world.broken.clear()
    again = world.restore(execution="again")
    assert (again.state, again.rows, exit_code(again)) == ("restored", 6, DONE)


def test_patterns_concern_the_datasets_that_have_such_objects(world: RestoreWorld) -> None:
    world.put("sales", "extra")
    world.run("r2")
    done = world.restore(Options(project="p", dataset="{dataset}_copy", include=("extra", "ite*"), exclude=("items",)))
    assert [(one.dataset, one.tables) for one in done.datasets] == [("ops_eu", 0), ("ops_us", 0), ("sales", 1)]
    only = Options(project="p", dataset="only_{dataset}", include=("extra",))
    done = world.plan(only)
    assert ([one.dataset for one in done.datasets], [one.name for one in done.not_restored]) == (
        ["sales"], ["ops_eu", "ops_us"],
    )  # fmt: skip
    with pytest.raises(UsageError, match="'ordres': matches no object of any dataset; did you mean 'orders'"):
        world.plan(Options(project="p", dataset="{dataset}_copy", include=("ordres",)))
    with pytest.raises(UsageError, match="chosen with datasets='sales', and its objects with include='extra'"):
        world.plan(Options(project="p", dataset="only_{dataset}", include=("sales.extra",)))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(("sale",)), "datasets 'sale': matches no dataset of the set; did you mean 'sales'"),
        (Choice(exclude=("x*",)), r"exclude_datasets 'x\*': matches no dataset of the set"),
        (Choice(exclude=("*",)), "no dataset of the set is left"),
    ],
)
def test_a_choice_that_leaves_nothing_or_matches_nothing_is_refused(
    world: RestoreWorld, choice: Choice, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        world.restore(choice=choice)


def test_the_plan_has_every_dataset_and_writes_nothing(world: RestoreWorld) -> None:
    before = world.store.names_now()
    shown = world.plan()
    assert (shown.state, len(shown.tables), [one.tables for one in shown.datasets]) == ("planned", 6, [2, 2, 2])
    assert world.store.names_now() == before


def test_the_export_of_one_dataset_has_its_name_for_the_placeholder_too(world: RestoreWorld) -> None:
    task = world.restore_task(COPIES)
    settings = world.settings(prefix="x/sales/")
    done = asyncio.run(verbs.restore(task._replace(settings=settings)))
    assert (done.dataset, done.datasets) == ("sales_copy", ())
    with pytest.raises(UsageError, match="only datasets of a set can be chosen"):
        asyncio.run(verbs.restore(task._replace(settings=settings), Choice(("sales",))))


def test_the_command_prints_the_whole_and_each_dataset_and_what_is_incomplete(
    world: RestoreWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_given(monkeypatch, lambda _: world.store, world.big)
    command = ["restore", "--bucket=memory", "--prefix=x", "--into=p-1234.{dataset}_copy", "--log-format=text"]
    assert start([*command, "--plan"]) == DONE
    shown = capsys.readouterr().out
    assert "3 datasets with 6 tables, 6 rows, 79 B of run r1" in shown
    assert any(line.startswith("sales    p-1234.sales_copy ") for line in shown.splitlines())
    assert any(line.startswith("sales.orders ") for line in shown.splitlines())
    world.big.refused = frozenset({"ops_us_copy"})
    assert start(command) == TABLES_FAILED
    out = capsys.readouterr().out
    assert "4 tables, 4 rows" in out
    assert "Incomplete: 1 of 3 datasets (ops_us). To resume, repeat the command.\n" in out
