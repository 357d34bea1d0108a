"""Pages of `bqdump ui` for 1,000 runs of 10,000 tables, requested from the command on the local stack.

The baseline: reading and decoding one complete manifest of that size, which every page would do without the index.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from benchmarks.size import sized
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import File, Manifest, TableEntry, Totals
from bqdump.core.documents.run import Owner, Plan, Receipt, Share
from bqdump.core.documents.target import Latest, Newest, entry_of
from bqdump.core.documents.units import Claim
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import rfc3339
from bqdump.ports.store import ObjectStore
from bqdump.repository.manifests import contents_of
from bqdump.services.opening import open_store
from bqdump_local.stack import running

PROJECT, BUCKET, RUNS, TABLES = "local-project", "many-runs", *sized((1000, 10_000), (2, 20))
# The number of runs whose documents have all tables: the measured pages read no other ones.
WHOLE = 40
# The last night is in the past: an entry of the log that is older than its snapshot time counts for nothing.
START, NIGHT, TASKS = 1_690_000_000_000, 86_400_000, 20
SETTINGS = Settings(project=PROJECT, dataset="shop", target=Target("gs", BUCKET))
RUN, TABLE = f"run-{RUNS - 1:04}", f"table_{TABLES // 20:05}"
PAGES = {
    "runs": "",
    "a run": f"runs/{RUN}",
    "a run, filtered and sorted": f"runs/{RUN}?q=_01&sort=-time",
    f"a run under way, {TABLES // 2:,} of {TABLES:,} done": "runs/going/live",
    "changes": f"runs/{RUN}/changes",
    "a table of a run": f"runs/{RUN}/tables/{TABLE}",
    "a table through 30 runs": f"tables/{TABLE}",
    "verification": f"runs/{RUN}/verify",
}
SHOWN = sized(tuple(PAGES), ("runs", "verification"))
CONTENT = b"column\n1\n"


class Timed(NamedTuple):
    """Seconds for the first request and for the best of three more, and the size of the page in bytes."""

    first: float
    again: float
    size: int


def main() -> None:
    with running() as stack:
        os.environ.update(stack.variables())
        anonymous = AnonymousCredentials()
        storage.Client(project=PROJECT, credentials=anonymous).create_bucket(BUCKET)
        asyncio.run(prepare())
        whole = asyncio.run(baseline())
        print(f"reading one complete manifest: {whole:.2f} s")
        for title in SHOWN:
            timed = measure(PAGES[title])
            ratios = f"{timed.first / whole:.2f} and {timed.again / whole:.2f} of the baseline"
            print(f"{title}: {timed.first:.2f} s, again {timed.again:.2f} s ({ratios}), {timed.size / 1000:.0f} KB")


def measure(path: str) -> Timed:
    """The times of a page of a console that was just started."""
    command = [sys.executable, "-m", "bqdump", "ui", "--bucket", BUCKET, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().split()[4]
        try:
            times = []
            for _ in range(4):
                before = time.perf_counter()
                with urllib.request.urlopen(address + path, timeout=60) as answer:
                    size = len(answer.read())
                times.append(time.perf_counter() - before)
            return Timed(times[0], min(times[1:]), size)
        finally:
            process.terminate()


async def baseline() -> float:
    store = open_store(SETTINGS)
    before = time.perf_counter()
    name = SETTINGS.layout.run(RUN).manifest.name
    decode((await store.read(name)).data, Manifest, name)
    took = time.perf_counter() - before
    await store.close()
    return took


async def prepare() -> None:
    """Create 1,000 finished runs, and one in progress."""
    store = open_store(SETTINGS)
    slots = asyncio.Semaphore(16)

    async def put(night: int) -> None:
        async with slots:
            await put_run(store, night)

    async def put_file(number: int) -> File:
        name = f"table_{number:05}/table_{number:05}_000000000000.csv"
        async with slots:
            info, _ = await store.upload(name, lambda file: file.write(CONTENT), 0)
        return File(name, info.size, info.crc32c, info.generation)

    await asyncio.gather(*map(put, range(RUNS - 1)))
    await put_run(store, RUNS - 1, await asyncio.gather(*map(put_file, range(TABLES))))
    await put_going(store)
    await store.close()


async def put_run(store: ObjectStore, night: int, files: Sequence[File] = ()) -> None:
    """Create one run. files: the files of its tables, if the run's files exist."""
    run = f"run-{night:04}"
    layout = SETTINGS.layout.run(run)
    whole = night >= RUNS - WHOLE
    made = manifest(run, TABLES if whole else 1, night, files)
    data = encode(made)
    contents = contents_of(data, layout.manifest.name)
    totals = msgspec.structs.replace(made.totals, tables=TABLES, files=TABLES)
    generation = await store.write(layout.manifest.name, data, 0)
    entry = msgspec.structs.replace(entry_of(contents, data, generation), totals=totals)
    await store.write_note(SETTINGS.layout.entry(run, made.snapshot).name, encode(entry), 0)
    await store.write(layout.contents.name, encode(contents), 0)
    if night == RUNS - 1:
        latest = Latest(
            run=run,
            dataset="shop",
            project=PROJECT,
            snapshot_time=made.snapshot_time,
            mode="replace",
            snapshot=made.snapshot,
            status="complete",
            manifest=layout.manifest.name,
            manifest_generation=generation,
        )
        await store.write(SETTINGS.layout.latest.name, encode(latest), None)


