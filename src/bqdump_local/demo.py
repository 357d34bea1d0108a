"""The demo: start the local stack, make data, export it with ten tasks, restore three tables, export it twice more.

The last export is of a dataset in which two tables changed. A drill then proves that it can be restored. The demo ends
with a list of what to look at.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

import bqdump
from bqdump.core.documents.codec import decode
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.target import Latest
from bqdump.core.errors import UsageError
from bqdump.core.restore.drill import Drilled
from bqdump.core.restore.result import Restoration, with_objects
from bqdump.core.sizes import counted, listed, size_text
from bqdump_local import stack as local_stack
from bqdump_local.execute import Execution

PROJECT, DATASET, SOURCE, TARGET = "demo-project", "TEST_DATA", "demo-source", "demo-export"
# A small file size, so that a table of a few megabytes has as many files as a much larger one.
FILE_BYTES = 4_000_000
MARK = ".bqdump-demo"
# They change between the second and the third export.
CHANGED = ("dummy_02", "dummy_03")
# As many as take a second.
DRILLED = 8
# Restored into a second dataset: a partitioned and clustered table, a nested one, and a view.
RESTORED, COPY = ("events", "orders", "clicks_by_day"), "RESTORED_DATA"


def run_demo(tasks: int, folder: Path, run_tasks: Callable[..., Execution], *, quiet: bool) -> int:
    """Run the demo; returns its exit code. Everything it starts has ended when it returns.

    run_tasks: runs and shows this number of `tasks` in the given environment.
    """
    # SIGTERM is handled like Ctrl-C, so that ending the demo ends everything it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True, quiet=quiet)
    started = time.monotonic()
    _make_room(folder)
    console.print(f"Starting a local BigQuery and a local Cloud Storage. Buckets are folders in [b]{folder}/[/b]")
    with local_stack.running(root=folder) as stack:
        from bqdump_local.seed import seed, seed_orders

        stack.jobs(shard_bytes=FILE_BYTES)
        tables = seed(stack, project=PROJECT, dataset=DATASET, bucket=SOURCE, target=TARGET)
        files = len(tables) - 1
        tables += seed_orders(stack, project=PROJECT, dataset=DATASET)
        console.print(
            f"Uploaded {counted(files, 'CSV file')} to gs://{SOURCE} and loaded them into {DATASET} "
            f"({counted(len(tables), 'table')})"
        )
        settings = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": TARGET}
        # CSV has no nested values: they are exported as JSON text, and restored from it.
        settings["BQDUMP_ON_UNSUPPORTED"] = "string"
        console.print(f"Exporting with {counted(tasks, 'task')} of [b]bqdump run[/b], like a Cloud Run job")
        execution = run_tasks(settings | stack.variables(), tasks=tasks)
        if not execution.ok:
            console.print(f"[red]{counted(execution.failed, 'task')} failed[/red]")
            return 1
        manifest = _published(folder)
        console.print(f"Restoring {listed(RESTORED, 'and')} into {COPY}, like [b]bqdump restore --verify[/b]")
        os.environ.update(stack.variables())
        restored = bqdump.restore(into=COPY, include=RESTORED, verify=True, project=PROJECT, bucket=TARGET)
        console.print(
            f"Exporting twice more with [b]bqdump run --incremental[/b]; before the last time, "
            f"{listed(CHANGED, 'and')} change"
        )
        # The tasks of the first export have shown the warnings.
        logging.getLogger("bqdump").setLevel(logging.ERROR)
        nights = _nights(stack)
        console.print(
            f"Restoring {DRILLED} tables into a temporary dataset, like [b]bqdump drill --tables {DRILLED}[/b]"
        )
        drilled = bqdump.drill(project=PROJECT, bucket=TARGET, tables=DRILLED)
    problems = (*(f"{failure.name}: {failure.message}" for failure in restored.failed), *drilled.problems)
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    _summarise(console, manifest, restored, nights)
    _show_proof(console, drilled)
    _show_places(console, folder / TARGET, manifest, execution, time.monotonic() - started)
    return 1 if problems else 0


class Night(NamedTuple):
    """An incremental export, and the seconds that it took. saved: bytes of unchanged tables."""

    export: bqdump.Export
    seconds: float
    saved: int


def _nights(stack: local_stack.Stack) -> list[Night]:
    """Two incremental exports. The first one exports all: only then is there a look at tables before and after one."""
    from bqdump_local.seed import change

    nights = []
    for name in ("second", "third"):
        began = time.monotonic()
        export = bqdump.run(
            project=PROJECT,
            dataset=DATASET,
            bucket=TARGET,
            on_unsupported="string",
            incremental=True,
            run_id=name,
        )
        seconds = time.monotonic() - began
        tables = bqdump.manifest(name, bucket=TARGET).values()
        nights.append(Night(export, seconds, sum(table.bytes for table in tables if table.carried_from)))
        if name == "second":
            change(stack, project=PROJECT, dataset=DATASET, tables=CHANGED)
    return nights


def _published(folder: Path) -> Manifest:
    """The manifest of the published export."""
    pointer = Layout("").latest.name
    latest = decode((folder / TARGET / pointer).read_bytes(), Latest, pointer)
    return decode((folder / TARGET / latest.manifest).read_bytes(), Manifest, latest.manifest)


def _make_room(folder: Path) -> None:
    """Remove the files of an earlier demo, and nothing else. Raises UsageError for a folder with other files."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            cause = "the folder contains files that are not from a demo"
            raise UsageError("run the demo in", str(folder), cause, "Move them, or choose another --folder.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Made by bqdump demo, which may remove this folder.\n")


