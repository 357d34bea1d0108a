"""The settings of an export: one table of them, read from flags, environment and bqdump.toml, in that order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.layout import Layout
from bqdump.core.errors import UsageError
from bqdump.core.formats.formats import ALIASES, FORMATS
from bqdump.core.risks import REFUSED, Risk
from bqdump.core.settings import values as parse
from bqdump.core.settings.path_template import DEFAULT, Template, parse_template
from bqdump.core.settings.table_settings import TableSettings, parse_tables
from bqdump.core.settings.values import ROUTES
from bqdump.core.times import parse_moment

READ = "read the settings"
# What may differ between two starts of one run: none of it changes what is exported.
OF_ONE_START = (
    "read_memory", "read_split", "concurrency", "run_id", "snapshot_time", "location", "max_bytes_billed",
    "allow", "allow_partial", "patience",
)  # fmt: skip

# What belongs to a single run, and why a file of settings, which every later run reads as well, cannot hold it.
OF_ONE_RUN = {
    "run_id": "a run is published once, so every later run would end at once, with nothing exported",
    "snapshot_time": "every later run would export the same old data again",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of one export, checked. See SETTINGS for what each one means."""

    project: str
    dataset: str
    bucket: str
    to: str = ""
    prefix: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep_others: bool = False
    route: tuple[str, ...] = ()
    format: str = "csv"
    compression: str = "none"
    header: bool = True
    delimiter: str = ","
    on_unsupported: str = "fail"
    null_marker: str = ""
    file_size: int = 0
    row_group_rows: int = 0
    read_memory: int = 256 * 10**6
    read_split: int = 10**9
    path: str = DEFAULT
    job_project: str = ""
    location: str = ""
    concurrency: int = 500
    labels: dict[str, str] = {}
    kms_key: str = ""
    run_id: str = ""
    snapshot_time: str = ""
    patience: int | None = None
    allow_partial: bool = False
    max_bytes_billed: int = 0
    allow: tuple[Risk, ...] = ()
    tables: tuple[TableSettings, ...] = ()

    @property
    def jobs_in(self) -> str:
        """The project in which jobs run and are billed."""
        return self.job_project or self.project

    @property
    def target(self) -> str:
        """Where the export goes, for a sentence."""
        return f"{self.to or 'gs://' + self.bucket}/{self.prefix}"

    @property
    def layout(self) -> Layout:
        """The object names below this target."""
        return Layout(self.prefix)

    @property
    def template(self) -> Template:
        """The path template, parsed."""
        return parse_template(self.path)

    @property
    def routes(self) -> list[tuple[str, str]]:
        """Patterns of table names with the route that was asked for; the last that matches counts."""
        return [(pattern, route) for pattern, _, route in (entry.rpartition("=") for entry in self.route)]

    @property
    def snapshot_ms(self) -> int | None:
        """The wanted snapshot time in milliseconds since 1970 UTC, None for "now"."""
        return parse_moment(self.snapshot_time) if self.snapshot_time else None

    def frozen(self) -> dict[str, Any]:
        """The settings that shape the plan, as JSON has them: two tasks of one run must agree on all of these."""
        values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        for name in OF_ONE_START:
            del values[name]
        return values

    def digest(self) -> str:
        """A short fingerprint of the settings that shape the plan."""
        return hashlib.sha256(msgspec.json.encode(self.frozen(), order="deterministic")).hexdigest()[:16]


class Setting(NamedTuple):
    """One row of the table of settings."""

    name: str
    env: str
    parse: Callable[[Any], Any]
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.name.replace("_", "-")


PROJECT = parse.name(r"[A-Za-z0-9][A-Za-z0-9.:_-]{1,100}", "a project id is wanted")
DATASET = parse.name(r"\w{1,1024}", "the id of a dataset is wanted, letters, digits and _, without the project")

