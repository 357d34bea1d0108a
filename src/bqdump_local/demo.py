"""The demo: back up a dataset as `bqdump init` sets it up, for three nights; delete it, and restore it.

Everything runs on a local stack. The demo prints a line for each step, and ends with what to look at.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

import bqdump
from bqdump.core.errors import UsageError
from bqdump.core.restore.result import Restoration, with_objects
from bqdump.core.settings.file import backup, settings_file
from bqdump.core.sizes import counted, listed, size_text
from bqdump.services.process import CONFIG
from bqdump_local import stack as local_stack
from bqdump_local.execute import Execution

PROJECT, DATASET, SOURCE, TARGET = "my-project", "sales", "my-files", "my-exports"
# A small file size, so that a table of a megabyte has as many files as a much larger one.
FILE_BYTES = 500_000
# Of a table that is real data: as many rows as are restored and compared in a second.
ROWS = 30_000
MARK = ".bqdump-demo"
# They change between the second and the third night.
CHANGED = ("dummy_02", "dummy_03")


def run_demo(tasks: int, folder: Path, run_tasks: Callable[..., Execution], *, quiet: bool) -> int:
    """Run the demo; returns its exit code. Everything it starts has ended when it returns.

    run_tasks: runs and shows this number of `tasks` in the given environment.
    """
    # SIGTERM is handled like Ctrl-C, so that ending the demo ends everything it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True, quiet=quiet)
    _make_room(folder)
    config = folder / CONFIG
    config.write_text(settings_file(backup({"project": PROJECT, "dataset": DATASET, "bucket": TARGET})))
    with local_stack.running(root=folder) as stack:
        seeded = seed_demo(stack)
        console.print(f"{counted(seeded, 'table')} in {PROJECT}.{DATASET}, on a local BigQuery and Cloud Storage.")
        console.print(f"[b]bqdump init[/b] wrote {config}: Parquet, a folder for each run, --incremental, retention.")
        execution = run_tasks(
            {"BQDUMP_CONFIG": str(config.absolute()), "BQDUMP_RUN_ID": "night-1", **stack.variables()}, tasks=tasks
        )
        if not execution.ok:
            console.print(f"[red]{counted(execution.failed, 'task')} failed[/red]")
            return 1
        os.environ.update(stack.variables())
        _show_night(console, _night(config, "night-1", execution.seconds), f" with {counted(tasks, 'task')}")
        # The tasks of the first night have shown the warnings.
        logging.getLogger("bqdump").setLevel(logging.ERROR)
        for night in _later_nights(stack, config):
            _show_night(console, night)
        delete(stack)
        console.print(f"[red b]The dataset {DATASET} is deleted.[/red b]")
        began = time.monotonic()
        restored = bqdump.restore(into=DATASET, verify=True, config=str(config))
        _show_restored(console, restored, time.monotonic() - began)
    _show_places(console, folder / TARGET)
    return 1 if restored.failed else 0


def seed_demo(stack: local_stack.Stack) -> int:
    """Make the dataset and the bucket of the demo on a stack. Returns the number of tables and views."""
    from bqdump_local.seed import dummies, first_rows, nycflights13, seed, seed_orders, special

    stack.jobs(shard_bytes=FILE_BYTES)
    sources = [*dummies(), *special(), *(first_rows(source, ROWS) for source in nycflights13())]
    tables = seed(stack, project=PROJECT, dataset=DATASET, bucket=SOURCE, target=TARGET, sources=sources)
    return len(tables + seed_orders(stack, project=PROJECT, dataset=DATASET))


def delete(stack: local_stack.Stack) -> None:
    """Delete the dataset, with its tables."""
    from bqdump_local.seed import drop

    drop(stack, project=PROJECT, dataset=DATASET)


class Night(NamedTuple):
    """A run and the seconds that it took. saved, bytes: of unchanged tables, and of all."""

    run: str
    tables: int
    reused: int
    saved: int
    bytes: int
    seconds: float


def _later_nights(stack: local_stack.Stack, config: Path) -> Iterator[Night]:
    """Two more runs. Until the second, no table has been seen both before and after an export."""
    from bqdump_local.seed import change

    for name in ("night-2", "night-3"):
        if name == "night-3":
            change(stack, project=PROJECT, dataset=DATASET, tables=CHANGED)
        began = time.monotonic()
        bqdump.run(config=str(config), run_id=name)
        yield _night(config, name, time.monotonic() - began)


def _night(config: Path, run: str, seconds: float) -> Night:
    tables = bqdump.manifest(run, config=str(config)).values()
    reused = [table for table in tables if table.carried_from]
    saved, total = (sum(table.bytes for table in some) for some in (reused, tables))
    return Night(run, len(tables), len(reused), saved, total, seconds)


def _make_room(folder: Path) -> None:
    """Remove the files of an earlier demo, and nothing else.

    Raises UsageError for a folder with other files, and for one that cannot be written.
    """
    try:
        _emptied(folder)
    except OSError as error:
        cause = error.strerror or str(error)
        raise UsageError("run the demo in", str(folder), cause, "Choose another --folder.") from None


def _emptied(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            cause = "the folder contains files that are not from a demo"
            raise UsageError("run the demo in", str(folder), cause, "Move them, or choose another --folder.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Made by bqdump demo, which may remove this folder.\n")


def _show_night(console: Console, night: Night, how: str = "") -> None:
    changed = f"{listed(CHANGED, 'and')} changed: " if night.reused else ""
    unchanged = f", {night.reused} unchanged ({size_text(night.saved)})" if night.reused else ""
    console.print(
        f"[b]bqdump run[/b]{how}, {night.run}: {changed}[green b]exported[/green b] {night.tables - night.reused} of "
        f"{counted(night.tables, 'table')}, {size_text(night.bytes - night.saved)}{unchanged}, in {night.seconds:.1f} s"
    )


def _show_restored(console: Console, restored: Restoration, seconds: float) -> None:
    for failure in restored.failed:
        console.print(f"[red]{failure.name}: {failure.message}[/red]")
    equal = "" if restored.failed else f", {counted(restored.verified or 0, 'table')} compared value by value: equal"
    console.print(
        f"[b]bqdump restore --into {DATASET} --verify[/b]: [green b]restored[/green b] "
        f"{with_objects(len(restored.tables), len(restored.objects))}, {counted(restored.rows, 'row')}{equal}, "
        f"in {seconds:.1f} s"
    )


def _show_places(console: Console, target: Path) -> None:
    for label, place in (
        ("Files", min((target / "night-1/readings").iterdir())),
        ("Report", next(target.glob("_bqdump/runs/night-3/report.html"))),
        ("Console", f"{started_as()} ui --to {shlex.quote(str(target))}"),
    ):
        console.print(f"{label + ':':<9}{place}", markup=False)


def started_as() -> str:
    """The command that starts this bqdump from the same shell and folder."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m bqdump"
    executable = shutil.which(called.name)
    on_path = executable is not None and Path(executable).resolve() == called.resolve()
    return called.name if on_path else shlex.quote(str(called))