def _summarise(
    console: Console,
    manifest: Manifest,
    restored: Restoration,
    nights: list[Night],
) -> None:
    totals = manifest.totals
    rows = sum(table.planned_rows if table.rows is None else table.rows for table in manifest.tables)
    console.print(
        f"\n[green b]Published[/green b] {counted(totals.tables, 'table')}, {counted(rows, 'row')}, "
        f"{counted(totals.files, 'file')}, {size_text(totals.bytes)}, as of {manifest.snapshot_time}"
    )
    equal = "" if restored.failed else f", {counted(restored.verified or 0, 'table')} compared value by value: equal"
    console.print(
        f"[green b]Restored[/green b] {with_objects(len(restored.tables), len(restored.objects))}, "
        f"{counted(restored.rows, 'row')}{equal}"
    )
    for night in nights:
        of = night.export
        unchanged = f", {of.reused:,} unchanged ({size_text(night.saved)})" if of.reused else ""
        console.print(
            f"[green b]Exported[/green b] {of.tables - of.reused} of {counted(of.tables, 'table')} in the {of.run} "
            f"export{unchanged}, in {night.seconds:.1f} s"
        )


def _show_proof(console: Console, drilled: Drilled) -> None:
    style, word = ("green b", "Proven") if drilled.state == "proven" else ("red b", "Not proven")
    console.print(
        f"[{style}]{word}[/{style}] restorable: {len(drilled.tables)} of {counted(drilled.of, 'table')} of the "
        f"{drilled.run} export, {counted(drilled.rows, 'row')} compared value by value: "
        f"{'equal' if drilled.state == 'proven' else drilled.state}"
    )


def _show_places(console: Console, target: Path, manifest: Manifest, execution: Execution, seconds: float) -> None:
    manifest_file = target / Layout("").run(manifest.run).manifest.name
    by_task = {table.task for table in manifest.tables}
    console.print(
        f"{len(by_task)} of {counted(len(execution.tasks), 'task')} exported tables. "
        f"The execution took {execution.seconds:.1f} s, the complete demo {seconds:.1f} s"
    )
    example = next(table for table in manifest.tables if table.table == "flights" or len(manifest.tables) < 36)
    more = len(example.files) - 1
    console.print(f"Look at:       {target}/dummy_01/dummy_01_000000000000.csv", markup=False)
    console.print(f"               {target}/{example.files[0].name}  and {counted(more, 'more file')}", markup=False)
    console.print(f"               {manifest_file}", markup=False)
    console.print(f"               {manifest_file.with_name('report.html')}", markup=False)
    console.print(f"In a browser:  {started_as()} ui --to {shlex.quote(str(target))}", markup=False)


def started_as() -> str:
    """The command that starts this bqdump from the same shell and folder."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m bqdump"
    executable = shutil.which(called.name)
    on_path = executable is not None and Path(executable).resolve() == called.resolve()
    return called.name if on_path else shlex.quote(str(called))