SETTINGS: tuple[Setting, ...] = (
    Setting("project", "PROJECT_ID", PROJECT, "ID", "Project that holds the dataset (required)."),
    Setting("dataset", "SOURCE_DATASET", DATASET, "NAME", "Dataset to export (required)."),
    Setting("bucket", "DESTINATION_BUCKET", parse.bucket, "NAME", "Bucket to export to, without gs:// (required)."),
    Setting("to", "BQDUMP_TO", parse.text, "FOLDER",
            "Local folder to export to, instead of a bucket (by the read route)."),
    Setting("prefix", "BQDUMP_PREFIX", parse.prefix, "FOLDER", "Folder in the bucket; an export needs one of its own."),
    Setting("include", "BQDUMP_INCLUDE", parse.patterns, "PATTERN,…",
            "Only tables whose names match (* and ? allowed)."),
    Setting("exclude", "BQDUMP_EXCLUDE", parse.patterns, "PATTERN,…", "No tables whose names match."),
    Setting("keep_others", "BQDUMP_KEEP_OTHERS", parse.flag, "BOOL",
            "Carry tables that --include and --exclude leave out over from the published export, as they are."),
    Setting("route", "BQDUMP_ROUTE", parse.routes, "ROUTE,…",
            "extract, query, read or auto (the default: the cheapest that can do it); TABLE=ROUTE for some tables."),
    Setting("format", "BQDUMP_FORMAT", parse.format_, "NAME", "csv, json (newline-delimited), avro or parquet."),
    Setting("compression", "BQDUMP_COMPRESSION", parse.word, "CODEC",
            "none; gzip (csv, json, parquet), deflate (avro), snappy (avro, parquet), zstd (parquet)."),
    Setting("header", "BQDUMP_HEADER", parse.flag, "BOOL", "Column names in the first line of each CSV file."),
    Setting("delimiter", "BQDUMP_DELIMITER", parse.delimiter, "CHAR",
            "Between the values of a CSV line; tab for a tabulator."),
    Setting("on_unsupported", "BQDUMP_ON_UNSUPPORTED", parse.on_unsupported, "WHAT",
            "Columns that the format cannot hold: fail, skip (leave them out) or string (export them as text)."),
    Setting("null_marker", "BQDUMP_NULL_MARKER", parse.null_marker, "TEXT",
            "What stands for NULL in CSV (read route); without, an empty field."),
    Setting("file_size", "BQDUMP_FILE_SIZE", parse.size, "SIZE",
            "About how large files become, such as 256MB (read route); without, one file a stream."),
    Setting("row_group_rows", "BQDUMP_ROW_GROUP_ROWS", parse.rows, "N",
            "Rows in a row group of Parquet, at most (read route); 0 leaves it to the width of a row."),
    Setting("read_memory", "BQDUMP_READ_MEMORY", parse.memory, "SIZE",
            "How much memory the rows of the read route may take (beside about 200 MB for the process)."),
    Setting("read_split", "BQDUMP_READ_SPLIT", parse.size, "SIZE",
            "Several tasks share a large table of the read route, each so much of it at least; 0: one task a table."),
    Setting("path", "BQDUMP_PATH", parse.text, "TEMPLATE",
            "Names of the files, with one *. With {run} each run keeps its files; without, it replaces the last."),
    Setting("job_project", "BQDUMP_JOB_PROJECT", PROJECT, "ID", "Project that runs the jobs (default: project)."),
    Setting("location", "BQDUMP_LOCATION", parse.name(r"[A-Za-z0-9-]+", "a location such as EU is wanted"), "NAME",
            "Where the dataset must lie (default: wherever it lies)."),
    Setting("concurrency", "BQDUMP_CONCURRENCY", parse.count, "N", "Jobs in flight per task, 1 to 1000."),
    Setting("labels", "BQDUMP_LABELS", parse.labels, "KEY=VALUE,…", "Labels of every job."),
    Setting("kms_key", "BQDUMP_KMS_KEY",
            parse.name(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+",
                  "projects/P/locations/L/keyRings/R/cryptoKeys/K is wanted"),
            "NAME", "Cloud KMS key of every file and document in the bucket (default: the bucket's own default)."),
    Setting("run_id", "BQDUMP_RUN_ID", parse.run_id, "ID",
            "Name of the run (default: CLOUD_RUN_EXECUTION, else the UTC time). Naming an unfinished run resumes it."),
    Setting("snapshot_time", "BQDUMP_SNAPSHOT_TIME", parse.moment, "TIME",
            "Read every table as it was then (default: now, by BigQuery's clock)."),
    Setting("patience", "BQDUMP_PATIENCE", parse.duration, "TIME",
            "How long to wait for a service that does not answer, such as 90s, 15m or 2h (default: 15m for run, 1m for "
            "other commands)."),
    Setting("allow_partial", "BQDUMP_ALLOW_PARTIAL", parse.flag, "BOOL",
            "Publish what is whole although some tables failed."),
    Setting("max_bytes_billed", "BQDUMP_MAX_BYTES_BILLED", parse.size, "SIZE",
            "Refuse an export whose queries would bill more, such as 10GB or 1 TiB (default: no limit)."),
    Setting("allow", "BQDUMP_ALLOW", parse.risks, "RISK,…",
            f"Export despite these risks: {', '.join(REFUSED)}."),
    Setting("tables", "BQDUMP_TABLES", lambda value: parse_tables(value, tuple(FORMATS), ALIASES, ROUTES), "JSON",
            "Settings of single tables: sections [tables.NAME] of bqdump.toml, or the same as JSON."),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}
