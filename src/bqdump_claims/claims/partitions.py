"""Partitions: their ids, rows and looks, required filters, and partition times."""

from __future__ import annotations

from typing import Any

import msgspec

from bqdump.core.plan.readings import reading_of
from bqdump.core.sql import statements as sql
from bqdump.core.sql.partitions import rows_of
from bqdump.core.tables.partitioning import partitioning_of
from bqdump_claims import files
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.times import rows_in
from bqdump_claims.scratch import MOST_BYTES_BILLED, Scratch

CONDITION, PARTITIONS = "export.md", "internals/partitions.md#how-a-partition-is-read-as-of-the-snapshot-time"
PARTITIONED = "(n INT64, d DATE) PARTITION BY d"
ROWS = "(1, DATE '2026-01-30'), (2, DATE '2026-01-31'), (3, DATE '2026-01-31'), (4, NULL)"
IDS = {"20260130": "1", "20260131": "2", "__NULL__": "1"}
CHANGED = "2026-01-30"


async def _table_by_day(scratch: Scratch) -> str:
    async def make() -> str:
        table = scratch.table("by_day")
        await scratch.run(f"CREATE TABLE {table} {PARTITIONED}", f"INSERT INTO {table} (n, d) VALUES {ROWS}")
        return "by_day"

    return await scratch.once("by_day", make)


async def _extract_partition_as_of(scratch: Scratch) -> Observed:
    table = await _table_by_day(scratch)
    exported = await scratch.extract(f"{table}$20260131", "csv")
    return {"rows": str(rows_in(exported))}


async def _extract_partitions(scratch: Scratch) -> Observed:
    table = await _table_by_day(scratch)
    exports = {id_: await scratch.extract(table, "csv", partition=id_) for id_ in IDS}
    return {id_: str(rows_in(content)) for id_, content in exports.items()}


async def _query_partitions(scratch: Scratch) -> Observed:
    table = await _table_by_day(scratch)
    definition, _ = await scratch.described(table)
    partitioning = partitioning_of(definition.definition)
    if partitioning is None:
        return {"partitioning": "none"}
    then = await scratch.now()
    select = {id_: sql.select(scratch.dataset, table, then, where=rows_of(partitioning, id_)) for id_ in IDS}
    exports = {id_: await scratch.query(table, statement, "csv") for id_, statement in select.items()}
    return {id_: str(rows_in(content)) for id_, content in exports.items()}


async def _list_partitions(scratch: Scratch) -> Observed:
    table = await _table_by_day(scratch)
    listed = await scratch.destination.partitions(scratch.dataset, [table], MOST_BYTES_BILLED)
    return {partition.id: str(partition.rows) for partition in listed.get(table, ())}


async def _describe_partitions(scratch: Scratch) -> Observed:
    table = await _table_by_day(scratch)
    described = {id_: (await scratch.described(f"{table}${id_}"))[0] for id_ in (*IDS, "20250101")}
    rows = {id_: str(partition.rows) for id_, partition in described.items()}
    return rows | {
        "looks": "given" if all(reading_of(partition.definition) for partition in described.values()) else "incomplete"
    }


async def _change_a_partition(scratch: Scratch) -> Observed:
    """Two partitions, of which one gets a row."""
    table = scratch.table("one_day")
    await scratch.run(f"CREATE TABLE {table} {PARTITIONED}", f"INSERT INTO {table} (n, d) VALUES {ROWS}")
    before = [reading_of((await scratch.described(f"one_day${id_}"))[0].definition) for id_ in IDS]
    await scratch.now()
    await scratch.run(f"INSERT INTO {table} (n, d) VALUES (9, DATE '{CHANGED}')")
    after = [reading_of((await scratch.described(f"one_day${id_}"))[0].definition) for id_ in IDS]
    pairs = zip(IDS, before, after, strict=True)
    return {id_: "equal" if look and other and look.same(other) else "different" for id_, look, other in pairs}


async def _table_with_filter(scratch: Scratch) -> str:
    async def make() -> str:
        table = scratch.table("filtered")
        await scratch.run(
            f"CREATE TABLE {table} {PARTITIONED} OPTIONS (require_partition_filter = TRUE)",
            f"INSERT INTO {table} (n, d) VALUES {ROWS}",
        )
        return "filtered"

    return await scratch.once("filtered", make)


async def _condition(scratch: Scratch) -> str:
    described, _ = await scratch.described(await _table_with_filter(scratch))
    return sql.condition(described.definition, "")


async def _query_with_filter(scratch: Scratch) -> Observed:
    table, where = await _table_with_filter(scratch), await _condition(scratch)
    exported = await scratch.query(table, sql.select(scratch.dataset, table, None, where=where), "csv")
    return {"rows": str(rows_in(exported))}


async def _read_with_filter(scratch: Scratch) -> Observed:
    table, where = await _table_with_filter(scratch), await _condition(scratch)
    return {"rows": str(rows_in(await scratch.read(table, "csv", restriction=where)))}


