"""Restoring, as functions of the Python API."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, Unpack, cast, overload

import msgspec

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.api.calls import (
    OF_TARGET,
    TargetOptions,
    finish,
    python_words,
    run_of,
    settings_of,
    with_settings,
)
from bqdump.core.documents.run import Owner
from bqdump.core.restore.drill import Drilled, Sample, sample_of
from bqdump.core.restore.listing import RestoreList
from bqdump.core.restore.request import Asked, parse_via, requested, requested_drill
from bqdump.core.restore.result import Restoration
from bqdump.core.sets.restoring import Choice
from bqdump.core.settings.values import patterns
from bqdump.restoration.task import Request
from bqdump.services.opened import serve


class RestoreOptions(TargetOptions, total=False):
    """The settings that a restore uses; see Options."""

    concurrency: int | str | None
    labels: Mapping[str, str] | None
    job_timeout: str | timedelta | None
    notify: str | None
    ping: str | None
    max_bytes_billed: int | str | None


class DrillOptions(RestoreOptions, total=False):
    """What a drill takes in addition."""

    as_of: str | datetime
    include: str | Sequence[str]
    with_policies: bool
    scratch_project: str
    tables: int | None
    sample: str
    via: str
    finish_run: bool


@with_settings((*OF_TARGET, "project", "concurrency", "labels", "job_timeout", "max_bytes_billed"))
def restore(
    run: str = "",
    *,
    into: str = "",
    as_of: str | datetime = "",
    plan: bool = False,
    datasets: str | Sequence[str] = (),
    exclude_datasets: str | Sequence[str] = (),
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    partitions: str | Sequence[str] = (),
    as_: str = "",
    schema_only: bool = False,
    data_only: bool = False,
    replace: bool = False,
    missing_only: bool = False,
    with_policies: bool = False,
    with_access: bool = False,
    keep_references: bool = False,
    verify: bool = False,
    via: str = "",
    finish_run: bool = False,
    again: bool = False,
    yes: bool = False,
    **options: Unpack[RestoreOptions],
) -> Restoration:
    """Restore a run (default: the published run) into a dataset. What failed is listed in `failed`, not raised.

    The same call resumes a restore that was interrupted or is incomplete.
    into: the dataset, as "project.dataset", or "dataset" of `project`; it is created if it does not exist. "{dataset}"
    stands for the exported dataset's name; a set requires it, as each of its datasets is restored.
    as_of: in place of a run, the newest one whose snapshot time is not later: an aware datetime, or a string as on the
    command line.
    plan: only show what would be restored, and what it would bill; without `into`, into a new dataset.
    datasets, exclude_datasets: patterns of the datasets of a set.
    include, exclude: patterns of the names of tables and other objects.
    as_: the name of the restored table; "{table}" in it stands for its name in the export, as several tables require.
    schema_only: restore definitions only; every table is empty.
    data_only: restore rows only, into empty tables that exist; with `replace`, also in place of other rows.
    replace: replace tables that exist in the dataset, each atomically.
    missing_only: restore only what the dataset lacks, and tables that another restore left unfinished.
    with_policies: also restore row access policies.
    with_access: also grant the dataset's access entries, in addition to those that the target has.
    keep_references: keep references in views to the source dataset.
    partitions: restore only these partitions of these tables: "clicks$20261101", or "clicks$20261101..20261130".
    verify: also compare checksums of every column with the files; BigQuery bills one query per table.
    via: gs://bucket for the documents of the restore, and for uploads of a local folder's files.
    finish_run: first finish a run that was stopped while it replaced the published files.
    again: replace again what a finished restore of the same replaced, with all rows that were added since.
    yes: confirm a restore into the dataset that was exported.
    """
    settings = settings_of(cast("Options", options), ("bucket",))
    with python_words():
        asked = Asked(
            into=into,
            include=include,
            exclude=exclude,
            partitions=partitions,
            as_=as_,
            schema_only=schema_only,
            data_only=data_only,
            replace=replace,
            missing_only=missing_only,
            with_policies=with_policies,
            with_access=with_access,
            keep_references=keep_references,
            verify=verify,
            via=via,
            planning=plan,
        )
        parsed = requested(settings, asked)
        choice = Choice(patterns(datasets), patterns(exclude_datasets))
    run = run_of(settings, run, as_of)
    # Jobs run where the tables are restored, unless another project pays for them.
    settings = msgspec.structs.replace(settings, project=parsed.options.project or settings.project)
    request = Request(parsed.options, run or settings.run_id, yes=yes, finish_run=finish_run, again=again)
    me = Owner(f"restore-{secrets.token_hex(4)}", 0)

    verb = verbs.plan_restore if plan else verbs.restore

    tasks = partial(verbs.restore_task, settings=settings, via=parsed.via, request=request, owner=me)
    return finish(serve(settings, lambda at: verb(tasks(at), choice, values=verify), patient=True))


@overload
def drill(run: str = "", *, plan: Literal[False] = False, **options: Unpack[DrillOptions]) -> Drilled: ...
@overload
def drill(run: str = "", *, plan: Literal[True], **options: Unpack[DrillOptions]) -> Restoration: ...
@with_settings((*OF_TARGET, "project", "concurrency", "labels", "job_timeout", "max_bytes_billed", "notify", "ping"))
def drill(
    run: str = "",
    *,
    as_of: str | datetime = "",
    plan: bool = False,
    include: str | Sequence[str] = (),
    with_policies: bool = False,
    scratch_project: str = "",
    tables: int | None = None,
    sample: str = "",
    via: str = "",
    finish_run: bool = False,
    **options: Unpack[RestoreOptions],
) -> Drilled | Restoration:
    """Prove that a run (default: the published run) can be restored. What differs or failed is listed, not raised.

    The run is restored into a scratch dataset and compared value by value; BigQuery bills one query per table. The
    dataset is always deleted, and the result is stored next to the export. Of a set, datasets are drilled one by one,
    and their tables are named `sales.orders`.
    as_of: in place of a run, the newest one whose snapshot time is not later: an aware datetime, or a string as on the
    command line.
    plan: only show what would be restored, and what it would bill.
    include: patterns of the names of tables and other objects, instead of `tables` and `sample`.
    with_policies: also restore row access policies, after the comparison.
    scratch_project: the project of the scratch dataset (default: `project`).
    tables: restore this many tables, in turn: the next drill continues with the tables after them.
    sample: restore this share of the tables, such as "10%"; the next drill continues after them.
    via: gs://bucket for uploads of a local folder's files.
    finish_run: first finish a run that was stopped while it replaced the published files.
    """
    settings = settings_of(cast("Options", options), ("bucket",))
    with python_words():
        size = sample_of(tables, sample)
        parsed = requested_drill(
            settings,
            scratch_project=scratch_project,
            via=via,
            include=include,
            with_policies=with_policies,
            in_turn=size != Sample(),
        )
    run = run_of(settings, run, as_of)
    settings = msgspec.structs.replace(settings, project=parsed.options.project)
    request = Request(parsed.options, run or settings.run_id, finish_run=finish_run)
    me = Owner(f"drill-{secrets.token_hex(4)}", 0)
    verb: Callable[..., Awaitable[Drilled | Restoration]] = verbs.plan_drill if plan else verbs.drill
    tasks = partial(verbs.restore_task, settings=settings, via=parsed.via, request=request, owner=me)
    return finish(serve(settings, lambda at: verb(tasks(at), size), patient=True))


@with_settings((*OF_TARGET, "project", "abandoned_after"))
def restores(*, abort: str = "", via: str = "", **options: Unpack[Options]) -> RestoreList:
    """List the restores of an export, the newest first: running, stopped, abandoned or done.

    abort: the id of a restore that is ended first. Its jobs are cancelled; its scratch tables, uploads and documents
    are deleted. Tables of the target stay.
    via: where the restores have their documents, if not next to the export.
    """
    settings = settings_of(options, ("bucket",))
    with python_words():
        through = parse_via(via)
    return finish(serve(settings, lambda services: verbs.list_restores(services, settings, through, abort)))
