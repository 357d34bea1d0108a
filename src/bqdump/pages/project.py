"""The report of a set: one page that lists its datasets, with links to the report of each one. Pure."""

from __future__ import annotations

from urllib.parse import quote

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.project import DatasetEntry, Project
from bqdump.core.settings.target import Target
from bqdump.pages.document import document
from bqdump.pages.links import CONSOLE

# From [prefix/]_bqdump/projects/<run>/ to [prefix/].
WAY_UP = "../../../"


def render_project(project: Project, target: Target | None = None) -> bytes:
    """The page. target: where the set is; None for links that are relative to where the run stores its report."""
    addresses = {one.dataset: _address(project, one, target) for one in project.datasets}
    return document("project.html", project.project, about=project, addresses=addresses, problems=problems_of(project))


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
