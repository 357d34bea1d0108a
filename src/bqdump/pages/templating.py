"""The Jinja2 environment. Autoescape is on, so no name, message or cell can become markup."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bqdump.core.documents.changes import SAME
from bqdump.core.plan.guards import sentence
from bqdump.core.plan.removal import WHY
from bqdump.core.sizes import counted, size_text
from bqdump.pages.gantt import remarks
from bqdump.pages.links import folder_address, job_address, object_address
from bqdump.pages.text import count_text, duration_text, growth_text, iso_text, rate_text, time_text

TEMPLATES = Path(__file__).parent / "templates"
# Control characters are not valid in HTML; their pictures (U+2400 and following) are shown instead.
CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}


@cache
def environment(*folders: Path) -> Environment:
    """The templates of these folders, and the shared ones. Each is compiled once per process."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_printable,
    )
    made.filters |= {
        "count": count_text,
        "counted": counted,
        "duration": duration_text,
        "iso": iso_text,
        "kind": _kind,
        "sentence": sentence,
        "size": size_text,
        "time": time_text,
        "why_removed": WHY.__getitem__,
    }
    made.globals |= {
        "folder_address": folder_address,
        "growth": growth_text,
        "job_address": job_address,
        "object_address": object_address,
        "rate": rate_text,
        "remarks": remarks,
        "same": SAME,
    }
    return made


def _kind(kind: str) -> str:
    """A kind of table as words: "materialized view"."""
    return kind.lower().replace("_", " ")


def _printable(value: object) -> object:
    """Control characters replaced in text; markup was built from values that are printable already."""
    return value.translate(CONTROLS) if type(value) is str else value
