"""Jobs: ids, listings, statistics, options, parameters, and which files they replace."""

from __future__ import annotations

import hashlib
import os
import zlib
from functools import partial
from typing import Any

from bqdump.core.documents.path_template import shard_name
from bqdump.core.errors import ConflictError
from bqdump.core.sql import statements as sql
from bqdump.ports.destination import StatementRequest
from bqdump_claims import files
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.types import by
from bqdump_claims.result import NotTriedError
from bqdump_claims.scratch import MOST_BYTES_BILLED, Scratch

SALT = "CHECK_SERVICE_SALT"
MADE = {"made.small": 1}
STALE = b"of an earlier export\n"


async def small(scratch: Scratch) -> str:
    """A table of three rows: n and v."""

    async def make() -> str:
        table = scratch.table("small")
        await scratch.run(
            f"CREATE TABLE {table} (n INT64, v STRING)",
            f"INSERT INTO {table} (n, v) VALUES (1, 'a'), (2, 'b'), (3, NULL)",
        )
        return "small"

    return await scratch.once("small", make)


async def _request_a_job_id_twice(scratch: Scratch) -> Observed:
    request = StatementRequest(scratch.job_id(), scratch.dataset, "t", "SELECT 1", scratch.labels, MOST_BYTES_BILLED)
    first = await scratch.begin(scratch.destination.statement(request))
    try:
        await scratch.begin(scratch.destination.statement(request))
    except ConflictError:
        second = "refused: the id is taken"
    else:
        second = "started"
    job = await scratch.destination.job(first.id, scratch.dataset.location)
    return {"second request": second, "job by its id": "found" if job.id == first.id else job.id}


async def _list_jobs(scratch: Scratch) -> Observed:
    since = await scratch.now()
    ids = [(await scratch.run("SELECT 1")).id for _ in range(2)]
    listed = [job async for page in scratch.destination.jobs(since) for job in page]
    mine = [job for job in listed if job.id in ids]
    times = [job.created for job in listed]
    return {
        "own jobs": f"{len(mine)} of 2",
        "order": "newest first" if times == sorted(times, reverse=True) else "another",
        "states": ", ".join(sorted({job.state for job in mine})),
    }


async def _export_over_files(route: str, scratch: Scratch) -> Observed:
    """Files of an earlier export, of which the job writes one anew."""
    table, name = await small(scratch), scratch.new(f"replaced_{route}")
    names = [shard_name(scratch.pattern(name, "csv"), number) for number in (0, 1)]
    earlier = [await scratch.put(file, STALE) for file in names]
    if route == "extract":
        await scratch.extract(table, "csv", name=name)
    else:
        await scratch.query(table, sql.select(scratch.dataset, table, None), "csv", name=name)
    now = {info.name: info.generation for info in await scratch.objects(scratch.pattern(name, "csv").partition("*")[0])}
    first, second = (
        "deleted" if info.name not in now else "unchanged" if now[info.name] == info.generation else "replaced"
        for info in earlier
    )
    return {"first file": first, "stale file": second}


async def _query_with_a_parameter(scratch: Scratch) -> Observed:
    table = await small(scratch)
    select = f"SELECT n, TO_HEX(SHA256(CONCAT(@salt_0, v))) AS v FROM {scratch.table(table)} WHERE n = 1"
    # It stays there: threads of Google's clients read the environment, and fail if a variable disappears meanwhile.
    os.environ[SALT] = "salt"
    exported = await scratch.query(table, select, "csv", parameters={"salt_0": SALT})
    return {"value": files.csv_fields(exported.data[0])[1][1]}


async def _export_with_csv_options(route: str, scratch: Scratch) -> Observed:
    table = await small(scratch)
    options: dict[str, Any] = {"header": False, "delimiter": "\t"}
    if route == "extract":
        exported = await scratch.extract(table, "csv", **options)
    else:
        exported = await scratch.query(table, sql.select(scratch.dataset, table, None, where="n = 1"), "csv", **options)
    return {"a line": repr(sorted(exported.data[0].decode().splitlines())[0])}


async def _export_with_gzip(route: str, scratch: Scratch) -> Observed:
    exported = await by(route, scratch, await small(scratch), "csv", "gzip")
    sizes = [info.size for info in exported.files] == [len(data) for data in exported.data]
    return {"begins with": exported.data[0][:2].hex(), "size": "as listed" if sizes else "another"}


