"""Exports on the local stack are Iceberg tables: every type of every route, read cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bqdump
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.settings.target import Target
from bqdump.core.times import milliseconds_of
from bqdump.ui.snippets import snippets
from bqdump.ui.snippets.source import source_of
from bqdump_local.stack import running
from docs.walk import ROOT
from formats.exports import Way
from formats.forms import read_parquet
from formats.values import KINDS, ROWS, Kind, create, expected, wkb
from iceberg.conftest import READ, READERS, Scanner, iceberg_kinds
from iceberg.scan import cell
from iceberg.test_query_page import run
from integration.stage import Stage

EACH = pytest.mark.parametrize("reader", READERS)
STRINGS = next(kind for kind in KINDS if kind.name == "s")


@pytest.fixture(scope="module")
def stage(buckets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A local stack; this process's clients are led to it."""
    with running(root=buckets) as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in stack.variables().items():
            patch.setenv(name, value)
        made = Stage(stack, tmp_path_factory.mktemp("stage"))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def lake(stage: Stage) -> Path:
    """Two runs into a folder: between them one column is dropped and one is added."""
    folder = stage.folder / "lake"
    for statement in create("every", iceberg_kinds(READ)):
        stage.sql(statement)
    stage.sql("CREATE TABLE empty (id INT64, tags ARRAY<STRING>)")
    settings: dict[str, Any] = {"project": stage.project, "dataset": stage.dataset, "to": str(folder)}
    settings |= {"format": "parquet", "iceberg": True, "path": "{run}/{table}_*.{ext}"}
    bqdump.run(run_id="monday", **settings)
    stage.sql("ALTER TABLE every DROP COLUMN s")
    stage.sql("ALTER TABLE every ADD COLUMN extra INT64")
    stage.sql("UPDATE every SET extra = id WHERE TRUE")
    bqdump.run(run_id="tuesday", **settings)
    return folder


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    ordered = sorted(rows, key=lambda row: row["id"])
    return {name: [row[name] for row in ordered] for name in ordered[0]}


def wanted(kinds: list[Kind], form: Callable[[Kind, Any], Any]) -> dict[str, list[Any]]:
    return {kind.name: [cell(form(kind, value)) for value in expected(kind)] for kind in kinds}


@EACH
def test_every_type_of_the_read_route_is_read(lake: Path, scanner: Scanner, reader: str) -> None:
    found = columns(scanner.rows(reader, bqdump.manifest("monday", to=str(lake))["every"].iceberg))
    assert {kind.name: found[kind.name] for kind in iceberg_kinds(READ)} == wanted(iceberg_kinds(READ), read_parquet)


@EACH
def test_the_published_run_has_other_columns_and_the_run_before_is_one_query_away(
    lake: Path, scanner: Scanner, reader: str
) -> None:
    place = lake / "_bqdump/iceberg/every"
    metadata = msgspec.json.decode(Path(bqdump.manifest(to=str(lake))["every"].iceberg).read_bytes())
    now = columns(scanner.rows(reader, place))
    assert now["extra"] == now["id"] == list(range(ROWS))
    assert "s" not in now
    monday = columns(scanner.rows(reader, place, metadata["refs"]["monday"]["snapshot-id"]))
    assert monday["s"] == [*(value for _, value in STRINGS.values), *[None] * (ROWS - len(STRINGS.values))]
    assert "extra" not in monday


@EACH
def test_a_table_without_rows_is_read(lake: Path, scanner: Scanner, reader: str) -> None:
    assert scanner.rows(reader, lake / "_bqdump/iceberg/empty") == []


@pytest.fixture(scope="module", params=["extract", "query"])
def way(stage: Stage, request: pytest.FixtureRequest) -> Way:
    """A run by a route whose files BigQuery writes, into a folder of the bucket."""
    made = Way(request.param, "parquet", "snappy")
    for statement in create(f"by_{made.route}", iceberg_kinds(made)):
        stage.sql(statement)
    flags: dict[str, Any] = {
        "format": "parquet",
        "compression": "snappy",
        "iceberg": "true",
        "include": f"by_{made.route}",
    }
    route = "auto" if made.route == "extract" else made.route
    stage.run_tasks(1, execution=made.route, prefix=made.route, route=route, **flags)
    return made


