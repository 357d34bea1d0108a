"""The page of a table has code for other tools, with the addresses of exactly its files, and every name as data."""

from __future__ import annotations

import ast
import asyncio
import html
import re
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import duckdb
import msgspec
import polars
import pytest
import sqlglot

from bqdump.core.documents.manifest import File, IcebergFile, Manifest, TableEntry
from bqdump.core.settings.target import Target
from bqdump.repository.published import read_manifest
from bqdump.ui.snippets import snippets
from bqdump.ui.snippets.source import source_of
from browser.scenes import Scene, orders, shop
from browser.site import Site
from export.test_partitions import KEEP, ROWS, PartitionedExport

BUCKET, FOLDER = Target("gs", "exports"), Target("file", "/srv/exports")
ALL = ["DuckDB", "polars", "BigQuery external table"]
HOSTILE = 'it\'s "quoted" `ticked` ${HOME} $(id) {braces} \\n\n</code> 𠮷'


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    scene = shop()
    asyncio.run(scene.export("first"))
    return asyncio.run(read_manifest(scene.store, scene.settings))


def entry_of(manifest: Manifest, table: str, *names: str, columns: tuple[str, ...] = ()) -> TableEntry:
    (entry,) = [entry for entry in manifest.tables if entry.table == "orders"]
    fields = [{"name": name, "type": "STRING"} for name in columns]
    definition = msgspec.Raw(msgspec.json.encode({"schema": {"fields": fields}})) if columns else entry.definition
    files = tuple(File(name, 1, "AAAAAA==", 1) for name in names) or entry.files
    return msgspec.structs.replace(entry, table=table, files=files, definition=definition)


def code(manifest: Manifest, entry: TableEntry, target: Target = BUCKET) -> dict[str, str]:
    source = source_of(manifest, entry, target)
    assert source
    return dict(snippets(source))


def shards(folder: str, count: int, base: str = "orders") -> list[str]:
    return [f"{folder}/{base}_{number:012d}.csv" for number in range(count)]


def test_few_files_are_named_one_by_one_and_many_by_a_pattern(manifest: Manifest) -> None:
    few = code(manifest, entry_of(manifest, "orders", *shards("orders", 3)))
    many = code(manifest, entry_of(manifest, "orders", *shards("orders", 300)))
    for tool in ALL:
        assert [name for name in shards("orders", 3) if f"gs://exports/{name}" not in few[tool]] == [], tool
        assert many[tool].count("gs://") == 1, tool
        assert "gs://exports/orders/orders_*.csv" in many[tool], tool


@pytest.mark.parametrize("folder", ["all", "orders"])
def test_a_pattern_that_could_match_another_table_is_not_used(manifest: Manifest, folder: str) -> None:
    names = shards(folder, 30)
    flat = msgspec.structs.replace(manifest, settings=manifest.settings | {"path": folder + "/{table}_*.{ext}"})
    made = code(flat, entry_of(manifest, "orders", *names))
    assert set(made) == set(ALL)
    assert [(tool, name) for tool in made for name in names if f"gs://exports/{name}" not in made[tool]] == []


def test_a_table_without_files_or_in_too_many_folders_has_no_code(manifest: Manifest) -> None:
    folders = [f"orders/{number}/orders_000000000000.csv" for number in range(501)]
    assert source_of(manifest, entry_of(manifest, "orders", *folders), BUCKET) is None
    entry = entry_of(manifest, "orders")
    assert source_of(manifest, msgspec.structs.replace(entry, files=()), BUCKET) is None
    # A table that was deleted while it was exported has no definition.
    assert source_of(manifest, msgspec.structs.replace(entry, definition=msgspec.Raw(b"null")), BUCKET) is None


def test_iceberg_metadata_is_read_where_the_export_has_it_and_not_from_a_copy(manifest: Manifest) -> None:
    name = "_bqdump/iceberg/orders/metadata/00001-first-0123456789ab.metadata.json"
    entry = entry_of(manifest, "orders", "orders/orders_000000000000.parquet")
    entry = msgspec.structs.replace(entry, format="parquet", iceberg=(IcebergFile(name, 1, 1),))
    made = code(manifest, entry)
    assert f"FROM iceberg_scan('gs://exports/{name}');" in made["DuckDB"]
    assert f'pl.scan_iceberg("gs://exports/{name}")' in made["polars"]
    assert "uris = [\n    'gs://exports/orders/orders_000000000000.parquet'" in made["BigQuery external table"]
    copied = code(manifest, entry, FOLDER)
    assert "/srv/exports/orders/orders_000000000000.parquet" in copied["DuckDB"]
    assert not any("iceberg" in text for text in copied.values())


