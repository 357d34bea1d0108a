"""bqdump restore: loads an export into a dataset, alone or as one task of several."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import click
import msgspec

from bqdump import verbs
from bqdump.cli.choices import (
    as_of_option,
    restore_options,
    run_name,
    run_of,
    tables_from_option,
    take,
    take_choice,
    with_names,
)
from bqdump.cli.errors import words
from bqdump.cli.logs import as_json as logs_as_json
from bqdump.cli.logs import set_up_work, work_shown
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, print_section, print_table
from bqdump.cli.signals import until_signal
from bqdump.core.documents.run import Owner
from bqdump.core.exit_codes import DIFFERENCE, DONE, TABLES_FAILED
from bqdump.core.prices import dollars, money_text, price_text
from bqdump.core.progress.events import Listener
from bqdump.core.restore.access import UNREQUESTED as WITHOUT_ACCESS
from bqdump.core.restore.chosen import EXISTING
from bqdump.core.restore.chosen import UNREQUESTED as WITHOUT_POLICIES
from bqdump.core.restore.request import RESTORE_SETTINGS, Asked, Requested, requested
from bqdump.core.restore.result import Restoration, RestoredTable, with_objects
from bqdump.core.sets.restoring import Choice
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.task_identity import identify
from bqdump.core.sizes import counted, kind_text, named, rows_text, size_text
from bqdump.core.times import time_text
from bqdump.core.wording import fill
from bqdump.restoration.changes import CHANGED, VALUES
from bqdump.restoration.task import Request
from bqdump.services.opened import Services, opened, serve
from bqdump.services.process import owner_of_command

# What restores what is restored on request only.
ON_REQUEST = {WITHOUT_POLICIES: "with_policies"}
NOT_COMPARED = "Not compared, as the files have these values alike:"
RESUME = "To resume, repeat the command."


@click.command(cls=Command, needs=("bucket", "into"))
@click.argument("run", required=False, callback=run_name)
@click.option("--plan", "planning", is_flag=True, help="Show what would be restored.")
@as_of_option("BQDUMP_RESTORE_AS_OF")
@restore_options(*RESTORE_SETTINGS)
@tables_from_option("BQDUMP_RESTORE_TABLES_FROM")
@json_option(Restoration, "Print the result as JSON, and log lines to standard error.")
@quiet_option
@settings_options("concurrency", "labels", "job_timeout", "max_bytes_billed", "price_per_tib", "trust", "newest_within")
def restore(run: str | None, planning: bool, as_of: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Restore RUN (default: the published run) into a dataset: alone, or as one task of several.

    With {dataset} in --into, restore every dataset of a set, each into a dataset of its own.

    Interrupted or failed, the same command resumes. Exits with 3 if something could not be restored, and with 4 if a
    restored table differs from the export.

    \b
    Examples:
      bqdump restore --bucket my-exports --into my-project.restored --plan
      bqdump restore --as-of yesterday --into my-project.restored
      bqdump restore bqdump-x7k2p --into my-project.restored --include 'orders,customers_*'
      bqdump restore --into my-project.sales --include orders --as orders_yesterday
      bqdump restore --bucket my-exports --prefix nightly --into 'my-project.{dataset}_restored'
    """
    options["include"] = with_names(options["include"], options.pop("tables_from"))
    yes, verify, choice = options.pop("yes"), options.pop("verify"), take_choice(options)
    finish_run, again = options.pop("finish_run"), options.pop("again")
    settings, parsed = _settings(options, verify=verify, planning=planning)
    if planning:
        run = run_of(settings, run, as_of)
        request = Request(parsed.options, run or settings.run_id, yes=yes)
        return _plan(settings, parsed, request, choice, as_json=as_json, verify=verify)
    set_up_work({}, quiet=quiet)
    identity = identify(os.environ)
    me = owner_of_command(identity, os.environ, "restore")
    run = run_of(settings, run, as_of, quiet=quiet)
    labels = {"task": str(identity.task), "dataset": parsed.options.dataset}
    with work_shown(labels, quiet=quiet) as follower:
        request = Request(parsed.options, run or settings.run_id, yes=yes, finish_run=finish_run, again=again)
        work = _restore(settings, parsed, request, choice, me, identity.tasks, follower.hear, verify=verify)
        done = finish(until_signal(work, RESUME, follower))
    if as_json:
        print_json(done)
    elif not (quiet or logs_as_json()):
        _print_result(done)
    return exit_code(done)


