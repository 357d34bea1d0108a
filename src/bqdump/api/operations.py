"""What is done with runs, as functions of the Python API: export, copy, prune, erase, tag, and the checks of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Unpack

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.api.calls import OF_TARGET, finish, python_words, run_of, settings_of, tell_bill, with_settings
from bqdump.check.findings import Verified
from bqdump.core.copy.plan import RULES, Copied, requested_copy
from bqdump.core.dealing import parts_to_read
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.plan.summary import Planned
from bqdump.core.progress.export import Export
from bqdump.core.retention.erased import Erasures, requested_erasure
from bqdump.core.retention.policy import policy_for, refuse_idle, refuse_short
from bqdump.core.retention.pruned import Pruned
from bqdump.core.settings.resolve import required_to_check
from bqdump.core.settings.settings import REQUIRED, RETENTION
from bqdump.core.settings.task_identity import Identity
from bqdump.core.settings.values import given_tags, patterns
from bqdump.core.sizes import counted
from bqdump.diagnosis import Diagnosis
from bqdump.services.opened import Services, opened, serve
from bqdump.services.process import run_id
from bqdump_claims.result import ServiceCheck


@with_settings(described=True)
def run(*, task: int = 0, tasks: int = 1, yes: bool = False, **options: Unpack[Options]) -> Export:
    """Export the dataset, alone or as task `task` (from 0) of `tasks` that share a `run_id`.

    yes: prune even if the rules keep less than a day of runs.
    Raises TablesFailedError if tables failed and `allow_partial` is not set. Nothing is published then; the same
    `run_id` resumes the run.
    """
    settings = settings_of(options, REQUIRED)
    refuse_idle([name for name, value in options.items() if value is not None], settings)
    refuse_short(settings, yes=yes)
    if not 0 <= task < tasks:
        raise UsageError("run", f"task {task}", f"it is none of {counted(tasks, 'task')}, which count from 0")
    if tasks > 1 and not settings.run_id:
        raise UsageError("run", f"task {task} of {tasks}", "tasks of one run need one name", "Pass the same run_id.")
    name = run_id(settings, Identity("", task, tasks, 0, ""))
    # Tasks of one run are one execution, where a restarted task is the same one; a call alone is always a new one.
    owner = Owner(name if tasks > 1 else f"{name}-{secrets.token_hex(4)}", task)

    async def export() -> Export:
        async with opened(settings, tasks, patient=True) as services:
            return await (await verbs.run(services, verbs.Start(settings, name, owner, tasks))).export()

    return finish(export())


@with_settings()
def plan(*, tasks: int = 1, **options: Unpack[Options]) -> Planned:
    """Show what a run would do, without changing anything. `flags` lists why a run would be refused.

    tasks: the number of tasks to plan for.
    """
    settings = settings_of(options, REQUIRED)
    refuse_idle([name for name, value in options.items() if value is not None], settings)
    return finish(serve(settings, lambda services: verbs.plan(services, settings, settings.run_id or "RUN", tasks)))


@with_settings((*OF_TARGET, *RULES, "kms_key", "ping", "sign", "trust"))
def copy(
    dest: str,
    runs: str | Sequence[str] = (),
    *,
    every: bool = False,
    storage_class: str = "",
    digest: bool = False,
    lock: str | timedelta = "",
    lock_mode: str = "",
    limit: int | str = "",
    dry_run: bool = False,
    **options: Unpack[Options],
) -> Copied:
    """Copy runs (default: the published run) to another place, where each is a complete export with its own folder.

    Only what is missing there is copied, and every file is compared with the manifest on the way. The same call resumes
    a copy that was interrupted. `keep_…` arguments copy the runs that such a policy would keep.
    dest: "gs://bucket/prefix", "s3://bucket/prefix" or a folder.
    runs: the name of a run, or several.
    every: copy all complete runs.
    storage_class: of the copied files, in Cloud Storage.
    digest: between buckets, also read each file for its SHA-256.
    lock: how long nobody can delete or replace the copy, such as "35d"; a day or longer.
    lock_mode: "governance" (default), where a permission ends locks earlier, or "compliance".
    limit: how many bytes of files are read in a second, such as "50MB"; not between buckets of Cloud Storage.
    dry_run: only show what would be copied.
    """
    settings = settings_of(options, ("bucket",))
    with python_words():
        request = requested_copy(
            settings,
            dest,
            _runs("copy", runs),
            [name for name in RULES if options.get(name)],
            every=every,
            storage_class=storage_class,
            digests=digest,
            dry=dry_run,
            lock=lock,
            lock_mode=lock_mode,
            limit=limit,
        )
    return finish(verbs.copy(settings, request, Owner(f"copy-{secrets.token_hex(4)}", 0)))


@with_settings((*OF_TARGET, "project", "sign"))
def erase(
    table: str,
    *,
    before: str = "",
    reason: str = "",
    by: str = "",
    yes: bool = False,
    **options: Unpack[Options],
) -> Erasures:
    """Take a table out of every kept run: its files, its entries in manifests, its Iceberg snapshots.

    table: its name; in a set also with its dataset ("sales.orders"), else from every dataset that has it.
    before: only from runs whose rows are older: a time with zone, a date (its beginning in UTC), or an age ("30d").
    reason, by: why, and who, as manifests record it (default: the user of this machine).
    yes: erase; without it, the result only shows from which runs.
    Raises UsageError while a run is at work, and where signed manifests would be without a signature.
    """
    settings = settings_of(options, ("bucket",))
    with python_words():
        erasing = requested_erasure(table, before, reason, by, int(time.time() * 1000))

    return finish(serve(settings, lambda at: verbs.erase(at.store_at, settings, erasing, delete=yes)))


@with_settings((*OF_TARGET, "project", *RETENTION, "ping"))
def prune(
    *, runs: str | Sequence[str] = (), yes: bool = False, now: bool = False, **options: Unpack[Options]
) -> Pruned:
    """Delete the runs that the retention policy no longer keeps, and the leftovers of unfinished runs.

    runs: the only ones to delete, instead of what the policy says. Raises UsageError, before anything is deleted, if
    one of them is always kept.
    yes: delete; without it, the result only shows what would be deleted.
    now: delete the files at once, not by the first prune a day later. Raises UsageError while a run is unfinished.
    Unfinished runs are removed only with `project`, where BigQuery lists their jobs. Raises DocumentError if the
    manifest of any run cannot be read; nothing is deleted then.
    """
    settings = settings_of(options, ("bucket",))
    named = _runs("prune", runs)
    policy_for(settings, named)

    pruning = partial(verbs.prune, settings=settings, runs=named, delete=yes, now=now)
    return finish(serve(settings, lambda at: pruning(at.store_at, at_work=at.at_work)))


@with_settings(OF_TARGET)
def tag(
    run: str, *, add: str | Sequence[str] = (), remove: str | Sequence[str] = (), **options: Unpack[Options]
) -> tuple[str, ...]:
    """Add tags to a run and remove others; returns the tags that it has then.

    The tag `keep` keeps a run from being pruned; other tags do if `keep_tag` names them.
    """
    adding, removing = _tags(add), _tags(remove)
    settings = settings_of(options, ("bucket",))
    return finish(serve(settings, lambda services: verbs.tag(services.store_at, settings, run, adding, removing)))


def _runs(verb: str, runs: str | Sequence[str]) -> tuple[str, ...]:
    """The names of runs. Raises UsageError for a list that is given and names none: without one, others are chosen."""
    named = (runs,) if isinstance(runs, str) else tuple(runs)
    if runs != () and not any(map(str.strip, named)):
        raise UsageError(verb, "", "it names no run", "Leave it out, or name one.", place="runs")
    return named


def _tags(names: str | Sequence[str]) -> tuple[str, ...]:
    try:
        return given_tags(names)
    except ValueError as error:
        raise UsageError("tag", "", str(error)) from None


@with_settings()
def doctor(*, service_account: str = "", **options: Unpack[Options]) -> Diagnosis:
    """Check permissions and risks before a run, without exporting. `verdict` is the worst result.

    Writes two small objects below _bqdump/doctor/ and deletes them. Problems are returned, not raised.
    to: where it is s3://BUCKET/PREFIX, checks what a copy needs there instead, with one small object.
    service_account: the account in the commands of `cures` (default: the one that `bqdump render iam` creates).
    """
    settings = settings_of(options, required_to_check)
    return finish(serve(settings, lambda services: verbs.doctor(services, settings, service_account)))


@with_settings(("project", "bucket", "to", "prefix", "job_project", "location", "kms_key", "patience"))
def check_service(*, claims: str | Sequence[str] = (), **options: Unpack[Options]) -> ServiceCheck:
    """Test what bqdump relies on against BigQuery and Cloud Storage, in a scratch dataset and prefix that are deleted.

    It creates them, and bills its queries, without asking. What differs is returned, not raised.
    claims: patterns of ids, such as "csv.*" (default: all claims).
    """
    from bqdump_claims.run import check_service as try_claims
    from bqdump_claims.run import chosen, propose

    settings, selected = settings_of(options, ("project", "bucket")), chosen(patterns(claims))

    async def check(services: Services) -> ServiceCheck:
        ports = verbs.ports_of(services)
        return await try_claims(ports, await propose(ports, settings, selected))

    return finish(serve(settings, check))


@with_settings((*OF_TARGET, "project", "max_bytes_billed", "ping"))
def verify(
    run: str = "",
    *,
    as_of: str | datetime = "",
    read: str = "",
    source: bool = False,
    **options: Unpack[Options],
) -> Verified:
    """Compare the files of a run (default: the published run) with its manifest. Differences are `findings`.

    read: also read this share of the files, such as "100%" or "10%"; see docs/verify.md.
    source: read all files and compare each table with BigQuery as of the snapshot time, while time travel lasts.
    BigQuery bills one query per table; `max_bytes_billed` limits their sum. Requires `project`.
    as_of: in place of a run, the newest one whose snapshot time is not later: an aware datetime, or a string as on the
    command line.
    """
    parts = parts_to_read(read, source=source)
    settings = settings_of(options, ("bucket", "project") if source else ("bucket",))
    check = partial(verbs.verify, run=run_of(settings, run, as_of), parts=parts)

    async def compare(services: Services) -> Verified:
        warehouse = services.warehouse if source else None
        return await check(services.store_at, settings, warehouse=warehouse, bill=tell_bill)

    return finish(serve(settings, compare))
