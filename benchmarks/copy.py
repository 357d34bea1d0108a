"""`bqdump copy` to S3, compared with `rclone copy` and `rclone check`, and with `aws s3 sync`.

Each copies the same export from a folder to an empty S3 server (moto) on this machine: many small files, then a few
large ones. The server is new for each copy, has answered one request before, and shares the processors with it. With
`--latency`, it waits before each answer, as a service's own does: then what counts is how many answers a copy waits
for, and how many at the same time, more than what the server takes of the processors.

bqdump compares each file with the manifest as it passes, and records its SHA-256. The others are measured with what
proves that the copy is complete and as the folder: `rclone check` compares MD5s, and for aws, ETags of one listing are
compared with MD5s of the files (benchmarks/etags.py), which takes less than to read the copy back. `aws s3 sync` alone,
which sends a checksum with each upload and compares nothing afterwards, is shown for information.

A tool that is not in PATH, or that fails, is named and left out.

    python -m benchmarks.copy [--bytes 200000000] [--files 1000 4] [--rounds 1] [--latency 0]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from benchmarks.size import sized
from botocore.session import get_session

from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.copying.run import copy
from bqdump.copying.survey import Place, Task
from bqdump.core.documents.run import Owner
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import FOLDER, Target
from bqdump.export.run import run
from bqdump.export.task import Task as Exporting
from bqdump_memory import MemoryWarehouse

FILES, BYTES = sized([1_000, 4], [3]), sized(200_000_000, 3_000)
NOW = 1_790_000_000_000
BUCKET = "copies"
# It verifies nothing.
ALONE = "aws s3 sync"
# Variables of contenders.
OWN = ("AWS_", "RCLONE_")


class Measured(NamedTuple):
    """What the commands of a contender took: seconds, seconds of CPU, and the bytes of the largest process."""

    wall: float
    cpu: float
    peak: int


def commands(folder: str) -> dict[str, list[list[str]]]:
    """What each contender runs, one after another."""
    sync = ["aws", "s3", "sync", folder, f"s3://{BUCKET}/x", "--only-show-errors"]
    query = "Contents[].[Key,ETag]"
    listing = ["aws", "s3api", "list-objects-v2", "--bucket", BUCKET, "--query", query, "--output", "text"]
    comparison = [sys.executable, "-IS", str(Path(__file__).parent / "etags.py"), folder, "x/"]
    return {
        "bqdump copy": [[sys.executable, "-m", "bqdump", "copy", f"s3://{BUCKET}/x", "--to", folder, "--quiet"]],
        "rclone copy, check": [
            ["rclone", what, folder, f":s3:{BUCKET}/x", "--config", os.devnull, "--quiet"] for what in ("copy", "check")
        ],
        "aws s3 sync, ETags": [sync, ["sh", "-c", f"{shlex.join(listing)} | {shlex.join(comparison)}"]],
        ALONE: [sync],
    }


def make(folder: str, files: int, size: int) -> None:
    """Store an export of so many tables, each with one file of `size` bytes."""
    store, settings = MemoryStore(), Settings(project="p", dataset="d", target=Target("gs", "memory"))
    settings = msgspec.structs.replace(settings, path="{run}/{table}/{table}_*.{ext}")
    warehouse = MemoryWarehouse(store, lambda: NOW)
    for number in range(files):
        row = random.Random(number).randbytes(size // 2).hex()
        warehouse.put("p", "d", f"table_{number:04}", [row[: size - 1].ljust(size - 1, "0")])
    there = FolderStore(Path(folder))
    sides = Place(store, settings), Place(there, msgspec.structs.replace(settings, target=Target(FOLDER, folder)))

    async def both() -> None:
        await run(Exporting(store, warehouse, settings, "run", Owner("run", 0), 1))
        await copy(Task(*sides, StreamMover(store, there), Owner("copy", 0), NOW), (), Policy(), every=False)

    asyncio.run(both())


def serve(latency: float) -> None:
    """Serve S3 until the standard input ends. Prints the address. latency: seconds before each answer."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from s3_server import s3_server

    with s3_server() as server:
        server.bucket(BUCKET)
        # The first request imports most of the server.
        stored({"AWS_ENDPOINT_URL_S3": server.address})
        server.seconds = latency
        print(server.address, flush=True)
        sys.stdin.read()