REQUIRED = ("project", "dataset", "bucket")


def resolve(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    toml: Mapping[str, Any],
    toml_name: str,
    required: Sequence[str] = REQUIRED,
) -> Settings:
    """The settings of one export. A flag wins over the environment, the environment over the file.

    So does one target over the other: --to over DESTINATION_BUCKET, --bucket over BQDUMP_TO.

    required: what the command at hand cannot do without.

    Raises UsageError, naming the setting and the place it came from.
    """
    if unknown := [key for key in toml if key not in BY_NAME]:
        import difflib

        close = difflib.get_close_matches(unknown[0], BY_NAME, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known settings: {', '.join(BY_NAME)}."
        raise UsageError(READ, toml_name, f"unknown setting {unknown[0]!r}", hint)
    values: dict[str, Any] = {}
    # How far behind the flags each value was found.
    ranks: dict[str, int] = {}
    for setting in SETTINGS:
        sources = ((setting.flag, flags.get(setting.name)), (setting.env, environ.get(setting.env)),
                   (f"{toml_name}: {setting.name}", toml.get(setting.name)))  # fmt: skip
        for rank, (place, value) in enumerate(sources):
            if value is None:
                continue
            if value == "" and setting.name in REQUIRED:
                raise UsageError(READ, place, "it is empty", setting.help)
            try:
                values[setting.name], ranks[setting.name] = setting.parse(value), rank
            except ValueError as error:
                raise UsageError(READ, place, f"{_shown(value)} cannot be used: {error}") from None
            break
    _one_target(values, ranks)
    given = {name for name, value in values.items() if value} | ({"bucket"} if values.get("to") else set())
    if missing := [name for name in required if name not in given]:
        which = " and ".join(f"{BY_NAME[name].env} ({BY_NAME[name].flag})" for name in missing)
        raise UsageError(READ, "", f"missing: {which}", "Set it in the environment, by flag, or in bqdump.toml.")
    return check(Settings(**({"project": "", "dataset": "", "bucket": ""} | values)))


def _shown(value: Any) -> str:
    """A value for a sentence, cut where it would be the longest part of it."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _one_target(values: dict[str, Any], ranks: Mapping[str, int]) -> None:
    """Leave of bucket and folder the one that was found closer to the flags. Raises UsageError for two of one place."""
    bucket, folder = values.get("bucket"), values.get("to")
    if not (bucket and folder):
        return
    if ranks["bucket"] == ranks["to"]:
        cause = f"an export goes to one place, and both bucket {bucket} and folder {folder} are given"
        raise UsageError(READ, "to", cause, "Leave one of them out.")
    del values[max("bucket", "to", key=ranks.__getitem__)]


def check(settings: Settings) -> Settings:
    """The same settings, after the checks that look at several of them. Raises UsageError."""
    codecs = FORMATS[settings.format].codecs
    if settings.compression not in codecs:
        raise UsageError(
            READ, "compression", f"{settings.compression!r} is not a codec of {settings.format}",
            f"{settings.format} takes {', '.join(codecs)}.",
        )  # fmt: skip
    parse_template(settings.path)
    if settings.delimiter in settings.null_marker:
        raise UsageError(
            READ, "null_marker", f"{settings.null_marker!r} contains the delimiter {settings.delimiter!r}",
            "Use another marker or another delimiter.",
        )  # fmt: skip
    formats = _formats(settings)
    for name, format_, words in (("null_marker", "csv", "CSV"), ("row_group_rows", "parquet", "Parquet")):
        if getattr(settings, name) and format_ not in formats:
            raise UsageError(
                READ, name, f"it is for {words} only, and no table is exported as {words}",
                f"Leave it out, or use --format {format_}.",
            )  # fmt: skip
    return settings


def _formats(settings: Settings) -> set[str]:
    """The formats that tables may be exported in."""
    sections = [section for section in settings.tables if section.format]
    every = any(section.name == "*" for section in sections)
    return {section.format for section in sections} | (set() if every else {settings.format})