def test_bigquery_reads_no_folder(manifest: Manifest) -> None:
    assert list(code(manifest, entry_of(manifest, "orders"), FOLDER)) == ALL[:2]


@pytest.mark.parametrize("format_", ["csv", "json", "avro", "parquet"])
def test_hostile_names_stay_data(manifest: Manifest, format_: str) -> None:
    file = f"{HOSTILE}/t_000000000000.{format_}"
    entry = entry_of(manifest, HOSTILE, file, columns=(HOSTILE, "plain"))
    made = code(manifest, msgspec.structs.replace(entry, format=format_))
    strings = [node.value for node in ast.walk(ast.parse(made["polars"])) if isinstance(node, ast.Constant)]
    assert f"gs://exports/{file}" in strings
    (select,) = [one for one in duckdb.extract_statements(made["DuckDB"]) if one.type == duckdb.StatementType.SELECT]
    assert "'gs://exports/" + file.replace("'", "''") in select.query
    (created,) = sqlglot.parse(made["BigQuery external table"], read="bigquery")
    assert created
    assert HOSTILE in [one.name for one in created.find_all(sqlglot.exp.Table)]
    assert f"gs://exports/{file}" in [one.this for one in created.find_all(sqlglot.exp.Literal)]
    if format_ in ("csv", "json"):
        assert HOSTILE in strings
        assert HOSTILE in [one.name for one in created.find_all(sqlglot.exp.ColumnDef)]


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_a_file_whose_name_looks_like_a_pattern_is_read_and_no_other(
    manifest: Manifest, tmp_path: Path, format_: str
) -> None:
    name, other = f"day=[1]?/t[0-9]_000000000000.{format_}", f"day=1x/t0_000000000000.{format_}"
    for path, value in ((name, "right"), (other, "wrong")):
        (tmp_path / path).parent.mkdir()
        frame = polars.DataFrame({"line": [value]})
        getattr(frame, "write_ndjson" if format_ == "json" else f"write_{format_}")(tmp_path / path)
    entry = msgspec.structs.replace(entry_of(manifest, "t", name, columns=("line",)), format=format_)
    made = code(manifest, entry, Target("file", str(tmp_path)))
    assert duckdb.sql(made["DuckDB"]).fetchall() == [("right",)]
    # polars would take the name of a JSON file for a pattern.
    assert ("polars" in made) == (format_ != "json")
    if format_ != "json":
        names: dict[str, Any] = {}
        exec(made["polars"], names)
        assert names["frame"].to_dicts() == [{"line": "right"}]


def shown(site: Site, path: str) -> list[str]:
    page = urlopen(f"{site.url}{path}").read().decode()
    return [html.unescape(text) for text in re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)]


def test_the_page_names_files_that_earlier_runs_exported() -> None:
    world = PartitionedExport(msgspec.structs.replace(KEEP, incremental=True))
    world.export()
    world.put([*ROWS, "20260102:late"])
    world.export("r2")
    site = Site(world.store, world.settings)
    try:
        texts = shown(site, "runs/r2/tables/events")
    finally:
        site.close()
    assert len(texts) == len(ALL)
    for text in texts:
        assert re.findall(r"gs://memory/(r\d)/events/day=(\w+)/", text) == [
            ("r1", "20260101"), ("r2", "20260102"), ("r1", "__HIVE_DEFAULT_PARTITION__"),
        ]  # fmt: skip


def test_a_run_whose_files_were_replaced_has_no_code() -> None:
    scene: Scene = shop()
    asyncio.run(scene.export("first"))
    orders(scene, 9)
    asyncio.run(scene.export("second"))
    site = Site(scene.store, scene.settings)
    try:
        assert shown(site, "runs/first/tables/orders") == []
        assert len(shown(site, "runs/second/tables/orders")) == len(ALL)
    finally:
        site.close()