@contextmanager
def serving(latency: float) -> Iterator[dict[str, str]]:
    """An empty server in a process of its own; the variables by which each contender finds it."""
    command = [sys.executable, "-m", "benchmarks.copy", "--serve", "--latency", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        address = server.stdout.readline().strip()
        signing = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        rclone = {"PROVIDER": "Other", "ENDPOINT": address, "ENV_AUTH": "true", "NO_CHECK_BUCKET": "true"}
        yield {
            # The bytecode of packages is part of an installation: what is missing is stored by the first start.
            **{name: value for name, value in os.environ.items() if not name.startswith((*OWN, "PYTHONDONTWRITE"))},
            **signing,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": address,
            "NO_PROXY": "127.0.0.1",
            **{f"RCLONE_S3_{name}": value for name, value in rclone.items()},
        }
        server.stdin.close()


def stored(env: dict[str, str]) -> list[int]:
    """The sizes of the copied files."""
    client = get_session().create_client(
        "s3",
        "us-east-1",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [one["Size"] for page in pages for one in page.get("Contents", ()) if one["Key"].endswith(".csv")]


def measured(steps: list[list[str]], files: int, size: int, latency: float) -> Measured | str:
    """Copy once; or in words, why that was not possible."""
    wall, cpu, peak = 0.0, 0.0, 0
    with serving(latency) as env:
        for step in steps:
            if not shutil.which(step[0]):
                return f"{step[0]} is not installed"
            started = time.monotonic()
            with tempfile.TemporaryFile() as told:
                process = subprocess.Popen(step, env=env, stdout=told, stderr=told)
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                told.seek(0)
                if process.returncode:
                    return f"exit code {process.returncode}: {told.read().decode().strip()[-300:]}"
            wall += time.monotonic() - started
            cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * 1024)
        assert stored(env) == [size] * files, "files are missing in the copy"
    return Measured(wall, cpu, peak)


def compare(files: int, total: int, rounds: int, latency: float) -> None:
    """Print the best round of each contender, and bqdump's ratios to the faster of those that verify, and to aws.

    The contenders take turns, in one order and in the other: what other processes take of the processors changes.
    """
    best: dict[str, Measured] = {}
    left_out: dict[str, str] = {}
    size = total // files
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: the peak of a process that this one starts includes the memory of this one.
        making = [sys.executable, "-m", "benchmarks.copy", "--make", f"{folder}/export", str(files), str(size)]
        subprocess.run(making, check=True)
        print(f"{files:,} files of {size / 1e6:.2f} MB {'wall s':>12} {'cpu s':>7} {'peak MB':>8}")
        contenders = list(commands(f"{folder}/export").items())
        for number in range(rounds):
            for name, steps in contenders if number % 2 == 0 else reversed(contenders):
                found = left_out.get(name) or measured(steps, files, size, latency)
                if isinstance(found, str):
                    left_out[name] = found
                    continue
                known = best.get(name, found)
                best[name] = Measured(
                    min(known.wall, found.wall), min(known.cpu, found.cpu), max(known.peak, found.peak)
                )
        for name, _ in contenders:
            if name in left_out:
                best.pop(name, None)
                print(f"{name:20} left out: {left_out[name]}")
            else:
                print(f"{name:20} {best[name].wall:15.2f} {best[name].cpu:7.2f} {best[name].peak / 1e6:8.0f}")
    ours = best.pop("bqdump copy", None)
    alone = best.pop(ALONE, None)
    faster = min(best, key=lambda name: best[name].wall, default="")
    for name, other in ((f"the faster with verification ({faster})", best.get(faster)), (ALONE, alone)):
        if ours and other:
            wall, cpu, peak = (f"{one / another:.2f}" for one, another in zip(ours, other, strict=True))
            print(f"bqdump, relative to {name}: wall {wall}, cpu {cpu}, peak {peak}")
    print()


def main() -> None:
    """Print a table for each number of files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, default=BYTES)
    parser.add_argument("--files", type=int, nargs="+", default=FILES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer of the server")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.latency)
    if options.make:
        folder, files, size = options.make
        return make(folder, int(files), int(size))
    for files in options.files:
        compare(files, options.bytes, options.rounds, options.latency)
    return None


if __name__ == "__main__":
    main()
