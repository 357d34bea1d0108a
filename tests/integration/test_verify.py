"""`bqdump verify` finds whatever has happened to any file of an export, in every format."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bqdump.adapters.data_files import DataFiles
from bqdump.check.findings import Verified
from bqdump.check.read_back import ReadOptions
from bqdump.check.verify import verify
from bqdump.export.task import Task
from integration.command import Called
from integration.every_format import EVERY_FORMAT, NESTED, SCALARS, make
from integration.stage import Stage

# For what is found before a file is decoded.


def export(stage: Stage, ways: Sequence[Mapping[str, str]]) -> None:
    """An export of two or three tables for each way, most of them in several files."""
    tables = make(stage, ways, SCALARS, NESTED)
    stage.stack.jobs(shard_bytes=600)
    (outcome,) = stage.run_tasks(1, execution="r1", tables=tables)
    assert outcome.state == "published"
    assert len(stage.files()) >= 3 * len(ways)


def read(stage: Stage) -> Verified:
    """What `verify --read` finds, without a process for it."""

    async def work(task: Callable[[int], Task]) -> Verified:
        store = task(0).store
        return await verify(store, task(0).settings, "", ReadOptions(reader))

    reader = DataFiles()
    try:
        verified: Verified = stage.perform(work, execution="look")
    finally:
        reader.close()
    return verified


def found(verified: Verified) -> list[tuple[str, str]]:
    return sorted({(finding.kind.value, finding.file) for finding in verified.findings})


def test_a_whole_export_reads_back_whole_and_every_flipped_byte_behind_the_store_s_back_is_found(
    stage: Stage, buckets: Path
) -> None:
    export(stage, EVERY_FORMAT)
    verified = read(stage)
    assert verified.findings == ()
    assert verified.read is not None
    assert verified.read.rows == sum(9 if way["format"] == "csv" else 14 for way in EVERY_FORMAT)
    assert verified.read.files == verified.files
    assert verified.read.bytes == verified.bytes

    chance = random.Random(7)
    whole = {name: (buckets / stage.bucket / name).read_bytes() for name in stage.files()}

    def put(name: str, data: bytes) -> None:
        """As a disk does it that loses bits: the file's time of change stays."""
        path = buckets / stage.bucket / name
        status = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    required = [("checksum", name) for name, data in whole.items() if data]
    for number in range(4):
        for name, data in whole.items():
            damaged = bytearray(data)
            if damaged:
                place = (0, len(data) - 1)[number] if number < 2 else chance.randrange(len(data))
                damaged[place] ^= 1 << chance.randrange(8)
            put(name, bytes(damaged))
        assert found(read(stage)) == required
    for name, data in whole.items():
        put(name, data)
    assert found(read(stage)) == []


def verified_by_command(stage: Stage, *arguments: str) -> tuple[Called, Any]:
    called = stage.command("verify", "--bucket", stage.bucket, "--json", *arguments)
    return called, json.loads(called.out) if called.out.startswith("{\n") else None


def test_what_is_found_is_shown_as_a_table_or_as_json(stage: Stage, buckets: Path) -> None:
    stage.table("orders", 4)
    assert stage.run(execution="r1").code == 0
    name = "orders/orders_000000000000.csv"
    path = buckets / stage.bucket / name
    path.write_bytes(path.read_bytes().replace(b"4", b"5"))
    assert stage.command("verify", "--bucket", stage.bucket).code == 4
    called, verified = verified_by_command(stage, "--read")
    assert called.code == 4
    (finding,) = verified["findings"]
    assert (finding["kind"], finding["table"], finding["file"]) == ("checksum", "orders", name)
    shown = stage.command("verify", "r1", "--bucket", stage.bucket, "--read=100%")
    assert shown.code == 4
    assert "checksum  orders  orders/orders_000000000000.csv" in shown.out
    # A file that differs from its manifest is not read as well.
    assert "Read 0 of " in shown.out
    assert "1 difference." in shown.out