@EACH
def test_every_type_that_bigquery_writes_is_read(stage: Stage, way: Way, scanner: Scanner, reader: str) -> None:
    entry = bqdump.manifest(bucket=stage.bucket, prefix=way.route)[f"by_{way.route}"]
    found = columns(scanner.rows(reader, entry.iceberg))
    assert {kind.name: found[kind.name] for kind in iceberg_kinds(way)} == wanted(iceberg_kinds(way), in_table)


def in_table(kind: Kind, value: Any) -> Any:
    """TIMESTAMPs are instants again; GEOGRAPHY is WKB."""
    return wkb(value) if kind.type == "GEOGRAPHY" and value is not None else value


def test_the_manifest_has_the_address_of_the_metadata(lake: Path) -> None:
    assert Path(bqdump.manifest(to=str(lake))["every"].iceberg).is_file()


def test_the_code_of_the_console_reads_the_metadata(lake: Path) -> None:
    manifest = decode((lake / "_bqdump/runs/tuesday/manifest.json").read_bytes(), Manifest, "manifest")
    (entry,) = [entry for entry in manifest.tables if entry.table == "every"]
    source = source_of(manifest, entry, Target("file", str(lake)))
    assert source
    made = dict(snippets(source))
    loaded = made["DuckDB"].replace("INSTALL iceberg;\nLOAD iceberg;\n", "")
    assert loaded != made["DuckDB"]
    duck = f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom iceberg.scan import Duck\n"
    found = f"Duck()._duckdb.execute({loaded!r}).to_arrow_table().sort_by('id')['extra'].to_pylist()"
    # Before them, DuckDB shows the progress of a query that takes some seconds.
    assert run(f"{duck}print({found})").splitlines()[-1] == f"{[*range(ROWS)]}"
    assert run(f"{made['polars']}\nprint(frame.sort('id')['extra'].to_list())") == f"{[*range(ROWS)]}\n"


DAYS = [("2026-01-01", "a"), ("2026-01-01", "b"), ("2026-01-02", "c"), (None, "d")]


def into(stage: Stage, name: str, **settings: Any) -> tuple[Path, dict[str, Any]]:
    """A folder with an export of one table, and the settings of further runs."""
    folder = stage.folder / name
    common: dict[str, Any] = {"project": stage.project, "dataset": stage.dataset, "to": str(folder), "include": name}
    return folder, common | {"format": "parquet", "iceberg": True} | settings


@pytest.fixture(scope="module")
def days(stage: Stage) -> Path:
    """Two incremental runs of a table by partition; between them one partition changes."""
    stage.sql("CREATE TABLE days (day DATE, name STRING) PARTITION BY day")
    values = "(DATE '2026-01-01', 'a'), (DATE '2026-01-01', 'b'), (DATE '2026-01-02', 'c'), (NULL, 'd')"
    stage.sql(f"INSERT INTO days VALUES {values}")
    path = "{run}/{table}/day={partition}/{table}_*.{ext}"
    folder, settings = into(stage, "days", path=path, partitions_min_bytes=1, incremental=True)
    bqdump.run(run_id="monday", **settings)
    stage.sql("INSERT INTO days VALUES (DATE '2026-01-02', 'late')")
    bqdump.run(run_id="tuesday", **settings)
    return folder


def in_order(rows: list[dict[str, Any]]) -> list[tuple[str | None, str]]:
    return sorted(((row["day"], row["name"]) for row in rows), key=lambda row: row[1])


@EACH
def test_a_table_by_partition_is_read_with_files_of_several_runs(days: Path, scanner: Scanner, reader: str) -> None:
    place, table = days / "_bqdump/iceberg/days", bqdump.manifest(to=str(days))["days"]
    assert {file.name.split("/")[0] for file in table.files} == {"monday", "tuesday"}
    rows = scanner.rows(reader, place)
    # The folder `day=20260101` is not taken for the column.
    assert [{*row} for row in rows] == [{"day", "name"}] * 5
    assert in_order(rows) == [*DAYS, ("2026-01-02", "late")]
    metadata = msgspec.json.decode(Path(table.iceberg).read_bytes())
    assert in_order(scanner.rows(reader, place, metadata["refs"]["monday"]["snapshot-id"])) == DAYS
    monday = milliseconds_of(bqdump.manifest("monday", to=str(days)).snapshot_time)
    assert in_order(scanner.rows(reader, place, as_of=monday)) == DAYS
    where = "day = DATE '2026-01-01'" if reader != "pyiceberg" else "day = '2026-01-01'"
    assert in_order(scanner.rows(reader, place, where=where)) == DAYS[:2]


