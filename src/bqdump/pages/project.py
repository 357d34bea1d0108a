"""The report of a set: one page that lists its datasets, with links to the report of each one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.project import DatasetEntry, Project
from bqdump.core.settings.target import Target
from bqdump.pages.document import document
from bqdump.pages.links import CONSOLE

# From [prefix/]_bqdump/projects/<run>/ to [prefix/].
WAY_UP = "../../../"


def render_project(sets: Sequence[tuple[Project, Target | None]]) -> bytes:
    """The page about a set: one with its target, or one for each location.

    target: None for links that are relative to where the run stores its report.
    """
    addresses = {one.dataset: _address(project, one, target) for project, target in sets for one in project.datasets}
    about = together([project for project, _ in sets])
    return document("project.html", about.project, about=about, addresses=addresses, problems=problems_of(about))


def together(projects: Sequence[Project]) -> Project:
    """The sets of several locations as one: of the newest run, and complete only if that run has published all."""
    newest, same = max(projects, key=lambda one: one.age), len({one.run for one in projects}) == 1
    return msgspec.structs.replace(
        newest,
        status="complete" if same and all(one.status == "complete" for one in projects) else "partial",
        snapshot_time=" and ".join(dict.fromkeys(one.snapshot_time for one in projects if one.run == newest.run)),
        datasets=tuple(dataset for one in projects for dataset in one.datasets),
        skipped=tuple(dict.fromkeys(skipped for one in projects for skipped in one.skipped)),
        removed=tuple(dict.fromkeys(removed for one in projects for removed in one.removed)),
    )


def problems_of(project: Project) -> list[tuple[str, str]]:
    """The datasets that the run has not published, and why."""
    return [(one.dataset, one.problem) for one in project.datasets if one.state == "failed"]


def _address(project: Project, entry: DatasetEntry, target: Target | None) -> str:
    if not entry.run:
        return ""
    name = Layout(f"{entry.dataset}/").run(entry.run).report
    if target is None:
        return WAY_UP + quote(name)
    if target.bucket:
        return f"{CONSOLE}/storage/browser/_details/{quote(target.bucket, safe='')}/{quote(project.prefix + name)}"
    return f"file://{quote(f'{target.folder}/{project.prefix}{name}')}"
