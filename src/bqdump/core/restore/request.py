"""What is asked of a restore or a drill: the settings, as rows like those of an export, and what their strings mean.

Flag and variable follow from each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import structs

from bqdump.core.errors import UsageError
from bqdump.core.restore.names import parse_as, partition_range
from bqdump.core.restore.plan import Options
from bqdump.core.settings import values as parse
from bqdump.core.settings.settings import PROJECT, Setting, Settings
from bqdump.core.settings.target import BUCKET, DATASET, NAME, Target, parse_target

RESTORE = "restore"
# Stands for the name of the exported dataset, in that of the dataset to restore into.
PLACEHOLDER = "{dataset}"
SHOWN = 60
# https://cloud.google.com/resource-manager/docs/creating-managing-projects
SHORTEST_PROJECT = 6
USE_ONE = "Use one of them."
GRANTING = ("with_policies", "with_access")
# What else chooses what is restored.
CHOOSING = ("include", "exclude", "schema_only", "data_only", *GRANTING)


class Requested(NamedTuple):
    """A restore as requested. via: the bucket for its documents and uploads, None for that of the export."""

    options: Options
    via: Target | None


class Asked(NamedTuple):
    """What a caller asks of a restore, as the strings and flags of RESTORE_SETTINGS.

    planning: it is only shown, so `into` may be "", which stands for a dataset that does not exist.
    """

    into: str = ""
    include: str | Sequence[str] = ()
    exclude: str | Sequence[str] = ()
    partitions: str | Sequence[str] = ()
    as_: str = ""
    schema_only: bool = False
    data_only: bool = False
    replace: bool = False
    missing_only: bool = False
    with_policies: bool = False
    with_access: bool = False
    keep_references: bool = False
    verify: bool = False
    via: str = ""
    planning: bool = False


def requested(settings: Settings, asked: Asked) -> Requested:
    """The restore that is requested. settings: of the export's target. Raises UsageError."""
    project, dataset = ("", "") if asked.planning and not asked.into else parse_into(asked.into, settings.project)
    include, ranges = asked.include, [partition_range(value) for value in parse.patterns(asked.partitions)]
    _refuse_pairs(asked)
    refuse_empty("include", asked.include)
    refuse_empty("partitions", asked.partitions)
    if ranges:
        include = tuple(dict.fromkeys(chosen.table for chosen in ranges))
    if asked.data_only and not dataset:
        cause = "it restores rows into tables that exist, so their dataset must be named"
        raise UsageError(RESTORE, "", cause, "Name it with {setting:into}.", setting="data_only")
    through = _through(settings, asked.via) if dataset and not asked.schema_only else parse_via(asked.via)
    options = Options(
        project=project,
        dataset=dataset,
        include=parse.patterns(include),
        exclude=parse.patterns(asked.exclude),
        as_=parse_as(asked.as_),
        schema_only=asked.schema_only,
        data_only=asked.data_only,
        replace=asked.replace,
        missing_only=asked.missing_only,
        with_policies=asked.with_policies,
        with_access=asked.with_access,
        keep_references=asked.keep_references,
        partitions=tuple(f"{chosen.table}${chosen}" for chosen in ranges),
    )
    return Requested(options, through)


# What cannot be requested together, and why, in the order in which it is refused.
APART: tuple[tuple[str, str, str], ...] = (
    ("replace", "missing_only", USE_ONE),
    *(("partitions", other, "It restores rows of the tables that it names, and nothing else.") for other in CHOOSING),
    ("schema_only", "data_only", USE_ONE),
    ("verify", "schema_only", "Without rows there is nothing to compare."),
    *((grant, "data_only", "Only rows are restored.") for grant in GRANTING),
)


def refuse_empty(name: str, names: str | Sequence[str]) -> None:
    """Raise UsageError for a list of names that is given and names nothing: it would stand for everything."""
    if names != () and not parse.patterns(names):
        raise UsageError(RESTORE, "", "it names nothing", "Without it, everything is restored.", setting=name)


def _refuse_pairs(asked: Asked) -> None:
    """Raise UsageError for what cannot be requested together."""
    for setting, other, hint in APART:
        if getattr(asked, setting) and getattr(asked, other):
            raise UsageError(RESTORE, "", f"cannot be used together with {{setting:{other}}}", hint, setting=setting)


