"""Every recipe is short, and does on a local stack what it says and shows."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from bqdump_local.seed import Source, seed
from bqdump_local.stack import Stack, running
from docs.samples import below, differs
from docs.walk import ROOT, shell
from hooks import hook
from programs import python_program

PAGE = (ROOT / "docs/recipes.md").read_text()
RECIPES = {
    text.partition("\n")[0]: text.partition("\n")[2].strip() for text in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}
# As bq and duckdb do it: one prints what BigQuery answers, the other what DuckDB's module does.
BQ = python_program(
    """import os, sys
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
assert sys.argv[1:3] == ["query", "--use_legacy_sql=false"]
options = ClientOptions(api_endpoint=os.environ["BIGQUERY_EMULATOR_HOST"])
client = bigquery.Client("my-project", AnonymousCredentials(), client_options=options)
for row in client.query_and_wait(sys.argv[3]):
    print(dict(row))
"""
)
DUCKDB = python_program(
    f"""import sys
sys.path[:0] = [{str(Path(sys.prefix) / "readers")!r}, {str(ROOT / "tests")!r}]
from iceberg.scan import Duck
duck = Duck()._duckdb
for statement in sys.argv[2].split(";"):
    if not statement.startswith("LOAD "):
        duck.execute(statement)
for row in duck.fetchall():
    print(row)
