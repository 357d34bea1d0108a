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
    assert run(f"{duck}print({found})") == f"{[*range(ROWS)]}\n"
    assert run(f"{made['polars']}\nprint(frame.sort('id')['extra'].to_list())") == f"{[*range(ROWS)]}\n"
