"""The Jinja2 environment. Autoescape is on, so no name, message or cell can become markup.

The style sheet and the script of a report, which are files of this package.

A self-contained page: it loads nothing, and only its own script may run.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bqdump.core.documents.changes import SAME
from bqdump.core.plan.guards import sentence
from bqdump.core.plan.removal import WHY
from bqdump.core.sizes import counted, kind_text, size_text
from bqdump.core.times import parse_time
from bqdump.pages.gantt import remarks
from bqdump.pages.text import (
    count_text,
    duration_text,
    folder_address,
    growth_text,
    iso_text,
    job_address,
    object_address,
    rate_text,
    time_text,
)

TEMPLATES = Path(__file__).parent / "templates"
# Control characters are not valid in HTML; their pictures (U+2400 and following) are shown instead.
CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}


@cache
def environment(*folders: Path) -> Environment:
    """The templates of these folders, and the shared ones. Each is compiled once per process."""
    jinja = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_printable,
    )
    jinja.filters |= {
        "count": count_text,
        "counted": counted,
        "duration": duration_text,
        "iso": iso_text,
        "kind": kind_text,
        "parse": parse_time,
        "sentence": sentence,
        "size": size_text,
        "time": time_text,
        "why_removed": WHY.__getitem__,
    }
    jinja.globals |= {
        "folder_address": folder_address,
        "growth": growth_text,
        "job_address": job_address,
        "object_address": object_address,
        "rate": rate_text,
        "remarks": remarks,
        "same": SAME,
    }
    return jinja


def _printable(value: object) -> object:
    """Control characters replaced in text; markup was built from values that are printable already."""
    return value.translate(CONTROLS) if type(value) is str else value


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


def document(template: str, dataset: str, **values: Any) -> bytes:
    """A page about an export of this dataset (project.name)."""
    # The policy allows the page's own style and script only: nothing in a name can run.
    own_style, own_script = source_hash(style()), source_hash(tables_script())
    policy = f"default-src 'none'; style-src {own_style}; script-src {own_script}; base-uri 'none'"
    page = environment().get_template(template)
    return page.render(dataset=dataset, policy=policy, style=style(), script=tables_script(), **values).encode()
