"""Which runs are kept, as functions of the Python API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.api.calls import finish, settings_of
from bqdump.api.signatures import OF_TARGET, with_settings
from bqdump.core.errors import UsageError
from bqdump.core.retention.policy import policy_for
from bqdump.core.retention.result import Pruned
from bqdump.core.settings.settings import RETENTION
from bqdump.core.settings.values import given_tags
from bqdump.services.opened import Services, serve


@with_settings((*OF_TARGET, "project", *RETENTION))
def prune(*, runs: str | Sequence[str] = (), yes: bool = False, **options: Unpack[Options]) -> Pruned:
    """Delete the runs that the retention policy no longer keeps, and the leftovers of unfinished runs.

    runs: the only ones to delete, instead of what the policy says. Raises UsageError, before anything is deleted, if
    one of them is always kept.
    yes: delete; without it, the result only shows what would be deleted.
    Unfinished runs are removed only with `project`, where BigQuery lists their jobs. Raises DocumentError if the
    manifest of any run cannot be read; nothing is deleted then.
    """
    settings = settings_of(options, ("bucket",))
    named = (runs,) if isinstance(runs, str) and runs else tuple(runs)
    policy_for(settings, named)

    async def work(services: Services) -> Pruned:
        return await verbs.prune(services.store_at, settings, services.at_work, runs=named, delete=yes)

    return finish(serve(settings, work))


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


def _tags(names: str | Sequence[str]) -> tuple[str, ...]:
    try:
        return given_tags(names)
    except ValueError as error:
        raise UsageError("tag", "", str(error)) from None