async def _export_several_files(route: str, scratch: Scratch) -> Observed:
    """Several files, which gzip makes small: their rows are computed, and so bill nothing."""
    count = 1_200
    rows = f"SELECT n, REPEAT('x', {scratch.place.several // count}) AS v FROM UNNEST(GENERATE_ARRAY(1, {count})) AS n"
    if route == "extract":
        await scratch.run(f"CREATE TABLE {scratch.table('several')} AS {rows}")
        exported = await scratch.extract("several", "csv", codec="gzip")
    else:
        exported = await scratch.query("several", rows, "csv", codec="gzip")
    if len(exported.data) < 2:
        raise NotTriedError("the job wrote a single file")
    begins = {zlib.decompressobj(wbits=31).decompress(data, 100).partition(b"\n")[0] for data in exported.data}
    return {"first lines": ", ".join(sorted(line.decode() for line in begins)), "files": str(len(exported.data))}


async def _export_a_strange_name(scratch: Scratch) -> Observed:
    strange = "日本 a-b"
    table = scratch.table(strange)
    await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1)")
    exported = await scratch.extract(strange, "csv", name=strange)
    return {"file": exported.files[0].name.rpartition("/")[2]}


async def _dry_run(scratch: Scratch) -> Observed:
    table = await small(scratch)
    select = sql.select(scratch.dataset, table, None)
    estimate = await scratch.destination.estimate(scratch.dataset, table, select, {})
    return {
        "columns": ", ".join(field["name"] for field in files.decoded(estimate.columns)),
        "bytes": str(estimate.bytes),
    }


CLAIMS = (
    Claim(
        "jobs.id",
        sentence="a job id is used once: a second request with it is refused, and the first job is found by it",
        page="internals/pool.md#why-it-is-safe",
        expected={"second request": "refused: the id is taken", "job by its id": "found"},
        observe=_request_a_job_id_twice,
    ),
    Claim(
        "jobs.listing",
        sentence="a listing of jobs has all of the caller's jobs, newest first, with their states",
        page="internals/work.md#sharing-the-work",
        expected={"own jobs": "2 of 2", "order": "newest first", "states": "done"},
        observe=_list_jobs,
    ),
    *(
        Claim(
            f"jobs.replacing.{route}",
            sentence="a job replaces files of the same name, and leaves an earlier export's further files",
            page="internals/publishing.md#publishing",
            expected={"first file": "replaced", "stale file": "unchanged"},
            observe=partial(_export_over_files, route),
            reads=MADE | ({"jobs.replacing": 1} if route == "query" else {}),
        )
        for route in ("extract", "query")
    ),
    Claim(
        "jobs.parameters",
        sentence="EXPORT DATA takes query parameters, so the salt of a mask is in no statement",
        page="export.md#masks",
        expected={"value": hashlib.sha256(b"salta").hexdigest()},
        observe=_query_with_a_parameter,
        reads=MADE | {"jobs.parameters": 1},
    ),
    *(
        Claim(
            f"jobs.options.{route}",
            sentence="CSV without a header and with tabs as delimiters",
            page="formats.md",
            expected={"a line": repr("1\ta")},
            observe=partial(_export_with_csv_options, route),
            reads=MADE | ({"jobs.options": 1} if route == "query" else {}),
        )
        for route in ("extract", "query")
    ),
    *(
        Claim(
            f"jobs.gzip.{route}",
            sentence="a gzip file is stored as it is, not decompressed by Cloud Storage when it is read",
            page="formats.md",
            expected={"begins with": "1f8b", "size": "as listed"},
            observe=partial(_export_with_gzip, route),
            reads=MADE | ({"jobs.gzip": 1} if route == "query" else {}),
        )
        for route in ("extract", "query")
    ),
    *(
        Claim(
            f"jobs.headers.{route}",
            sentence=f"each of several CSV files of one job has a header ({route})",
            page="formats.md",
            expected={"first lines": "n,v"},
            observe=partial(_export_several_files, route),
        )
        for route in ("extract", "query")
    ),
    Claim(
        "jobs.names",
        sentence="a table's name with spaces and letters of any script is the name of its files",
        page="export.md",
        expected={"file": "日本 a-b_000000000000.csv"},
        observe=_export_a_strange_name,
        reads={"jobs.names": 1},
    ),
    Claim(
        "jobs.estimate",
        sentence="a dry run reports the columns of the result, and a bill of 10 MB at least",
        page="limits.md#costs",
        expected={"columns": "n, v", "bytes": str(10 << 20)},
        observe=_dry_run,
        reads=MADE,
    ),
)
