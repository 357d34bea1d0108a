"""The path template: the names of a table's files, below `gs://BUCKET/[prefix/]`.

`{table}/{table}_*.{ext}` is the default. BigQuery replaces `*` by twelve digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from functools import cache

from msgspec import Struct

from bqdump.core.documents.document import STATE, Mode
from bqdump.core.errors import UsageError

FIELDS = ("table", "ext", "run", "project", "dataset", "date", "partition")
DEFAULT = "{table}/{table}_*.{ext}"
SHARD = re.compile(r"(?=([0-9]{12}))")
MAX_OBJECT_NAME_BYTES = 1024
PARTITION = "{partition}"
BY_PARTITION = "{table}/{partition}/{table}_*.{ext}"
# In a folder such as `day={partition}`: what Hive, Spark and DuckDB read as NULL.
NULL_PARTITION, HIVE_NULL = "__NULL__", "__HIVE_DEFAULT_PARTITION__"


class Template(Struct, frozen=True):
    """A valid template. `keeps`: it contains {run}, so each run has its own files."""

    text: str

    @property
    def keeps(self) -> bool:
        """Whether each run keeps its files (True) or replaces those of the last one (False)."""
        return "{run}" in self.text

    @property
    def mode(self) -> Mode:
        """What a plan with this template says of it."""
        return "keep" if self.keeps else "replace"

    @property
    def by_partition(self) -> bool:
        """Whether the files of each partition are in a folder of their own."""
        return PARTITION in self.text

    def pattern(self, *, partition: str = "", **values: str) -> str:
        """The object name pattern of one table, with a single `*` in its last part; or of one of its partitions.

        For a complete table, the folder with {partition} is left out: its files have a folder less in their names than
        those of any partition.
        """
        parts = self.text.split("/")
        if not partition:
            parts = [part for part in parts if PARTITION not in part]
        hive = partition == NULL_PARTITION and any(part.endswith(f"={PARTITION}") for part in parts)
        values["partition"] = HIVE_NULL if hive else partition
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], "/".join(parts))


@cache
def parse_template(text: str) -> Template:
    """Check a template.

    Raises UsageError for no or two `*`, a `*` in a folder, unknown fields, or a path that leaves the prefix.
    """

    def wrong(cause: str, hint: str = f"For example: {DEFAULT}") -> UsageError:
        return UsageError("read the settings", repr(text), cause, hint, setting="path")

    fields = re.findall(r"\{([^{}]*)\}", text)
    literal = re.sub(r"\{[^{}]*\}", "", text)
    if unknown := [field for field in fields if field not in FIELDS]:
        raise wrong(f"unknown field {{{unknown[0]}}}", f"Known fields: {', '.join(f'{{{f}}}' for f in FIELDS)}.")
    if "{" in literal or "}" in literal:
        raise wrong("unbalanced braces")
    if text.count("*") != 1:
        raise wrong(f"expected exactly one *, for the number of the file, not {text.count('*')}")
    parts = text.split("/")
    if "*" not in parts[-1]:
        raise wrong("the * must be in the last part, the file name")
    if text.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise wrong("empty parts, '.' and '..' are not allowed")
    if STATE in parts[:-1]:
        raise wrong(f"{STATE}/ is reserved for bqdump's own documents")
    if re.search(r"[\x00-\x1f\x7f#?\[\]]", literal):
        raise wrong("control characters and # ? [ ] are not allowed")
    if "table" not in fields:
        raise wrong("without {table} all tables would share the same files")
    if PARTITION in text and (problem := _partition_problem(parts)):
        raise wrong(problem, f"For example: {BY_PARTITION}")
    if "date" in fields and "run" not in fields:
        raise wrong(
            "{date} requires {run}: without {run}, each export replaces the previous one, whatever its date",
            "For example: {date}/{run}/{table}/{table}_*.{ext}",
        )
    return Template(text)


def _partition_problem(parts: list[str]) -> str:
    """Why {partition} cannot be where it is; "" where it can. Its folder is left out for complete tables."""
    if PARTITION in parts[-1]:
        return "{partition} must be in a folder, not in the file name"
    own = [part for part in parts if PARTITION in part]
    if len(own) > 1 or own[0].count("{") > 1:
        return "{partition} must be there once, in a folder without other fields"
    return ""


def shard_name(pattern: str, number: int) -> str:
    """The name that BigQuery gives the file of this number."""
    return pattern.replace("*", f"{number:012d}")


def split_shard(name: str, patterns: Container[str]) -> tuple[str, int] | None:
    """The pattern that this name was made from, and the number in it; None for any other name."""
    folder, slash, base = name.rpartition("/")
    for match in SHARD.finditer(base):
        pattern = f"{folder}{slash}{base[: match.start()]}*{base[match.start() + 12 :]}"
        if pattern in patterns:
            return pattern, int(match[1])
    return None


class NameRules(Struct, frozen=True):
    """How a store compares and limits names; the defaults are those of a bucket.

    part_bytes, path_bytes: how long a name between two slashes, and a complete name, may be in bytes (0: any length).
    utf16: lengths are in UTF-16 units instead.
    windows: names that Windows reserves cannot exist.
    """

    ignores_case: bool = False
    ignores_form: bool = False
    part_bytes: int = 0
    path_bytes: int = 0
    utf16: bool = False
    windows: bool = False

    def alike(self, name: str) -> str:
        """The same string for all names that the store treats as equal."""
        if self.ignores_case:
            name = unicodedata.normalize("NFC", name).casefold() if self.ignores_form else name.casefold()
        # Case folding can decompose characters.
        return unicodedata.normalize("NFC", name) if self.ignores_form else name

    def length(self, name: str) -> int:
        """The length that counts for the limits."""
        return len(name.encode("utf-16-le")) // 2 if self.utf16 else len(name.encode())