def requested_drill(
    settings: Settings,
    *,
    scratch_project: str,
    via: str,
    include: str | Sequence[str] = (),
    with_policies: bool = False,
    in_turn: bool = False,
) -> Requested:
    """The restore of a drill, whose dataset gets a name later. in_turn: it is of a sample. Raises UsageError."""
    project = scratch_project or settings.project
    if not project:
        hint = "Name the project of the scratch dataset, or set {required:project}."
        raise UsageError("drill", "", "missing", hint, setting="scratch_project")
    try:
        PROJECT(project)
    except ValueError as error:
        cause = f"invalid value {project!r}: {error}"
        raise UsageError("drill", "", cause, "Write the id of a project.", setting="scratch_project") from None
    refuse_empty("include", include)
    patterns = parse.patterns(include)
    if patterns and in_turn:
        cause = "cannot be used together with {setting:tables} or {setting:sample}, which choose tables in turn"
        raise UsageError("drill", "", cause, USE_ONE, setting="include")
    options = Options(project=project, dataset="", include=patterns, with_policies=with_policies)
    return Requested(options, _through(settings, via))


def _through(settings: Settings, via: str) -> Target | None:
    """The bucket to restore through. Raises UsageError if one is needed."""
    through = parse_via(via)
    if not settings.target.bucket and through is None:
        place = "this is a local folder" if settings.target.folder else "this is another service"
        cause = f"load jobs read from Cloud Storage, and {place}"
        hint = "Name a bucket that its files are uploaded to: {setting:via=gs://BUCKET}."
        raise UsageError(RESTORE, settings.target.folder or str(settings.target), cause, hint)
    return through


def parse_into(value: str, project: str) -> tuple[str, str]:
    """Project and dataset, which may contain {dataset}. project: the default. Raises UsageError."""
    if not value:
        raise UsageError(RESTORE, "", "missing", "Name the dataset: [PROJECT.]DATASET.", setting="into")
    # `bq` separates the two by a colon, and projects of a domain have one in their name.
    before, separator, dataset = value.rpartition("." if "." in value.rpartition(":")[2] else ":")
    if not (before or separator or project):
        hint = "Write PROJECT.DATASET, or set {required:project}."
        raise UsageError(RESTORE, repr(value), "its project is not known", hint, setting="into")
    if set("{}") & set(before + dataset.replace(PLACEHOLDER, "")):
        cause = f"invalid value {value!r}: the only placeholder is {PLACEHOLDER}, within the name of the dataset"
        hint = f"Write [PROJECT.]DATASET, such as {project or 'my-project'}.{PLACEHOLDER}_restored."
        raise UsageError(RESTORE, "", cause, hint, setting="into")
    for part, parser in (
        (dataset.replace(PLACEHOLDER, "_"), DATASET),
        (before if separator else project, PROJECT),
    ):
        try:
            parser(part or "?")
        except ValueError as error:
            cause = f"invalid value {value!r}: {str(error).removesuffix(', without the project')}"
            hint = f"Write [PROJECT.]DATASET, such as {project or 'my-project'}.sales_restored."
            if value.count(".") > 1:
                cause = f"invalid value {value!r}"
                hint = "Write [PROJECT.]DATASET, and choose tables with {setting:include}."
            raise UsageError(RESTORE, "", cause, hint, setting="into") from None
    if before and project not in ("", before) and len(before) < SHORTEST_PROJECT:
        cause = f"{before!r} is no project, whose id has at least {SHORTEST_PROJECT} characters"
        hint = "Write [PROJECT.]DATASET, and choose tables with {setting:include}."
        raise UsageError(RESTORE, "", f"invalid value {value!r}: {cause}", hint, setting="into")
    return before or project, dataset


def filled(options: Options, dataset: str) -> Options:
    """The options with this name in place of {dataset}. Raises UsageError where the result is too long."""
    if not options.dataset:
        return options
    name = options.dataset.replace(PLACEHOLDER, dataset)
    if not NAME.fullmatch(name):
        cause = f"the name for dataset {dataset[:SHOWN]} would have {len(name):,} characters, of 1,024 at most"
        raise UsageError(RESTORE, "", cause, "Use a shorter one.", setting="into")
    return msgspec.structs.replace(options, dataset=name)