def exit_code(done: Restoration) -> int:
    """The exit code that a result stands for."""
    if any(failure.reason in ("rows", "values", CHANGED) for failure in done.failed):
        return DIFFERENCE
    return TABLES_FAILED if done.failed else DONE


def _settings(options: dict[str, Any], *, verify: bool, planning: bool) -> tuple[Settings, Requested]:
    """The settings, and the restore that is requested; jobs run where tables are restored. Raises UsageError."""
    own = take(options)
    settings = load_settings(options, ("bucket",))
    parsed = requested(settings, Asked(**own, verify=verify, planning=planning))
    return msgspec.structs.replace(settings, project=parsed.options.project or settings.project), parsed


def _plan(
    settings: Settings, parsed: Requested, request: Request, choice: Choice, *, as_json: bool, verify: bool
) -> int:
    def proposed(services: Services) -> Coroutine[Any, Any, Restoration]:
        tasks = verbs.restore_task(services, settings, parsed.via, request, Owner("plan", 0))
        return verbs.plan_restore(tasks, choice, values=verify)

    return show_plan(settings, proposed, as_json=as_json)


def show_plan(
    settings: Settings, proposed: Callable[[Services], Coroutine[Any, Any, Restoration]], *, as_json: bool
) -> int:
    """Show what would be restored. Returns the exit code."""
    shown = finish(serve(settings, proposed, patient=True))
    if as_json:
        print_json(shown)
    else:
        _print_plan(settings, shown)
    return DONE


async def _restore(
    settings: Settings,
    parsed: Requested,
    request: Request,
    choice: Choice,
    me: Owner,
    tasks: int,
    tell: Listener,
    *,
    verify: bool,
) -> Restoration:
    async with opened(settings, tasks, patient=True) as services:
        at_each = verbs.restore_task(services, settings, parsed.via, request, me, tasks, tell)
        return await verbs.restore(at_each, choice, values=verify)


def _print_plan(settings: Settings, shown: Restoration) -> None:
    """Print what would be restored, and what it would bill."""
    if shown.datasets:
        _print_datasets(shown)
        sys.stdout.write(f"\n{_summary(shown)} into {_target(shown)}{_bill(shown)}{_money(settings, shown)}.\n\n")
    print_table(
        ("table", "action", "rows", "bytes", "files", "jobs", "note"),
        [
            (
                t.table,
                t.action,
                rows_text(t.expected_rows),
                size_text(t.bytes),
                f"{t.files:,}",
                f"{t.jobs:,}",
                t.as_what,
            )
            for t in shown.tables
        ],
        right=(2, 3, 4, 5),
    )
    casts = [(t.table, size_text(t.bytes_billed), t.casts) for t in shown.tables if t.casts]
    print_section("Filled by a billed query:", ("table", "bills", "why"), casts, right=(1,))
    maybe = [(t.table, size_text(t.bytes_billed_at_most), t.like_null) for t in shown.tables if t.like_null]
    only_if = "Filled by a billed query only if a value reads like NULL and BigQuery refuses the files:"
    print_section(only_if, ("table", "bills", "columns"), maybe, right=(1,))
    print_altered("Not restored exactly:", shown.tables)
    objects = [(object_.name, kind_text(object_.kind), object_.action, object_.as_what) for object_ in shown.objects]
    print_section("Then:", ("object", "kind", "action", "note"), objects)
    _print_not_restored(shown)
    if shown.kept:
        sys.stdout.write(f"\nKept, as they exist: {', '.join(shown.kept)}.\n")
    if not shown.datasets:
        sys.stdout.write(f"\n{_summary(shown)} into {_target(shown)}{_bill(shown)}{_money(settings, shown)}.\n")


def _money(settings: Settings, shown: Restoration) -> str:
    """What the queries of a plan cost, "" without any."""
    most = max(shown.bytes_billed, shown.bytes_billed_at_most)
    if not most:
        return ""
    locations = sorted({dataset.location for dataset in shown.datasets} or {shown.location})
    price = settings.price_per_tib
    if len(locations) > 1 and price is None:
        return ""
    low, high = (dollars(billed, locations[0], price) for billed in (shown.bytes_billed, most))
    amount = money_text(high) if low == high else f"{money_text(low)} to {money_text(high)}"
    return f": {amount} {fill(price_text(locations, price), words())}"


