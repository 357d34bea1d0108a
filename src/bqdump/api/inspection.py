"""Looking at runs, as functions of the Python API: progress, manifest, queries, changes, report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, Unpack, cast

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.api.calls import OF_TARGET, TargetOptions, finish, python_words, run_of, settings_of, with_settings
from bqdump.core.documents.changes import TableChange
from bqdump.core.exported import Manifest
from bqdump.core.listing import Listing, Patterns
from bqdump.core.results import Rows
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.values import patterns
from bqdump.core.wording import PYTHON
from bqdump.observe.earlier import with_growth
from bqdump.observe.history import RunLine
from bqdump.observe.status import Status
from bqdump.ports.data_reader import Answer
from bqdump.repository.exports import StoreAt
from bqdump.services.opened import serve
from bqdump.services.opening import open_shell

Result = TypeVar("Result")


@with_settings((*OF_TARGET, "trust", "rpo", "rto"))
def status(run: str = "", **options: Unpack[Options]) -> Status:
    """Read the progress of a run (default: the run that was planned last) from the bucket.

    With `rpo` or `rto`, its `recovery` has how safe each dataset is, and which of them is broken.
    """

    def shown(store_at: StoreAt, settings: Settings) -> Coroutine[Any, Any, Status]:
        return verbs.status(store_at, settings, run, words=PYTHON if settings.has_objectives else None)

    return _ask(shown, options)


@with_settings((*OF_TARGET, "trust"))
def runs(
    *, storage: bool = False, growth: bool = False, run: str = "", since: str = "", **options: Unpack[Options]
) -> Rows[RunLine]:
    """List the runs of a target, the latest snapshot time first.

    storage: also read every manifest, for the bytes that each run shares with others.
    growth: with what grew in `run` (default: the published run) by table, since the run before, or since `since`: a
    run, a date such as "2026-01-31", or a time before the run such as "7d".
    """
    lines = _ask(partial(verbs.runs, storage=storage), options)
    return with_growth(lines, _ask(partial(verbs.growth, run=run, since=since), options)) if growth else lines


@with_settings(OF_TARGET)
def manifest(run: str = "", **options: Unpack[Options]) -> Manifest:
    """Read the manifest of a run (default: the published run): every table and file.

    It is a mapping of table names: `manifest["flights"].uris` holds the addresses of a table's files.
    """
    settings = settings_of(options, ("bucket",))
    return finish(serve(settings, lambda at: verbs.manifest(at.store, settings, run)))


@with_settings(OF_TARGET)
def ls(
    run: str = "",
    *,
    as_of: str | datetime = "",
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    **options: Unpack[TargetOptions],
) -> Listing:
    """List what a run (default: the published run) holds: tables, views, routines, and what was left out and why.

    as_of: in place of a run, the newest one whose snapshot time is not later: an aware datetime, or a string as on the
    command line.
    include, exclude: patterns of the names of tables and other objects.
    """
    settings = settings_of(cast("Options", options), ("bucket",))
    name = run_of(settings, run, as_of, files=False)
    with python_words():
        chosen = Patterns(patterns(include), patterns(exclude))
    return finish(serve(settings, lambda services: verbs.ls(services.store_at, settings, name, chosen)))


@with_settings(OF_TARGET)
def sql(statement: str, run: str = "", *, as_of: str | datetime = "", **options: Unpack[Options]) -> Answer:
    """Query a run (default: the published run) with DuckDB: every table is a view, whatever the format of its files.

    The files of the tables that `statement` names are read; they are stored in the folder for temporary files
    until the result is there. Requires the extra `verify`. Raises UsageError where DuckDB refuses the statement.
    as_of: in place of a run, the newest one whose snapshot time is not later: an aware datetime, or a string as on the
    command line.
    """
    settings = settings_of(options, ("bucket",))
    run, shell = run_of(settings, run, as_of), open_shell()
    try:
        finish(serve(settings, lambda at: verbs.sql(at.store, settings, shell, run, statement=statement)))
        # In this thread, as DuckDB stops a query at a signal there.
        return shell.run(statement)
    finally:
        shell.close()


@with_settings((*OF_TARGET, "trust"))
def diff(
    before: str = "",
    after: str = "",
    *,
    as_of: str | datetime = "",
    values: bool = False,
    **options: Unpack[Options],
) -> Rows[TableChange]:
    """Show what changed from one run (default: the one before) to another (default: the published run).

    Content is compared by the checksums of the files; if they do not prove anything, `change` is "unclear". Tables
    with the same rows, columns and bytes are left out.
    values: read the files of both runs and compare the values of every column. Raises VerificationError if a file is
    not as the run exported it.
    as_of: in place of `before`, the newest run whose snapshot time is not later: an aware datetime, or a string as on
    the command line.
    """
    before = run_of(settings_of(options, ("bucket",)), before, as_of, files=values)
    return _ask(partial(verbs.diff, before=before, after=after, values=values), options)


@with_settings(OF_TARGET)
def report(run: str = "", *, since: str = "", drill: bool = False, **options: Unpack[Options]) -> str:
    """Render the report of a run (default: the published run) as a self-contained HTML page.

    since: show what changed since this run.
    drill: evidence for an auditor instead: what was exported when, how drills proved it, and all checksums.
    """
    return _ask(partial(verbs.report, run=run, since=since, drill=drill), options)[1].decode()


def _ask(question: Callable[[StoreAt, Settings], Awaitable[Result]], options: Options) -> Result:
    settings = settings_of(options, ("bucket",))
    return finish(serve(settings, lambda services: question(services.store_at, settings)))
