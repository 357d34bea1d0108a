"""The report of a set: one page that lists its datasets, with links to the report of each one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.project import DatasetEntry, Project
from bqdump.core.settings.target import Target
from bqdump.pages.templating import document
from bqdump.pages.text import CONSOLE

# From [prefix/]_bqdump/projects/<run>/ to [prefix/].
WAY_UP = "../../../"


def render_project(sets: Sequence[tuple[Project, Target | None]]) -> bytes:
    """The page about a set: one with its target, or one for each location.

    target: None for links that are relative to where the run stores its report.
    """
    addresses = {
        entry.dataset: _address(project, entry, target) for project, target in sets for entry in project.datasets
    }
    about = together([project for project, _ in sets])
    return document("project.html", about.project, about=about, addresses=addresses, problems=problems_of(about))


def together(projects: Sequence[Project]) -> Project:
    """The sets of several locations as one: of the newest run, and complete only if that run has published all."""
    newest, same = max(projects, key=lambda project: project.age), len({project.run for project in projects}) == 1
    return msgspec.structs.replace(
        newest,
        status="complete" if same and all(project.status == "complete" for project in projects) else "partial",
        snapshot_time=" and ".join(
            dict.fromkeys(project.snapshot_time for project in projects if project.run == newest.run)
        ),
        datasets=tuple(dataset for project in projects for dataset in project.datasets),
        skipped=tuple(dict.fromkeys(skipped for project in projects for skipped in project.skipped)),
        removed=tuple(dict.fromkeys(removed for project in projects for removed in project.removed)),
    )


def problems_of(project: Project) -> list[tuple[str, str]]:
    """The datasets that the run has not published, and why."""
    return [(dataset.dataset, dataset.problem) for dataset in project.datasets if dataset.state == "failed"]


def _address(project: Project, entry: DatasetEntry, target: Target | None) -> str:
    if not entry.run:
        return ""
    name = Layout(f"{entry.dataset}/").run(entry.run).report
    if target is None:
        return WAY_UP + quote(name)
    if target.bucket:
        return f"{CONSOLE}/storage/browser/_details/{quote(target.bucket, safe='')}/{quote(project.prefix + name)}"
    return f"file://{quote(f'{target.folder}/{project.prefix}{name}')}" if target.folder else ""