def _print_datasets(shown: Restoration) -> None:
    print_table(
        ("dataset", "into", "location", "run", "tables", "objects", "rows", "bytes", "note"),
        [
            (
                dataset.dataset,
                dataset.into,
                dataset.location,
                dataset.run,
                f"{dataset.tables:,}",
                f"{dataset.objects:,}",
                f"{dataset.rows:,}",
                size_text(dataset.bytes),
                dataset.problem,
            )
            for dataset in shown.datasets
        ],
        right=(4, 5, 6, 7),
    )


def _print_result(done: Restoration) -> None:
    failed = [(object_.name, kind_text(object_.kind), object_.reason, object_.message) for object_ in done.failed]
    heads = ("object", "kind", "reason", "message")
    print_section("Not restored, as BigQuery refused it or as it differs:", heads, failed)
    _print_not_restored(done)
    if done.state != "running":
        if done.datasets:
            sys.stdout.write("\n")
            _print_datasets(done)
        restore = "" if done.datasets else f", restore {done.restore}"
        sys.stdout.write(f"\n{_summary(done)} into {_target(done)}{restore}{_bill(done)}.\n")
    if incomplete := [dataset.dataset for dataset in done.datasets if dataset.state == "incomplete"]:
        of = counted(len(done.datasets), "dataset")
        sys.stdout.write(f"Incomplete: {len(incomplete)} of {of} ({', '.join(incomplete)}). {RESUME}\n")
    if done.verified is not None:
        _print_verified(done)
        print_altered(NOT_COMPARED, done.tables)


def _print_verified(done: Restoration) -> None:
    if done.verified:
        sys.stdout.write(f"{counted(done.verified, 'table')} compared value by value: equal.\n")
    elif not any(object_.reason == VALUES for object_ in done.failed):
        sys.stdout.write("Nothing was compared value by value.\n")


def print_altered(title: str, tables: Sequence[RestoredTable]) -> None:
    """Print which values the files have alike with others, by table; nothing where there are none."""
    print_section(title, ("table", "values"), [(table.table, table.altered) for table in tables if table.altered])


def _print_not_restored(shown: Restoration) -> None:
    datasets = {dataset.dataset for dataset in shown.datasets}
    left = [object_.name for object_ in shown.not_restored if object_.reason == WITHOUT_ACCESS]
    existing = [object_.name for object_ in shown.not_restored if object_.reason == EXISTING]
    lost = [object_ for object_ in shown.not_restored if object_.reason not in (WITHOUT_ACCESS, EXISTING)]
    said = Counter((object_.kind, object_.reason) for object_ in lost if object_.name in datasets)
    of_all = [what for what, times in said.items() if times == len(datasets) > 1]
    of_some = [
        object_ for object_ in lost if object_.name not in datasets or (object_.kind, object_.reason) not in of_all
    ]
    rows = [("every dataset", kind_text(kind), _why(reason)) for kind, reason in of_all]
    rows += [(object_.name, kind_text(object_.kind), _why(object_.reason)) for object_ in of_some]
    print_section("Not restored:", ("object", "kind", "why"), rows)
    if existing:
        sys.stdout.write(f"\nLeft as they are: the properties of {named(existing, 3)}, as the target exists\n")
    if left:
        sys.stdout.write(f"\nLeft as it is: access to {named(left, 3)} ({words().setting('with_access', '')})\n")


def _why(reason: str) -> str:
    return f"{reason} ({words().setting(ON_REQUEST[reason], '')})" if reason in ON_REQUEST else reason


def _bill(shown: Restoration) -> str:
    if shown.bytes_billed_at_most > shown.bytes_billed:
        return f"; queries bill {size_text(shown.bytes_billed)} to {size_text(shown.bytes_billed_at_most)}"
    return f"; queries bill about {size_text(shown.bytes_billed)}" if shown.bytes_billed else ""


def _summary(shown: Restoration) -> str:
    datasets = f"{counted(len(shown.datasets), 'dataset')} with " if shown.datasets else ""
    return (
        f"{datasets}{with_objects(len(shown.tables), len(shown.objects))}, {counted(shown.rows, 'row')}, "
        f"{size_text(shown.bytes)} of run {shown.run} (as of {time_text(shown.snapshot_time)})"
    )


def _target(shown: Restoration) -> str:
    into = f"{shown.project}.{shown.dataset}" if shown.dataset else "a new dataset"
    return f"{into} ({shown.location})" if shown.location else into