"""
)
GCLOUD = """#!/bin/sh
test "$1 $2" = "storage ls" && cd "$BUCKETS" && ls ${3#gs://}
"""


class Kitchen(NamedTuple):
    """A stack with two datasets and the runs monday and tuesday; a customer of monday is gone on tuesday."""

    stack: Stack
    folder: Path
    variables: dict[str, str]

    def cook(self, title: str, folder: Path, change: Mapping[str, str] = {}) -> str:
        """Run the commands of a recipe in a folder, which may have settings of its own; with these words changed."""
        ((commands, shown),) = below(RECIPES[title])
        for old, new in change.items():
            assert old in commands
            commands, shown = commands.replace(old, new), shown.replace(old, new)
        if "bqdump init" not in commands and not (folder / "bqdump.toml").exists():
            shutil.copy(self.folder / "bqdump.toml", folder)
        printed = self.shell(commands, folder)
        assert differs(shown, printed) == ""
        return printed

    def settings(self, folder: Path, **changed: str) -> None:
        """Write a settings file like the page's, with these settings changed."""
        shutil.copy(self.folder / "bqdump.toml", folder)
        text = (folder / "bqdump.toml").read_text()
        for key, value in changed.items():
            line = f'{key} = "{value}"\n'
            text = re.sub(rf"^{key} = .*\n", line, text, flags=re.MULTILINE) if f"\n{key} = " in text else line + text
        (folder / "bqdump.toml").write_text(text)

    def shell(self, commands: str, folder: Path) -> str:
        """What commands print that end well."""
        return shell(f'PATH="{self.folder / "tools"}:$PATH"\n{commands}', folder, self.variables)

    def json(self, command: str, folder: Path) -> Any:
        """The document that a command prints."""
        return json.loads(self.shell(f"{command} 2>errors", folder))

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The rows that the dataset has for a statement."""
        options = ClientOptions(api_endpoint=self.stack.bigquery)
        client = bigquery.Client("my-project", AnonymousCredentials(), client_options=options)
        return [dict(row) for row in client.query_and_wait(statement)]


def sources() -> Iterator[Source]:
    customers = "".join(f"{number},{'CH' if number % 2 else 'LI'},c{number}@example.com,x\n" for number in range(20))
    yield _source("customers", f"id,country,email,note\n{customers}")
    yield _source("orders", "id,customer\n" + "".join(f"{number},{number % 20}\n" for number in range(40)))
    yield _source("events", "day,kind\n" + "".join(f"2026-01-{day:02},click\n" for day in range(1, 31)))


def _source(table: str, data: str) -> Source:
    return Source(table, data.encode(), {"autodetect": True})


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "tools").mkdir()
    for name, program in (("bq", BQ), ("duckdb", DUCKDB), ("gcloud", GCLOUD)):
        (folder / "tools" / name).write_text(program)
        (folder / "tools" / name).chmod(0o755)
    with running(root=folder / "buckets") as stack:
        for dataset, tables in (("sales", [*sources()]), ("ops", [*sources()][1:2])):
            seed(stack, project="my-project", dataset=dataset, bucket="source", target="my-exports", sources=tables)
        made = Kitchen(stack, folder, {**stack.variables(), "BUCKETS": str(folder / "buckets")})
        made.query("CREATE VIEW sales.buyers AS SELECT DISTINCT customer FROM sales.orders")
        (init,) = re.findall(r"`(bqdump init .*?)`", PAGE.replace("\n", " "))
        made.shell(init, folder)
        made.shell("bqdump run --quiet --run-id monday", folder)
        made.query("DELETE FROM sales.customers WHERE id = 7")
        made.shell("bqdump run --quiet --run-id tuesday", folder)
        yield made


def test_there_are_twenty_recipes_and_the_page_begins_with_links_to_all() -> None:
    assert len(RECIPES) == 20
    links = re.findall(r"\]\(#(.*?)\)", PAGE.partition("\n## ")[0])
    assert sorted(links) == sorted(re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in RECIPES)


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_has_fewer_than_15_lines(title: str) -> None:
    without = re.sub(r"^```text\n.*?^```\n", "", f"{RECIPES[title]}\n", flags=re.MULTILINE | re.DOTALL)
    assert len([line for line in without.splitlines() if line]) + 1 < 15


def test_every_recipe_is_run_here() -> None:
    source = Path(__file__).read_text()
    assert [title for title in RECIPES if f'"{title}"' not in source] == []


def test_two_datasets_are_backed_up_by_a_job(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Back up two datasets every night, and keep 30 days", tmp_path)
    assert re.search(r'dataset += "sales,ops"', (tmp_path / "main.tf").read_text())
    kitchen.shell("bqdump run --quiet", tmp_path)
    assert {path.name for path in (kitchen.folder / "buckets/my-exports/nightly").iterdir()} == {
        "_bqdump", "ops", "sales",
    }  # fmt: skip
    assert list((kitchen.folder / "buckets/my-exports/nightly/sales").glob("*/buyers/*.parquet"))
    assert "keep_daily = 30" in (tmp_path / "bqdump.toml").read_text()


def test_a_plan_shows_the_bill_and_a_run_within_its_limit_is_made(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("Find out what a run costs, and limit it", tmp_path)
    assert "billed for 10.5 MB" in printed.splitlines()[0]
    assert re.search(r"^buyers +query +10\.5 MB", printed, re.MULTILINE)
    assert "code 2" in kitchen.shell("bqdump run --max-bytes-billed 1MB || echo code $?", tmp_path)


def test_a_run_is_posted_and_the_job_posts_too(kitchen: Kitchen, tmp_path: Path) -> None:
    with hook() as served:
        address = {"https://hooks.slack.com/services/T000/B000/XXXX": served.url}
        kitchen.cook("Post to Slack when a run fails", tmp_path, address)
    assert [body["event"] for body in served.bodies] == ["run_published"]
    assert "name: slack-webhook" in (tmp_path / "job.yaml").read_text()


def test_a_failed_run_is_explained_and_resumed(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.settings(tmp_path, prefix="failing")
    kitchen.stack.jobs(faults=[{"at": "run", "table": ".*orders", "reason": "invalid", "times": 1}])
    kitchen.shell("bqdump run --quiet --run-id wednesday || test $? = 3", tmp_path)
    printed = kitchen.cook("Find out why last night failed", tmp_path, {"tuesday": "wednesday"})
    assert "orders: invalid" in printed
    assert "orders" in (tmp_path / "wednesday.html").read_text()
    assert "published run wednesday" in printed


def test_a_tagged_run_is_kept_by_prune(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Keep one run forever", tmp_path)
    (monday,) = [run for run in kitchen.json("bqdump prune --json", tmp_path)["runs"] if run["run"] == "monday"]
    assert "tag keep" in monday["reasons"]
    kitchen.shell("bqdump runs --untag keep monday", tmp_path)


def test_pruning_frees_what_the_policy_does_not_keep(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.settings(tmp_path, prefix="pruned", keep_within="1s")
    kitchen.shell("for run in a b; do bqdump run --quiet --no-prune --run-id $run; done", tmp_path)
    toml = (tmp_path / "bqdump.toml").read_text()
    (tmp_path / "bqdump.toml").write_text(re.sub(r"^keep_.*\n|^\[retention\]\n", "", toml, flags=re.MULTILINE))
    with (tmp_path / "bqdump.toml").open("a") as file:
        file.write("[retention]\nkeep_last = 1\n")
    kitchen.cook("Free the space of old runs", tmp_path)
    assert [run["run"] for run in kitchen.json("bqdump runs --json", tmp_path)] == ["b"]


def test_a_table_comes_back_into_its_dataset(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Bring back a table", tmp_path)
    assert kitchen.query("SELECT count(*) AS rows FROM sales.customers") == [{"rows": 20}]
    kitchen.query("DELETE FROM sales.customers WHERE id = 7")


def test_yesterdays_rows_are_compared_with_todays(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("Compare a table with yesterday's version", tmp_path)
    assert kitchen.query("SELECT count(*) AS rows FROM sales.customers_monday") == [{"rows": 20}]
    assert "'id'" not in printed


def test_a_dataset_is_copied_to_another_project(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Copy a dataset to another project", tmp_path)
    assert kitchen.query("SELECT count(*) AS rows FROM `other-project.sales.orders`") == [{"rows": 40}]
    assert len(kitchen.query("SELECT * FROM `other-project.sales.buyers`")) == 20


def test_a_drill_proves_some_tables_and_the_next_one_others(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("Prove a tenth of the tables every week", tmp_path)
    assert re.search(r"proven restorable: [12] of \d tables, ", printed)


def test_the_evidence_is_a_report_and_the_result_of_a_drill(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Give an auditor evidence", tmp_path)
    drilled = json.loads((tmp_path / "drill.json").read_text())
    assert set(drilled["tables"]) >= {"customers", "events", "orders"}
    assert "Proven restorable." in (tmp_path / "evidence.html").read_text()


def test_a_masked_column_has_digests(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Export three columns, with a masked e-mail", tmp_path)
    printed = kitchen.shell("bqdump sql --prefix analysts --csv -c 'FROM customers' 2>errors", tmp_path)
    head, *rows = printed.splitlines()
    assert head == "id,country,email"
    assert len(rows) == 19
    assert all(re.fullmatch(r"\d+,(CH|LI),[0-9a-f]{64}", row) for row in rows)


def test_only_recent_rows_are_exported(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Export only recent rows", tmp_path)
    assert kitchen.shell("bqdump sql --prefix recent --csv -c 'SELECT count(*) AS n FROM events'", tmp_path).endswith(
        "\nn\n16\n"
    )


def test_a_partner_gets_compressed_csv(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("Send a table to a partner as CSV", tmp_path)
    assert "partner/customers_000000000000.csv.gz" in printed


def test_a_table_is_copied_to_the_disk(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("Copy a table to your disk", tmp_path)
    assert len(re.findall(r"c\d+@example\.com", printed)) == 5


def test_tables_are_iceberg_tables(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("Read every table as an Iceberg table", tmp_path)
    assert len(re.findall(r"c\d+@example\.com", printed)) == 19


def test_growth_is_listed_by_table(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("See what grew this week", tmp_path)
    # Other recipes publish runs, too.
    assert re.search(r"^Run \S+ since run monday ", printed, re.MULTILINE)
    assert re.search(r"^customers +19 +-1 ", printed, re.MULTILINE)
    assert "customers" in (tmp_path / "week.html").read_text()


def test_changed_values_are_named(kitchen: Kitchen, tmp_path: Path) -> None:
    printed = kitchen.cook("See which values changed between two runs", tmp_path)
    assert "email" in printed


def test_a_backup_is_queried(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.cook("Query a backup without restoring it", tmp_path)
    assert (tmp_path / "customers.csv").read_text() == "country,customers\nCH,10\nLI,10\n"


def test_a_notebook_has_a_data_frame(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in kitchen.variables.items():
        monkeypatch.setenv(name, value)
    (code,) = re.findall(r"^```python\n(.*?)^```", RECIPES["Read an export in a notebook"], re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/recipes.md", "exec"), names)
    assert set(names["frame"]["country"]) == {"CH"}
