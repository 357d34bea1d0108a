"""The report of a set, also of one whose datasets go to several targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from bqdump.core.errors import UsageError
from bqdump.core.settings.target import Target
from bqdump.pages.project import render_project
from bqdump.repository.exports import SetAt, published_sets
from bqdump.repository.published import name_a_dataset


async def set_report(sets: Sequence[SetAt], run: str, since: str) -> tuple[str, bytes]:
    """The run and its page: of the published set. Raises NotFoundError.

    Raises UsageError for another run: its datasets have reports.
    """
    found = await published_sets(sets)
    newest = max((project for _, project in found), key=lambda project: project.age)
    if since or run not in ("", newest.run):
        cause = f"the report of a set shows the published run, {newest.run}"
        hint = f"For other runs, and for changes: {name_a_dataset(sets[0].settings, newest.datasets[0].dataset)}"
        raise UsageError("report", f"run {run}" if run else f"changes since run {since}", cause, hint)
    return newest.run, render_project([(project, _absolute(at.settings.target)) for at, project in found])


def _absolute(target: Target) -> Target:
    return replace(target, root=str(Path(target.folder).absolute())) if target.folder else target
