"""The style sheet and the scripts, which are files beside this one."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from markupsafe import Markup


@cache
def style() -> Markup:
    """The style sheet of the report and the console."""
    return _own("style.css")


@cache
def tables_script() -> Markup:
    """What makes a report's tables sortable and filtered."""
    return _own("tables.js")


def _own(name: str) -> Markup:
    return Markup(files(__package__).joinpath(name).read_text("utf-8"))  # noqa: S704 (files of ours)
