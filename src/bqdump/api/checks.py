"""Checks before an export and after it, as functions of the Python API: permissions, services, stored files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Unpack

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.api.calls import OF_TARGET, finish, run_of, settings_of, tell_bill, with_settings
from bqdump.check.verify import Verified
from bqdump.core.sampling import parts_to_read
from bqdump.core.settings.settings import REQUIRED
from bqdump.diagnosis import Diagnosis
from bqdump.services.opened import Services, serve
from bqdump_claims.result import ServiceCheck


@with_settings()
def doctor(*, service_account: str = "", **options: Unpack[Options]) -> Diagnosis:
    """Check permissions and risks before a run, without exporting. `verdict` is the worst result.

    Writes two small objects below _bqdump/doctor/ and deletes them. Problems are returned, not raised.
    service_account: the account in the commands of `cures` (default: the one that `bqdump render iam` creates).
    """
    settings = settings_of(options, REQUIRED)
    return finish(serve(settings, lambda services: verbs.doctor(services, settings, service_account)))


@with_settings(("project", "bucket", "to", "prefix", "job_project", "location", "kms_key", "patience"))
def check_service(*, claims: Sequence[str] = (), **options: Unpack[Options]) -> ServiceCheck:
    """Test what bqdump relies on against BigQuery and Cloud Storage, in a scratch dataset and prefix that are deleted.

    It creates them, and bills its queries, without asking. What differs is returned, not raised.
    claims: patterns of ids, such as "csv.*" (default: all claims).
    """
    from bqdump_claims.run import check_service as try_claims
    from bqdump_claims.run import chosen, propose

    settings, selected = settings_of(options, ("project", "bucket")), chosen(claims)

    async def check(services: Services) -> ServiceCheck:
        ports = verbs.ports_of(services)
        return await try_claims(ports, await propose(ports, settings, selected))

    return finish(serve(settings, check))


@with_settings((*OF_TARGET, "project", "max_bytes_billed"))
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