async def _extract_with_filter(scratch: Scratch) -> Observed:
    return {"rows": str(rows_in(await scratch.extract(await _table_with_filter(scratch), "csv")))}


async def _table_by_arrival(scratch: Scratch) -> str:
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


async def _load_into_today(scratch: Scratch) -> Observed:
    """Rows that are loaded into the table, and not into one of its partitions."""
    body = {"schema": {"fields": [{"name": "n", "type": "INTEGER"}]}, "timePartitioning": {"type": "DAY"}}
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "arriving", _raw(body)))
    source = await scratch.put(f"{scratch.place.folder}arriving.csv", b"1\n2\n")
    await scratch.load("arriving", (scratch.uri(source.name),), _raw({"sourceFormat": "CSV"}), _raw(body["schema"]))
    # The day may end meanwhile.
    recent = "DATE(_PARTITIONTIME) >= DATE_SUB(CURRENT_DATE(), INTERVAL 1 DAY)"
    counts = await scratch.ask(f"SELECT COUNTIF({recent}) FROM {scratch.table('arriving')}")
    return {"rows of today": str(counts[0])}


async def _extract_by_arrival(scratch: Scratch) -> Observed:
    exported = await scratch.extract(await _table_by_arrival(scratch), "csv")
    return {"columns": ",".join(files.csv_fields(exported.data[0])[0])}


async def _query_by_arrival(scratch: Scratch) -> Observed:
    table = await _table_by_arrival(scratch)
    select = sql.select(scratch.dataset, table, None, f"*, {sql.identifier('_PARTITIONTIME')} AS arrived")
    exported = await scratch.query(table, select, "csv")
    return {"row": ",".join(files.csv_fields(exported.data[0])[1])}


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


BY_DAY = {"made.by_day": 1}
CLAIMS = (
    Claim(
        "partitions.extract",
        sentence="an extract job of t$p writes the rows of one partition, also of __NULL__",
        page=PARTITIONS,
        expected=IDS,
        observe=_extract_partitions,
        reads=BY_DAY,
    ),
    Claim(
        "partitions.query",
        sentence="a condition selects the rows of one partition as of a time",
        page=PARTITIONS,
        expected=IDS,
        observe=_query_partitions,
        reads=BY_DAY | {"partitions.query": 3},
    ),
    Claim(
        "partitions.listing",
        sentence="INFORMATION_SCHEMA.PARTITIONS has the rows of each partition",
        page=PARTITIONS,
        expected=IDS,
        observe=_list_partitions,
        reads=BY_DAY | {"partitions.listing": 1},
    ),
    Claim(
        "partitions.look",
        sentence="tables.get of t$p reports the rows of a partition, and none of one that does not exist",
        page=PARTITIONS,
        expected=IDS | {"20250101": "0", "looks": "given"},
        observe=_describe_partitions,
        reads=BY_DAY,
    ),
    Claim(
        "partitions.change",
        sentence="a row in one partition changes its reading, and no other",
        page=PARTITIONS,
        expected={"20260130": "different", "20260131": "equal", "__NULL__": "equal"},
        observe=_change_a_partition,
        reads={"partitions.change": 2},
    ),
    Claim(
        "partitions.snapshot",
        sentence="whether a partition is extracted as of a time (t$p@ms); bqdump does not rely on it",
        page=PARTITIONS,
        expected={},
        observe=_extract_partition_as_of,
        reads=BY_DAY,
    ),
    Claim(
        "partitions.filter.query",
        sentence="a condition that every row meets satisfies a required partition filter (query)",
        page=CONDITION,
        expected={"rows": "4"},
        observe=_query_with_filter,
        reads={"made.filtered": 1, "partitions.filter": 1},
    ),
    Claim(
        "partitions.filter.read",
        sentence="a condition that every row meets satisfies a required partition filter (read session)",
        page=CONDITION,
        expected={"rows": "4"},
        observe=_read_with_filter,
        reads={"made.filtered": 1},
    ),
    Claim(
        "partitions.filter.extract",
        sentence="an extract job needs no filter where queries require one",
        page=CONDITION,
        expected={"rows": "4"},
        observe=_extract_with_filter,
        reads={"made.filtered": 1},
    ),
    Claim(
        "partitions.arrival.extract",
        sentence="an extract has no column with the time of ingestion-time partitions",
        page="export.md#partition-times",
        expected={"columns": "n"},
        observe=_extract_by_arrival,
    ),
    Claim(
        "partitions.arrival.load",
        sentence="a load job into the table, and not into a partition, gives its rows the partition time of the day",
        page="export.md#partition-times",
        expected={"rows of today": "2"},
        observe=_load_into_today,
        reads={"partitions.arriving": 1},
    ),
    Claim(
        "partitions.arrival.query",
        sentence="a load job into a partition (t$p) gives its rows that partition time, which a query reads by an "
        "alias",
        page="export.md#partition-times",
        expected={"row": "1,2026-01-31 00:00:00 UTC"},
        observe=_query_by_arrival,
        reads={"partitions.arrival": 1},
    ),
)
