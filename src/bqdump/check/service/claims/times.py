"""Snapshot times and partitions: how a table is read as of a time, in part, or by its partition times."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from bqdump.check.service import files
from bqdump.check.service.claim import Claim, Observed
from bqdump.check.service.scratch import Exported, Scratch
from bqdump.core.sql import statements as sql

CONDITION = "routes.md"
PARTITIONED = "(n INT64, d DATE) PARTITION BY d"
ROWS = "(1, DATE '2026-01-30'), (2, DATE '2026-01-31'), (3, DATE '2026-01-31'), (4, NULL)"


def rows_in(found: Exported) -> int:
    """The rows of CSV files with a header."""
    return sum(len(files.csv_fields(data)) - 1 for data in found.data)


async def _then(scratch: Scratch) -> Observed:
    table = scratch.table("then")
    await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
    then = await scratch.now()
    await scratch.run(f"INSERT INTO {table} (n) VALUES (3)", f"DELETE FROM {table} WHERE n = 1")
    extract = await scratch.extract("then", "csv", snapshot=then)
    query = await scratch.query("then", sql.select(scratch.dataset, "then", then), "csv")
    return {"extract": str(rows_in(extract)), "query": str(rows_in(query))}


async def _partitioned(scratch: Scratch) -> str:
    async def make() -> str:
        table = scratch.table("by_day")
        await scratch.run(f"CREATE TABLE {table} {PARTITIONED}", f"INSERT INTO {table} (n, d) VALUES {ROWS}")
        return "by_day"

    return await scratch.once("by_day", make)


async def _partition_then(scratch: Scratch) -> Observed:
    table = await _partitioned(scratch)
    found = await scratch.extract(f"{table}$20260131", "csv")
    return {"rows": str(rows_in(found))}


async def _filtered(scratch: Scratch) -> str:
    async def make() -> str:
        table = scratch.table("filtered")
        await scratch.run(
            f"CREATE TABLE {table} {PARTITIONED} OPTIONS (require_partition_filter = TRUE)",
            f"INSERT INTO {table} (n, d) VALUES {ROWS}",
        )
        return "filtered"

    return await scratch.once("filtered", make)


async def _condition(scratch: Scratch) -> str:
    found, _ = await scratch.described(await _filtered(scratch))
    return sql.condition(found.definition, "")


async def _filter_query(scratch: Scratch) -> Observed:
    table, where = await _filtered(scratch), await _condition(scratch)
    found = await scratch.query(table, sql.select(scratch.dataset, table, None, where=where), "csv")
    return {"rows": str(rows_in(found))}


async def _filter_read(scratch: Scratch) -> Observed:
    table, where = await _filtered(scratch), await _condition(scratch)
    return {"rows": str(rows_in(await scratch.read(table, "csv", restriction=where)))}


async def _filter_extract(scratch: Scratch) -> Observed:
    return {"rows": str(rows_in(await scratch.extract(await _filtered(scratch), "csv")))}


async def _arrival(scratch: Scratch) -> str:
    """A table that is partitioned by ingestion time, with a row that is loaded into a partition."""

    async def make() -> str:
        body = {"schema": {"fields": [{"name": "n", "type": "INT64"}]}, "timePartitioning": {"type": "DAY"}}
        create = scratch.destination.create_table(scratch.dataset, "arrival", _raw(body))
        await scratch.begin(create)
        source = await scratch.put(f"{scratch.place.folder}arrival.csv", b"1\n")
        options = {"sourceFormat": "CSV"}
        uris = (scratch.uri(source.name),)
        await scratch.load("arrival", uris, _raw(options), _raw(body["schema"]), partition="20260131")
        return "arrival"

    return await scratch.once("arrival", make)


async def _arrival_extract(scratch: Scratch) -> Observed:
    found = await scratch.extract(await _arrival(scratch), "csv")
    return {"columns": ",".join(files.csv_fields(found.data[0])[0])}


async def _arrival_query(scratch: Scratch) -> Observed:
    table = await _arrival(scratch)
    select = sql.select(scratch.dataset, table, None, f"*, {sql.identifier('_PARTITIONTIME')} AS arrived")
    found = await scratch.query(table, select, "csv")
    return {"row": ",".join(files.csv_fields(found.data[0])[1])}


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


CLAIMS = (
    Claim(
        "times.snapshot",
        "a table is exported as of a time by its decorator, and by FOR SYSTEM_TIME AS OF",
        "routes.md#snapshot-time",
        {"extract": "2", "query": "2"},
        _then,
        {"times.snapshot": 4},
    ),
    Claim(
        "times.partition_snapshot",
        "whether a partition is extracted as of a time (t$p@ms); bqdump does not rely on it",
        "routes.md#snapshot-time",
        {},
        _partition_then,
        {"made.by_day": 1},
    ),
    Claim(
        "partitions.filter.query",
        "a condition that every row meets satisfies a required partition filter (query)",
        CONDITION,
        {"rows": "4"},
        _filter_query,
        {"made.filtered": 1, "partitions.filter": 1},
    ),
    Claim(
        "partitions.filter.read",
        "a condition that every row meets satisfies a required partition filter (read session)",
        CONDITION,
        {"rows": "4"},
        _filter_read,
        {"made.filtered": 1},
    ),
    Claim(
        "partitions.filter.extract",
        "an extract job needs no filter where queries require one",
        CONDITION,
        {"rows": "4"},
        _filter_extract,
        {"made.filtered": 1},
    ),
    Claim(
        "partitions.arrival.extract",
        "an extract has no column with the time of ingestion-time partitions",
        "routes.md#partition-times",
        {"columns": "n"},
        _arrival_extract,
    ),
    Claim(
        "partitions.arrival.query",
        "a load job into a partition (t$p) gives its rows that partition time, which a query reads by an alias",
        "routes.md#partition-times",
        {"row": "1,2026-01-31 00:00:00 UTC"},
        _arrival_query,
        {"partitions.arrival": 1},
    ),
)
