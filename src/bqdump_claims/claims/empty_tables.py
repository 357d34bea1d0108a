"""Files without rows: what each route writes for a table without rows, and what bqdump counts in them."""

from __future__ import annotations

from functools import partial

from bqdump.core.formats.avro_blocks import read_header
from bqdump.core.formats.parquet_footer import num_rows
from bqdump.core.sql import statements as sql
from bqdump_claims import files
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.types import PAGE, by
from bqdump_claims.scratch import Exported, Scratch

ROUTES = ("extract", "query")
FORMATS = ("csv", "json", "avro", "parquet")
CONTENT = {"csv": "only the header", "json": "0 bytes", "avro": "no blocks", "parquet": "0 rows"}
ANCHOR = f"{PAGE}#types"


async def _empty_table(scratch: Scratch) -> str:
    async def make() -> str:
        await scratch.run(f"CREATE TABLE {scratch.table('no_rows')} (n INT64, v STRING)")
        return "no_rows"

    return await scratch.once("no_rows", make)


async def _export_without_rows(format_: str, route: str, scratch: Scratch) -> Observed:
    exported = await by(route, scratch, await _empty_table(scratch), format_)
    contents = {content(format_, data) for data in exported.data}
    return {"files": str(len(exported.files)), "content": ", ".join(sorted(contents)), **_reported_counts(exported)}


async def _export_with_gzip(route: str, scratch: Scratch) -> Observed:
    exported = await by(route, scratch, await _empty_table(scratch), "csv", "gzip")
    begins = {data[:2].hex() or "0 bytes" for data in exported.data}
    return {"files": str(len(exported.files)), "begins with": ", ".join(sorted(begins))}


def content(format_: str, data: bytes) -> str:
    """What a file without rows contains, in words."""
    if not data:
        return "0 bytes"
    match format_:
        case "csv":
            return "only the header" if files.csv_fields(data) == [["n", "v"]] else f"{len(data)} bytes"
        case "avro":
            header = read_header(data, "the file")
            return "no blocks" if header and header.length == len(data) else f"{len(data)} bytes"
        case "parquet":
            return f"{num_rows(files.footer(data), 'the file')} rows"
        case _:
            return f"{len(data)} bytes"


def _reported_counts(exported: Exported) -> Observed:
    """What the job reports: evidence."""
    job = exported.job
    return {"job's files": str(job.files), "job's rows": str(job.rows)} if job else {}


async def _shards_of_a_query(scratch: Scratch) -> Observed:
    """Several files by a query of a table of some size, of which few rows remain."""
    table = scratch.table("shards")
    await scratch.run(
        f"CREATE TABLE {table} AS SELECT n, REPEAT('x', 1000) AS v FROM UNNEST(GENERATE_ARRAY(1, 2000)) AS n"
    )
    select = sql.select(scratch.dataset, "shards", None, where="n <= 3")
    exported = await scratch.query("shards", select, "csv")
    rows = [len(files.csv_fields(data)[1:]) for data in exported.data]
    job = exported.job
    return {
        "rows in files": str(sum(rows)),
        "rows by the job": str(job.rows if job else None),
        "files by the job": "as listed" if job and job.files == len(rows) else f"{job and job.files}, not {len(rows)}",
        "files without rows": str(rows.count(0)),
    }


async def _read_without_rows(scratch: Scratch) -> Observed:
    exported = await scratch.read(await _empty_table(scratch), "csv")
    return {"files": str(len(exported.files)), "content": ", ".join(content("csv", data) for data in exported.data)}


CLAIMS = (
    *(
        Claim(
            f"empty.{format_}.{route}",
            sentence=f"a table without rows is one {format_} file without rows ({route})",
            page=ANCHOR,
            expected={"files": "1", "content": CONTENT[format_]},
            observe=partial(_export_without_rows, format_, route),
            reads={f"empty.{format_}": 1} if route == "query" else {},
        )
        for format_ in FORMATS
        for route in ROUTES
    ),
    *(
        Claim(
            f"empty.gzip.{route}",
            sentence=f"a table without rows is one gzip file, not an object of 0 bytes ({route})",
            page=ANCHOR,
            expected={"files": "1", "begins with": "1f8b"},
            observe=partial(_export_with_gzip, route),
            reads={"empty.gzip": 1} if route == "query" else {},
        )
        for route in ROUTES
    ),
    Claim(
        "empty.shards.query",
        sentence="EXPORT DATA reports the files and rows that it wrote, files without rows included",
        page=PAGE,
        expected={"rows in files": "3", "rows by the job": "3", "files by the job": "as listed"},
        observe=_shards_of_a_query,
        reads={"empty.shards": 1},
    ),
    Claim(
        "empty.csv.read",
        sentence="a read session of a table without rows gives a file with only the header",
        page="internals/read-route.md",
        expected={"files": "1", "content": "only the header"},
        observe=_read_without_rows,
    ),
)
