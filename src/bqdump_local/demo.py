"""The demonstration: stack, data, ten tasks, and what came of it."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bqdump.core.codec import decode
from bqdump.core.errors import UsageError
from bqdump.core.layout import Layout
from bqdump.core.manifest import Latest, Manifest
from bqdump.core.sizes import counted, size_text
from bqdump_local import stack as local_stack
from bqdump_local.execute import Execution

PROJECT, DATASET, SOURCE, TARGET = "demo-project", "TEST_DATA", "demo-source", "demo-export"
# Small files, so that a table of a few megabytes shows what a table of many gigabytes looks like.
FILE_BYTES = 4_000_000
MARK = ".bqdump-demo"


def run_demo(tasks: int, folder: Path, run_tasks: Callable[..., Execution], *, quiet: bool) -> int:
    """Run the demonstration; returns its exit code. Everything it starts has ended when it returns.

    run_tasks: runs and shows so many `tasks` in the environment it is given.
    """
    # Whoever ends the demonstration ends all that it has started: SIGTERM is taken like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True, quiet=quiet)
    started = time.monotonic()
    _make_room(folder)
    console.print(f"Starting a local BigQuery and a local Cloud Storage; buckets are folders in [b]{folder}/[/b]")
    with local_stack.running(root=folder) as stack:
        from bqdump_local.seed import seed

        stack.jobs(shard_bytes=FILE_BYTES)
        tables = seed(stack, project=PROJECT, dataset=DATASET, bucket=SOURCE, target=TARGET)
        console.print(
            f"Uploaded {counted(len(tables) - 1, 'CSV file')} to gs://{SOURCE} and loaded them into {DATASET}: "
            f"{counted(len(tables), 'table')}"
        )
        settings = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": TARGET}
        console.print(f"Exporting with {counted(tasks, 'task')}, as Cloud Run would: [b]bqdump run[/b]")
        execution = run_tasks(settings | stack.variables(), tasks=tasks)
    if not execution.ok:
        console.print(f"[red]{counted(execution.failed, 'task')} failed[/red]")
        return 1
    _summarise(console, folder, execution, time.monotonic() - started)
    return 0


def _make_room(folder: Path) -> None:
    """Remove what an earlier demonstration has left; nothing else is ever removed. Raises UsageError."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise UsageError("run the demo in", str(folder), "it holds files that no demo has made",
                             "Move them away, or use --folder.")  # fmt: skip
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Made by bqdump demo, which may remove this folder.\n")


def _summarise(console: Console, folder: Path, execution: Execution, seconds: float) -> None:
    target = folder / TARGET
    pointer = Layout("").latest
    latest = decode((target / pointer).read_bytes(), Latest, pointer)
    manifest_file = target / latest.manifest
    manifest = decode(manifest_file.read_bytes(), Manifest, latest.manifest)
    totals = manifest.totals
    by_task = {table.task for table in manifest.tables}
    console.print(
        f"\n[green b]Published.[/green b] {counted(totals.tables, 'table')}, {counted(totals.planned_rows, 'row')}, "
        f"{counted(totals.files, 'file')}, {size_text(totals.bytes)}, the dataset as of {manifest.snapshot_time}"
    )
    console.print(
        f"{counted(len(by_task), 'task')} of {len(execution.tasks)} found work; "
        f"the execution took {execution.seconds:.1f} s, the whole demo {seconds:.1f} s"
    )
    example = next(table for table in manifest.tables if table.table == "flights" or len(manifest.tables) < 36)
    console.print(f"Look at:  {target}/dummy_01/dummy_01_000000000000.csv", markup=False)
    console.print(f"          {target}/{example.files[0].name}  and {len(example.files) - 1} more", markup=False)
    console.print(f"          {manifest_file}", markup=False)
    console.print(f"          {manifest_file.with_name('report.html')}", markup=False)
    console.print(f"In a browser:  bqdump ui --to {target}", markup=False)
