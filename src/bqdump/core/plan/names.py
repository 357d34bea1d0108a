"""The names of a table's files, and the table names that files cannot have.

The names that a target can store: folders have limits that buckets do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

from bqdump.core.documents.document import STATE
from bqdump.core.documents.layout import Layout, among_documents
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.path_template import MAX_OBJECT_NAME_BYTES, NameRules, Template, parse_template, shard_name
from bqdump.core.documents.run import Plan, TablePlan
from bqdump.core.documents.run_layout import unit_id
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.formats.formats import extension
from bqdump.core.plan.routes import Routed
from bqdump.core.settings.settings import Settings
from bqdump.core.times import rfc3339

# Longer names are shortened in messages.
MOST_SHOWN = 100
LAST_ATTEMPT = 999
# Values of --path for long table names; the last two keep the files of every run.
SHORTER = ("{table}_*.{ext}", "{table}/*.{ext}", "{run}/{table}_*.{ext}", "{run}/{table}/*.{ext}")


def name_problem(table: str) -> str:
    """Why a table of this name cannot be exported; "" where it can.

    Source: https://cloud.google.com/bigquery/docs/managing-partitioned-table-data#select_a_partition_to_read
    """
    if table in ("", ".", "..") or re.search(r"[/*\x00-\x1f\x7f]", table):
        return "its name cannot be part of an object name"
    if mark := re.search(r"[$@]", table):
        return f"BigQuery reads what follows {mark[0]} as a partition or a time of another table"
    try:
        table.encode()
    except UnicodeEncodeError:
        return "its name is not valid Unicode"
    return ""


def refuse_name(table: str) -> None:
    """Raise UsageError for a table whose name a file cannot have."""
    if problem := name_problem(table):
        raise UsageError(PLAN, f"table {shown(table)}", problem, "Leave it out with {setting:exclude}.")


def shown(table: str) -> str:
    """The name of a table for a message, shortened where it is long."""
    return repr(table) if len(table) <= MOST_SHOWN else f"{table[:MOST_SHOWN]!r}… ({len(table):,} characters)"


def patterns(settings: Settings, run: str, snapshot: int, routed: Sequence[Routed]) -> list[dict[str, str]]:
    """The final object name patterns of each table: by the id of its partition, or by "" for a complete table.

    Raises UsageError for a table whose name cannot be part of an object name, makes it too long, or puts files into
    the folder of bqdump's own documents.
    """
    template = settings.template
    fixed = {
        "run": run,
        "project": settings.project,
        "dataset": settings.dataset,
        "date": rfc3339(snapshot)[:10],
    }

    def pattern_by(template: Template, item: Routed, partition: str = "") -> str:
        ext = extension(item.format, item.compression)
        return settings.target.prefix + template.pattern(partition=partition, table=item.table.name, ext=ext, **fixed)

    def checked(item: Routed, partition: str) -> str:
        pattern, called = pattern_by(template, item, partition), f"table {shown(item.table.name)}"
        if among_documents(pattern, settings.layout):
            folder = pattern.partition(f"{STATE}/")[0] + f"{STATE}/"
            cause = f"its files would be in {folder}, where bqdump stores its own documents"
            raise UsageError(PLAN, called, cause, "Use another {setting:path} such as {table}_*.{ext}.")
        longest = _longest(settings.layout, run, pattern, template)
        if longest > MAX_OBJECT_NAME_BYTES:
            cause = f"its files would have names of {longest:,} bytes, {MAX_OBJECT_NAME_BYTES:,} are possible"
            templates = map(Template, SHORTER[2:] if template.keeps else SHORTER[:2])
            lengths = {
                other.text: _longest(settings.layout, run, pattern_by(other, item), other) for other in templates
            }
            shorter = next((text for text, length in lengths.items() if length <= MAX_OBJECT_NAME_BYTES), "")
            hint = (
                f"Use a shorter {{setting:path}} such as {shorter}."
                if shorter
                else "Leave it out with {setting:exclude}."
            )
            raise UsageError(PLAN, called, cause, hint)
        return pattern

    rows = []
    for item in routed:
        refuse_name(item.table.name)
        rows.append(
            {partition: checked(item, partition) for partition in [part.id for part in item.partitions] or [""]}
        )
    return rows


def pattern_of(export: Plan | Manifest, table: TablePlan | TableEntry, partition: str = "") -> str:
    """The pattern of the final file names of a table, or of a partition, by the settings in the plan or manifest."""
    carried = table.carried if isinstance(table, TableEntry) else None
    settings, of = (export.settings | carried.settings, carried) if carried else (export.settings, export)
    name = parse_template(str(settings["path"])).pattern(
        partition=partition,
        table=table.table,
        ext=extension(table.format or str(settings["format"]), table.compression or str(settings["compression"])),
        run=of.run,
        project=export.project,
        dataset=export.dataset,
        date=rfc3339(of.snapshot)[:10],
    )
    return str(settings["prefix"]) + name


def _longest(layout: Layout, run: str, pattern: str, template: Template) -> int:
    """The length in bytes of the longest file name of this pattern, final or staged."""
    final = shard_name(pattern, 0)
    if template.keeps:
        return len(final.encode())
    # A staged name has these folders instead of the final ones.
    staged = layout.run(run).staged(unit_id(0, 0), LAST_ATTEMPT, final)
    return max(len(final.encode()), len(staged.encode()))


# File numbers have a fixed width of 12 digits.
LONGEST_NUMBER = 10**12 - 1
WINDOWS_MARKS = '<>:"|?*\\'
WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}


def refuse_names(patterns: Iterable[tuple[str, str]], rules: NameRules, url: str) -> None:
    """Raise UsageError where files or folders of two tables would have one name, or a name is too long.

    patterns: tables, each with a pattern of its files.
    """
    seen: dict[str, tuple[str, str]] = {}
    for table, pattern in patterns:
        name = shard_name(pattern, LONGEST_NUMBER)
        if rules.windows and (wrong := refused_by_windows(name)):
            cause = f"its file {_short(name)} cannot exist on Windows: {wrong}"
            hint = "Leave the table out with {setting:exclude}, change {setting:path}, or export to a bucket."
            raise UsageError(PLAN, f"table {table}", cause, hint)
        if wrong := _too_long(name, rules):
            cause = f"its file {_short(name)} {wrong} in {url}"
            shorter = "Shorten {setting:path} or {setting:prefix}"
            hint = f"{shorter}, leave the table out with {{setting:exclude}}, or export to a bucket."
            raise UsageError(PLAN, f"table {table}", cause, hint)
        for path in accumulate(pattern.split("/"), lambda folder, part: f"{folder}/{part}"):
            known, other = seen.setdefault(rules.alike(path), (path, table))
            if known != path:
                cause = f"{url} cannot store both {known} and {path}: its file system ignores {_ignored(rules)}"
                hint = "Leave one of them out with {setting:exclude}, or export to a bucket or to another disk."
                raise UsageError(PLAN, f"tables {other} and {table}", cause, hint)


def refused_by_windows(name: str) -> str:
    """Why Windows can have no file of this name, which has slashes between its parts; "" where it can.

    Source: https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
    """
    for part in name.rstrip("/").split("/"):
        if forbidden := next((mark for mark in part if mark in WINDOWS_MARKS or mark < " "), ""):
            return f"{_short(part)} contains {forbidden!r}"
        if part.endswith((".", " ")):
            return f"{_short(part)!r} ends with a {'dot' if part.endswith('.') else 'space'}"
        # Whatever extensions follow.
        if part.partition(".")[0].rstrip(" ").upper() in WINDOWS_DEVICES:
            return f"{_short(part)} is the name of a device"
    return ""


def _too_long(name: str, rules: NameRules) -> str:
    longest = max(map(rules.length, name.split("/")))
    unit = "UTF-16 units" if rules.utf16 else "bytes"
    if rules.part_bytes and longest > rules.part_bytes:
        return f"has a part of {longest} {unit}, and the file system allows {rules.part_bytes}"
    if rules.path_bytes and rules.length(name) > rules.path_bytes:
        return f"has {rules.length(name)} {unit}, and the system allows {rules.path_bytes}"
    return ""


def _ignored(rules: NameRules) -> str:
    both = (("case", rules.ignores_case), ("the Unicode form of letters", rules.ignores_form))
    return " and ".join(what for what, ignored in both if ignored)


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:60]}…"