async def put_going(store: ObjectStore) -> None:
    layout = SETTINGS.layout.run("going")
    moment = START + RUNS * NIGHT
    plan = Plan(
        run="going",
        tool="0.1.0",
        nonce="0123abcd",
        project=PROJECT,
        dataset="shop",
        location="US",
        snapshot=moment,
        mode="replace",
        settings=SETTINGS.frozen(),
        digest="0" * 16,
        units=layout.units("0123abcd"),
        shares=tuple(Share(10**6 * task, 10**6, TABLES // TASKS, 0, 0) for task in range(TASKS)),
        tables=TABLES,
        rows=10**9,
        bytes=10**12,
        skipped=(),
        excluded=0,
    )
    await store.write(layout.plan.name, encode(plan), 0)
    await store.write(SETTINGS.layout.newest.name, encode(Newest("going")), None)
    slots = asyncio.Semaphore(16)

    async def put(number: int) -> None:
        unit, task, table = f"{number % TASKS:05}-{number // TASKS:05}", number % TASKS, f"table_{number:05}"
        async with slots:
            await store.write_note(layout.claim(unit).name, encode(Claim(Owner("going", task), table, 10**8)), 0)
            if number < TABLES // 2:
                job = f"bqdump_going_0123abcd_{unit}_0"
                receipt = Receipt(
                    unit, table, job, 0, 1, moment + number, moment + number, moment + number + 3000, task
                )
                await store.write_note(layout.receipt(unit).name, encode(receipt), 0)

    await asyncio.gather(*map(put, range(TABLES // 2 + TABLES // 5)))


def manifest(run: str, tables: int, night: int, files: Sequence[File]) -> Manifest:
    """A manifest of `tables` tables with 15 columns each."""
    chance = random.Random(night)
    moment = START + night * NIGHT
    fields = [{"name": f"column_{number}", "type": "STRING", "mode": "NULLABLE"} for number in range(15)]
    definition = msgspec.Raw(msgspec.json.encode({"id": "local-project:shop.table", "schema": {"fields": fields}}))
    entries = []
    for number in range(tables):
        size, begun = int(10 ** chance.uniform(3, 9)), moment + chance.randrange(600_000)
        name, unit = f"table_{number:05}", f"{number % TASKS:05}-{number // TASKS:05}"
        entries.append(
            TableEntry(
                table=name,
                kind="TABLE",
                route="extract",
                unit=unit,
                jobs=(f"bqdump_{run}_0123abcd_{unit}_0",),
                planned_rows=size // 50,
                planned_bytes=size,
                created=begun,
                started=begun + 900,
                ended=begun + 2000 + size // 100_000,
                task=number % TASKS,
                files=(files[number] if files else File(f"{name}/{name}_000000000000.csv", size, "AAAAAA==", 1),),
                definition=definition,
            )
        )
    sizes = sum(entry.files[0].size for entry in entries)
    rows = sum(entry.planned_rows for entry in entries)
    return Manifest(
        run=run,
        tool="0.1.0",
        status="complete",
        project=PROJECT,
        dataset="shop",
        location="US",
        snapshot_time=rfc3339(moment),
        snapshot=moment,
        mode="replace",
        settings=SETTINGS.frozen(),
        digest="0" * 16,
        totals=Totals(tables, tables, sizes, rows, sizes),
        tables=tuple(entries),
        skipped=(),
        failed=(),
        left=(),
        found=(),
    )


if __name__ == "__main__":
    main()