def test_a_filter_on_the_partitioning_column_reads_the_files_of_its_partition_only(days: Path) -> None:
    program = (
        "from pyiceberg.table import StaticTable\n"
        f"table = StaticTable.from_metadata({str(days / '_bqdump/iceberg/days')!r})\n"
        "for where in ('true', \"day = '2026-01-02'\"):\n"
        "    print(sorted(task.file.file_path.split('/')[-2] for task in table.scan(where).plan_files()))"
    )
    assert run(program).splitlines() == [
        "['day=20260101', 'day=20260102', 'day=__HIVE_DEFAULT_PARTITION__']",
        "['day=20260102']",
    ]


@pytest.fixture(scope="module")
def pruned(stage: Stage) -> Path:
    """Three runs, of which a prune deletes the first."""
    stage.sql("CREATE TABLE pruned AS SELECT 0 AS id")
    folder, settings = into(stage, "pruned", path="{run}/{table}_*.{ext}")
    for number in range(1, 4):
        bqdump.run(run_id=f"r{number}", **settings)
        stage.sql(f"INSERT INTO pruned VALUES ({number})")
    removed = bqdump.prune(to=str(folder), keep_last=2, yes=True, now=True).removed
    assert [one.run for one in removed] == ["r1"]
    return folder


@EACH
def test_every_snapshot_is_read_after_a_prune(pruned: Path, scanner: Scanner, reader: str) -> None:
    place = pruned / "_bqdump/iceberg/pruned"
    hint = (place / "metadata/version-hint.text").read_text()
    metadata = msgspec.json.decode((place / f"metadata/{hint}.metadata.json").read_bytes())
    ids = {one["summary"]["bqdump.run"]: one["snapshot-id"] for one in metadata["snapshots"]}
    assert [*ids] == ["r2", "r3"]
    assert {*metadata["refs"]} == {"main", "r2", "r3"}
    found = [scanner.rows(reader, place), *(scanner.rows(reader, place, one) for one in ids.values())]
    assert [len(rows) for rows in found] == [3, 2, 3]


@pytest.fixture(scope="module")
def travel(stage: Stage) -> tuple[Path, dict[str, list[int]]]:
    """Incremental runs, of which some did not find a change, a prune, and one more. The ids in each run, by run."""
    stage.sql("CREATE TABLE travel AS SELECT 0 AS id")
    folder, settings = into(stage, "travel", path="{run}/{table}_*.{ext}", incremental=True)
    ids, rows = dict[str, list[int]](), [0]
    for number, changes in enumerate([False, False, False, True, False, False, True]):
        if changes:
            rows = [*rows, number]
            stage.sql(f"INSERT INTO travel VALUES ({number})")
        bqdump.run(run_id=f"r{number}", **settings)
        ids[f"r{number}"] = rows
        if number == 5:
            removed = bqdump.prune(to=str(folder), keep_last=4, yes=True, now=True).removed
            assert {one.run for one in removed} == {"r0", "r1"}
    kept = {one.run for one in bqdump.runs(to=str(folder))}
    assert kept == {"r2", "r3", "r4", "r5", "r6"}
    # Some runs have exported nothing.
    assert {file.name.split("/")[0] for file in bqdump.manifest("r2", to=str(folder))["travel"].files} <= {"r0", "r1"}
    assert (
        bqdump.manifest("r5", to=str(folder))["travel"].files == bqdump.manifest("r4", to=str(folder))["travel"].files
    )
    return folder, {run: found for run, found in ids.items() if run in kept}


@EACH
def test_each_run_that_is_kept_is_read_as_of_its_time_and_those_that_changed_the_table_by_their_tags(
    travel: tuple[Path, dict[str, list[int]]], scanner: Scanner, reader: str
) -> None:
    folder, ids = travel
    place = folder / "_bqdump/iceberg/travel"
    metadata = msgspec.json.decode(Path(bqdump.manifest(to=str(folder))["travel"].iceberg).read_bytes())
    assert {"main", "r3", "r6"} <= metadata["refs"].keys()
    for name, rows in ids.items():
        time = milliseconds_of(bqdump.manifest(name, to=str(folder)).snapshot_time)
        assert columns(scanner.rows(reader, place, as_of=time))["id"] == rows
        if name in metadata["refs"]:
            assert columns(scanner.rows(reader, place, metadata["refs"][name]["snapshot-id"]))["id"] == rows
    assert columns(scanner.rows(reader, place))["id"] == ids["r6"]
