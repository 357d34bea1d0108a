"""The report of a set, also of one whose datasets go to several targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.project import Project
from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.pages.project import render_project
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import name_a_dataset
from bqdump.sets.datasets import published_set


class Report(NamedTuple):
    """A page about a run. sets: what it is about if it is about sets, with the target of each."""

    run: str
    page: bytes
    sets: tuple[tuple[Project, Target], ...] = ()


async def set_report(store: ObjectStore, settings: Settings, run: str, since: str) -> Report:
    """The report of the published set. Raises NotFoundError, UsageError for another run: its datasets have reports."""
    project = await published_set(store, settings)
    if since or run not in ("", project.run):
        cause = f"the report of a set shows the published run, {project.run}"
        hint = f"For other runs, and for changes: {name_a_dataset(settings, project.datasets[0].dataset)}"
        raise UsageError("report", f"run {run}" if run else f"changes since run {since}", cause, hint)
    target = settings.target
    if target.folder:
        target = replace(target, root=str(Path(target.folder).absolute()))
    return _report([(project, target)])


def joined(found: Sequence[Report]) -> Report:
    """One report of a set whose datasets are in several targets."""
    return found[0] if len(found) == 1 else _report([one for report in found for one in report.sets])


def _report(sets: Sequence[tuple[Project, Target]]) -> Report:
    newest = max((project for project, _ in sets), key=lambda project: project.age)
    return Report(newest.run, render_project(sets), tuple(sets))
