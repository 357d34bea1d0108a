"""The style sheet and the script of a report, which are files of this package."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from markupsafe import Markup


@cache
def style() -> Markup:
    """The style sheet of the report and the console."""
    return _own("style.css")


@cache
def tables_script() -> Markup:
    """The script that sorts and filters a report's tables."""
    return _own("tables.js")


def source_hash(text: str) -> str:
    """An inline script or style as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _own(name: str) -> Markup:
    return Markup(files(__package__).joinpath(name).read_text("utf-8"))  # noqa: S704 (files of this package)
