"""bqdump drill: proves that an export can be restored."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Coroutine
from typing import Any

import click
import msgspec

from bqdump import verbs
from bqdump.cli.choices import as_of_option, restore_options, run_name, run_of, tables_from_option, with_names
from bqdump.cli.commands.restore import NOT_COMPARED, show_plan
from bqdump.cli.logs import as_json as logs_as_json
from bqdump.cli.logs import labels_of, set_up_work, work_shown
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, print_section
from bqdump.cli.signals import until_stopped
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.exit_codes import DRILLED
from bqdump.core.restore.drill import Drilled, Sample, sample_of
from bqdump.core.restore.request import DRILL_SETTINGS, Requested, refuse_empty, requested_drill
from bqdump.core.restore.result import Restoration
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.task_identity import identify
from bqdump.core.settings.values import patterns
from bqdump.core.sizes import counted, kind_text, size_text
from bqdump.core.times import time_text
from bqdump.restoration.task import Request
from bqdump.services.opened import Services, serve


@click.command(cls=Command, needs=("project", "bucket"))
@click.argument("run", required=False, callback=run_name)
@click.option("--plan", "planning", is_flag=True, help="Show what would be restored, and what it would bill.")
@as_of_option("BQDUMP_DRILL_AS_OF")
@restore_options(*DRILL_SETTINGS)
@tables_from_option("BQDUMP_DRILL_TABLES_FROM")
@json_option(Drilled, "Print the result as JSON, and log lines to standard error.")
@quiet_option
@settings_options(
    *("concurrency", "labels", "job_timeout", "max_bytes_billed", "price_per_tib", "notify", "ping"),
    *("sign", "trust", "newest_within"),
)
def drill(
    run: str | None,
    planning: bool,
    as_of: str | None,
    include: tuple[str, ...],
    tables_from: str | None,
    with_policies: bool,
    scratch_project: str | None,
    tables: int | None,
    sample: str | None,
    via: str | None,
    finish_run: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Prove that RUN (default: the published run) can be restored.

    Restores it into a scratch dataset, compares every value with the files, and deletes the dataset. Of a set,
    datasets are drilled one by one. The result is stored next to the export. Exits with 3 if something was not
    restored, and with 4 if a restored table differs.

    \b
    Examples:
      bqdump drill --bucket my-exports --project my-project --plan
      bqdump drill --bucket my-exports --project my-project
      bqdump drill --bucket my-exports --scratch-project my-sandbox --sample 10%
      bqdump drill --include 'orders*' --with-policies
    """
    settings = load_settings(options, ("bucket",))
    size = sample_of(tables, sample or "")
    refuse_empty("include", ",".join(include) if include else ())
    parsed = requested_drill(
        settings,
        scratch_project=scratch_project or "",
        via=via or "",
        include=with_names(patterns(",".join(include)), tables_from),
        with_policies=with_policies,
        in_turn=size != Sample(),
    )
    # Jobs run where the tables are restored, unless another project pays for them.
    settings = msgspec.structs.replace(settings, project=parsed.options.project)
    if planning:
        run = run_of(settings, run, as_of)
        return _plan(settings, parsed, run or settings.run_id, size, as_json=as_json)
    me = _owner()
    labels = labels_of(settings, task="0")
    set_up_work(labels, quiet=quiet)
    run = run_of(settings, run, as_of, quiet=quiet)
    with work_shown(labels, quiet=quiet) as follower:
        request = Request(parsed.options, run or settings.run_id, finish_run=finish_run)

        async def work(services: Services) -> Drilled:
            tasks = verbs.restore_task(services, settings, parsed.via, request, me, tell=follower.hear)
            return await verbs.drill(tasks, size)

        done = finish(until_stopped(serve(settings, work, patient=True), follower))
    if as_json:
        print_json(done)
    elif not (quiet or logs_as_json()):
        _print_result(done)
    return DRILLED[done.state]


def _plan(settings: Settings, parsed: Requested, run: str, size: Sample, *, as_json: bool) -> int:
    request, me = Request(parsed.options, run), Owner("plan", 0)

    def proposed(services: Services) -> Coroutine[Any, Any, Restoration]:
        return verbs.plan_drill(verbs.restore_task(services, settings, parsed.via, request, me), size)

    return show_plan(settings, proposed, as_json=as_json)


def _owner() -> Owner:
    """The identity of this drill. Raises UsageError where it would be one of several tasks."""
    identity = identify(os.environ)
    if identity.tasks > 1:
        cause = f"task {identity.task} of {identity.tasks}: a drill is one task, and each task would be a drill"
        raise UsageError("drill", "", cause, "Set the number of tasks to 1, or drill some tables at a time.")
    return Owner(identity.execution or f"drill-{secrets.token_hex(4)}", 0)


def _print_result(done: Drilled) -> None:
    problems = [(p.name, kind_text(p.kind), p.reason, p.message) for p in (*done.different, *done.failed)]
    print_section("Not proven:", ("object", "kind", "reason", "message"), problems)
    lost = [(object_.name, kind_text(object_.kind), object_.reason) for object_ in done.not_restored]
    print_section("Not restored:", ("object", "kind", "why"), lost)
    print_section(NOT_COMPARED, ("table", "values"), list(done.altered.items()))
    objects = f" and {counted(done.objects, 'other object')}" if done.objects else ""
    billed = f", {size_text(done.bytes_billed)} billed" if done.bytes_billed else ""
    sys.stdout.write(
        f"\n{len(done.tables):,} of {counted(done.of, 'table')}{objects} of run {done.run} "
        f"(as of {time_text(done.snapshot_time)}) came back: {counted(done.rows, 'row')}, {size_text(done.bytes)}, "
        f"{done.seconds:,.0f} s{billed}.\n"
    )