def parse_via(value: str) -> Target | None:
    """The bucket to restore through, None for "". Raises UsageError."""
    if not value:
        return None
    try:
        target = parse_target(value)
    except ValueError as error:
        raise UsageError(RESTORE, "", f"invalid value {value!r}: {error}", setting="via") from None
    if target.scheme != BUCKET:
        cause = f"invalid value {value!r}: expected gs://BUCKET or gs://BUCKET/PREFIX"
        raise UsageError(RESTORE, "", cause, setting="via")
    return target


INTO = (
    "Dataset to restore into; created if it does not exist. {dataset} stands for the exported dataset's name, which "
    "a set requires."
)
AS = "Name of the restored table; {table} is the exported name."
PARTITIONS = "Restore only these partitions of these tables."
ROWS_ONLY = "Restore rows only, into tables that exist."
ONE_QUERY = "Also compare checksums of every column with the files. BigQuery bills one query per table."
GRANTS = "Add the dataset's access entries to those of the target."
NEXT = "the next drill continues"
PLACE = "gs://BUCKET[/PREFIX]"
# Of a restore and of a drill.
INCLUDE = Setting(
    "include",
    parse.patterns,
    "PATTERN,…",
    "Restore only objects that match (* and ? allowed).",
    variable="BQDUMP_RESTORE_INCLUDE",
)
WITH_POLICIES = Setting("with_policies", bool, "BOOL", "Also restore row access policies.")
FINISH_RUN = Setting("finish_run", bool, "BOOL", "First finish a run that was stopped while it replaced files.")
RESTORE_SETTINGS: tuple[Setting, ...] = (
    Setting("into", str, "[PROJECT.]DATASET", INTO),
    Setting("datasets", parse.patterns, "NAME,PATTERN,…", "Of a set, restore only these datasets (* and ? allowed).",
            variable="BQDUMP_RESTORE_DATASETS"),
    Setting("exclude_datasets", parse.patterns, "PATTERN,…", "Of a set, exclude datasets that match (* and ? allowed).",
            variable="BQDUMP_RESTORE_EXCLUDE_DATASETS"),
    INCLUDE,
    Setting("exclude", parse.patterns, "PATTERN,…", "Exclude objects that match (* and ? allowed).",
            variable="BQDUMP_RESTORE_EXCLUDE"),
    Setting("partitions", parse.patterns, "TABLE$ID[..ID],…", PARTITIONS, variable="BQDUMP_RESTORE_PARTITIONS"),
    Setting("as_", str, "NAME", AS, variable="BQDUMP_RESTORE_AS"),
    Setting("schema_only", bool, "BOOL", "Restore empty tables and other definitions."),
    Setting("data_only", bool, "BOOL", ROWS_ONLY),
    Setting("replace", bool, "BOOL", "Replace tables that exist, each atomically."),
    Setting("again", bool, "BOOL", "Redo a finished restore."),
    Setting("missing_only", bool, "BOOL",
            "Restore only what is missing or unfinished."),
    WITH_POLICIES,
    Setting("with_access", bool, "BOOL", GRANTS),
    Setting("keep_references", bool, "BOOL", "Keep views' references to the source."),
    Setting("verify", bool, "BOOL", ONE_QUERY, variable="BQDUMP_RESTORE_VERIFY"),
    FINISH_RUN,
    Setting("via", str, PLACE, "Bucket for the restore's documents, and for uploads of a local folder's files."),
    Setting("yes", bool, "BOOL", "Confirm that tables of the dataset that was exported are replaced."),
)  # fmt: skip
DRILL_SETTINGS: tuple[Setting, ...] = (
    structs.replace(INCLUDE, variable="BQDUMP_DRILL_INCLUDE"),
    structs.replace(WITH_POLICIES, variable="BQDUMP_DRILL_WITH_POLICIES"),
    Setting("scratch_project", PROJECT, "ID", "Project of the scratch dataset (default: {setting:project}).",
            variable="BQDUMP_DRILL_PROJECT"),
    Setting("tables", int, "N", f"Restore N tables in turn: {NEXT} after them.",
            variable="BQDUMP_DRILL_TABLES"),
    Setting("sample", str, "SHARE", "Restore this share of the tables in turn, such as 10%.",
            variable="BQDUMP_DRILL_SAMPLE"),
    Setting("via", str, PLACE, "Bucket for uploads of a local folder's files."),
    FINISH_RUN,
)  # fmt: skip
