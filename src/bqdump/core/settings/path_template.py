"""The path template: how the files of a table are called, below `gs://BUCKET/[prefix/]`.

`{table}/{table}_*.{ext}` is the default. BigQuery puts twelve digits in the place of `*`.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from bqdump.core.documents.layout import STATE
from bqdump.core.documents.run import Mode
from bqdump.core.errors import UsageError

FIELDS = ("table", "ext", "run", "project", "dataset", "date")
DEFAULT = "{table}/{table}_*.{ext}"
SHARD = re.compile(r"(?=([0-9]{12}))")
MAX_OBJECT_NAME_BYTES = 1024


class Template(NamedTuple):
    """A valid template. `keeps`: it names the run, so every run has files of its own."""

    text: str

    @property
    def keeps(self) -> bool:
        """Whether runs stand beside each other (True) or each replaces the one before (False)."""
        return "{run}" in self.text

    @property
    def mode(self) -> Mode:
        """What a plan with this template says of it."""
        return "keep" if self.keeps else "replace"

    def pattern(self, **values: str) -> str:
        """The object name pattern of one table, with a single `*` in its last part."""
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], self.text)


def parse_template(text: str) -> Template:
    """Check a template.

    Raises UsageError for no or two `*`, a `*` in a folder, unknown fields, or a path that leaves the prefix.
    """

    def wrong(cause: str, hint: str = f"For example: {DEFAULT}") -> UsageError:
        return UsageError("read the settings", f"path {text!r}", cause, hint)

    fields = re.findall(r"\{([^{}]*)\}", text)
    literal = re.sub(r"\{[^{}]*\}", "", text)
    if unknown := [field for field in fields if field not in FIELDS]:
        raise wrong(f"unknown field {{{unknown[0]}}}", f"Known fields: {', '.join(f'{{{f}}}' for f in FIELDS)}.")
    if "{" in literal or "}" in literal:
        raise wrong("a brace without its partner")
    if text.count("*") != 1:
        count = text.count("*")
        raise wrong(f"it has {count or 'no'} *, and needs exactly one, for the number of the file")
    parts = text.split("/")
    if "*" not in parts[-1]:
        raise wrong("the * must stand in the last part, the file name")
    if text.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise wrong("empty parts, '.' and '..' could leave the prefix")
    if STATE in parts[:-1]:
        raise wrong(f"{STATE}/ is where bqdump keeps its own documents")
    if re.search(r"[\x00-\x1f\x7f#?\[\]]", literal):
        raise wrong("control characters and # ? [ ] make object names that tools cannot handle")
    if "table" not in fields:
        raise wrong("without {table} all tables would share the same files")
    if "date" in fields and "run" not in fields:
        raise wrong(
            "{date} needs {run} beside it: without {run} each export replaces the one before, whatever its date",
            "For example: {date}/{run}/{table}/{table}_*.{ext}",
        )
    return Template(text)


def shard_name(pattern: str, number: int) -> str:
    """The name that BigQuery gives the file of this number."""
    return pattern.replace("*", f"{number:012d}")


def split_shard(name: str, patterns: Container[str]) -> tuple[str, int] | None:
    """Which of the patterns has made this name, and the number in it; None for any other name."""
    folder, slash, base = name.rpartition("/")
    for match in SHARD.finditer(base):
        pattern = f"{folder}{slash}{base[: match.start()]}*{base[match.start() + 12 :]}"
        if pattern in patterns:
            return pattern, int(match[1])
    return None
