"""The settings of an export: what each one is called, which values it takes, and what it means.

Each is a field of Settings and a row of SETTINGS, from which flags, variables, keys and reference pages follow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.path_template import DEFAULT, Template, parse_template
from bqdump.core.formats.formats import FORMATS
from bqdump.core.risks import REFUSED, Risk
from bqdump.core.settings import amounts
from bqdump.core.settings import values as parse
from bqdump.core.settings.table_settings import TableSettings, parse_tables
from bqdump.core.settings.target import Target, names_several, parse_datasets, parse_target, record_of
from bqdump.core.settings.values import ROUTES
from bqdump.core.tables.columns import POLICIES
from bqdump.core.times import parse_time

# The settings of prune: in bqdump.toml, those of the table [retention].
RULES = (
    *("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within"),
    *("keep_within_daily", "keep_within_weekly", "keep_within_monthly", "keep_tag"),
)
RETENTION = (*RULES, "abandoned_after")
# Settings that may differ between two starts of one run: they do not change what is exported.
START_SETTINGS = (
    *("read_memory", "read_split", "concurrency", "run_id", "snapshot_time", "max_bytes_billed"),
    *("price_per_tib", "strict", "allow", "allow_partial", "patience", "endpoint", "job_timeout"),
    *("notify", "prune", *RETENTION, "sign", "trust", "newest_within"),
    *("ping", "rpo", "rto"),
)
FULL_AFTER = 30 * 86_400
ABANDONED_AFTER = 7 * 86_400
# An export of a single dataset does not record them.
SET_SETTINGS = ("exclude_datasets", "location")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one export, validated. SETTINGS describes each one; `to`, `bucket` and `prefix` are `target`."""

    project: str
    dataset: str
    target: Target
    exclude_datasets: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep_others: bool = False
    incremental: bool = False
    full_every: int | None = None
    route: str = "auto"
    format: str = "csv"
    compression: str = "none"
    partition_times: bool = False
    header: bool = True
    delimiter: str = ","
    iceberg: bool = False
    on_unsupported: str = "fail"
    null_marker: str = ""
    file_size: int = 0
    row_group_rows: int = 0
    read_memory: int = 256 * 10**6
    read_split: int = 10**9
    path: str = DEFAULT
    partitions_min_bytes: int = 10**9
    job_project: str = ""
    location: str = ""
    concurrency: int = 500
    labels: dict[str, str] = {}
    kms_key: str = ""
    run_id: str = ""
    snapshot_time: str = ""
    patience: int | None = None
    endpoint: str = ""
    job_timeout: int | None = None
    notify: str = ""
    ping: str = ""
    sign: str = ""
    trust: tuple[str, ...] = ()
    newest_within: int | None = None
    rpo: int | None = None
    rto: int | None = None
    allow_partial: bool = False
    max_bytes_billed: int = 0
    price_per_tib: float | None = None
    strict: bool = False
    allow: tuple[Risk, ...] = ()
    prune: bool = False
    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: int | None = None
    keep_within_daily: int | None = None
    keep_within_weekly: int | None = None
    keep_within_monthly: int | None = None
    keep_tag: tuple[str, ...] = ()
    abandoned_after: int | None = None
    tables: tuple[TableSettings, ...] = ()

    @property
    def names_several(self) -> bool:
        """Whether `dataset` names several datasets, or is a pattern: each is exported below a folder of its own."""
        return names_several(self.dataset)

    @property
    def has_objectives(self) -> bool:
        """Whether it is to be checked how safe the datasets are."""
        return self.rpo is not None or self.rto is not None

    @property
    def jobs_in(self) -> str:
        """The project in which jobs run and are billed."""
        return self.job_project or self.project

    @property
    def layout(self) -> Layout:
        """The object names below the target."""
        return Layout(self.target.prefix)

    @property
    def template(self) -> Template:
        """The path template, parsed."""
        return parse_template(self.path)

    @property
    def snapshot_ms(self) -> int | None:
        """The requested snapshot time in milliseconds since 1970 UTC, None for "now"."""
        return parse_time(self.snapshot_time) if self.snapshot_time else None

    @property
    def full_after(self) -> int:
        """The seconds after which even unchanged tables are exported, 0 for never."""
        return FULL_AFTER if self.full_every is None else self.full_every

    @property
    def abandoned_seconds(self) -> int:
        """After this many seconds an unfinished run may be deleted; 0: never."""
        return ABANDONED_AFTER if self.abandoned_after is None else self.abandoned_after

    def frozen(self) -> dict[str, Any]:
        """The settings that shape the plan, as JSON: two tasks of one run must agree on all of them."""
        values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        del values["target"]
        left_out = START_SETTINGS if self.names_several else (*START_SETTINGS, *SET_SETTINGS)
        return {name: value for name, value in values.items() if name not in left_out} | record_of(self.target)

    def digest(self) -> str:
        """A short fingerprint of the settings that shape the plan."""
        return hashlib.sha256(msgspec.json.encode(self.frozen(), order="deterministic")).hexdigest()[:16]


class Setting(Struct, frozen=True):
    """A row of the table of settings. choices: all values, for completion; env: its variable, if not BQDUMP_<NAME>."""

    name: str
    parse: Callable[[Any], Any]
    metavar: str
    help: str
    choices: Sequence[str] = ()
    variable: str = ""

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.name.rstrip("_").replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable."""
        return self.variable or f"BQDUMP_{self.name.upper()}"

    @property
    def switch(self) -> bool:
        """Whether it is on or off: the flag takes no value."""
        return self.metavar == "BOOL"

    @property
    def repeated(self) -> bool:
        """Whether the flag may be given more than once."""
        return self.metavar.endswith(",…")


# Only projects of a domain have a dot: example.com:my-project.
PROJECT = parse.name(r"([A-Za-z0-9][A-Za-z0-9.-]{1,100}:)?[A-Za-z0-9][A-Za-z0-9_-]{1,100}", "a project id")
LOCATION = parse.name(r"[A-Za-z0-9-]+", "a location such as EU")
KEY_NAME = "projects/P/locations/L/keyRings/R/cryptoKeys/K"
KMS_KEY = parse.name(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+", KEY_NAME)
CODECS = tuple(sorted({codec for kind in FORMATS.values() for codec in kind.codecs}))
WHERE = (
    "Target instead of {setting:bucket}: gs://BUCKET/PREFIX, a local folder (with the read route), or a copy in s3://."
)
DATASETS = "Dataset to export, or several: names and patterns (* and ?, label:KEY=VALUE), each in its own folder."
LEAVE_OUT = "Leave out datasets that match (* and ? allowed), where {setting:dataset} has a pattern."
ONLY = "Export only tables that match (* and ? allowed, or label:KEY=VALUE)."
NOT = "Exclude tables that match (* and ? allowed, or label:KEY=VALUE)."
KEEP = "Carry tables excluded by {setting:include}/{setting:exclude} over from the published export, unchanged."
INCREMENTAL = "Export only tables that changed; reuse earlier files for others."
FULL = "With {setting:incremental}: export even unchanged tables after this time (default: 30d); 0: never."
ROUTE = "Route of all tables: auto (the cheapest possible), extract, query or read."
FORMAT = "csv, json (newline-delimited), avro or parquet. For backups: parquet, which restores every value exactly."
COMPRESSION = "none; gzip (csv, json, parquet), deflate (avro), snappy (avro, parquet) or zstd (parquet)."
TIMES = "Export the partition time of each row of ingestion-time partitioned tables as a column (billed)."
UNSUPPORTED = "If a column does not fit the format: fail, skip it, or export it as a string."
ICEBERG = "Publish each table as an Iceberg table, too (Parquet only)."
FILE_SIZE = "Approximate file size, e.g. 256MB (read route); 0: one file per stream."
ROWS = "Maximum rows per Parquet row group (read route); 0: chosen from the row width."
MEMORY = "Memory for rows with the read route, in addition to about 200 MB for the process."
SPLIT = "Split larger tables among tasks, at least this many bytes each (read route); 0: never."
PATH = "File names, with one *. With {run}, each run has files of its own; without, a run replaces the last one's."
PARTITIONS = "With {partition} in the path: export larger tables by partition; 0: all partitioned tables."
KEY = "Cloud KMS key of all files and documents in the bucket (default: the bucket's key)."
RUN_ID = "Name of the run (default: the execution's name, else the UTC time). An unfinished run resumes."
LOCATED = "Required location of the dataset (default: any). Of a pattern of {setting:dataset}: only datasets there."
SNAPSHOT = "Read all tables as of this time (default: now, by BigQuery's clock)."
NOTIFY = "Post published and failed runs, and failed drills, to this https:// address, or a Slack webhook."
PING = "Address of a dead man's switch."
JOB_TIMEOUT = "Let BigQuery cancel jobs that take longer; their tables fail (default: never)."
SIGN = "Sign manifests with this private key: a PEM file, env:VARIABLE, or gcpkms://KEY."
TRUST = "Require a signature of one of these public keys."
NEWEST_WITHIN = "Refuse an older published run, e.g. 26h."
RPO = "Recovery point objective, e.g. 26h: the newest proven run may be this old (status, alerts)."
RTO = "Recovery time objective, e.g. 4h: a restore may take this long (status)."
PATIENCE = "Time to retry a service that does not answer (default: 15m for run, else 1m)."
ENDPOINT = "Address of the service for s3://, if it is not AWS, e.g. https://minio.example.com:9000."
BILLED = "Refuse to run queries that bill more than this in total, e.g. 10GB; 0: no limit."
PRICE = "Price of queries in USD per TiB, for the bill that plans show (default: the location's list price)."
ALLOW = f"Export despite these risks: {', '.join(REFUSED)}."
PRUNE = "After publishing, delete runs that the retention policy no longer keeps."
WITHIN_EACH = "Keep the newest run of each {each} within this time."
WITHIN = "Keep all runs of the last TIME before the newest run, e.g. 30d."
ABANDONED = "Delete what unfinished runs left behind after this time (default: 7d); 0: never."
TABLES = "Settings of single tables as JSON; in bqdump.toml: sections [tables.NAME]."

SETTINGS: tuple[Setting, ...] = (
    Setting("project", PROJECT, "ID", "Project of the dataset.", variable="PROJECT_ID"),
    Setting("dataset", parse_datasets, "NAME", DATASETS, variable="SOURCE_DATASET"),
    Setting("exclude_datasets", parse.object_patterns, "PATTERN,…", LEAVE_OUT),
    Setting("bucket", parse.bucket, "NAME", "Bucket of the exports, without gs://.", variable="DESTINATION_BUCKET"),
    Setting("to", parse_target, "TARGET", WHERE),
    Setting("prefix", parse.prefix, "FOLDER", "Folder in the target. Each dataset needs its own."),
    Setting("include", parse.object_patterns, "PATTERN,…", ONLY),
    Setting("exclude", parse.object_patterns, "PATTERN,…", NOT),
    Setting("keep_others", parse.flag, "BOOL", KEEP),
    Setting("incremental", parse.flag, "BOOL", INCREMENTAL),
    Setting("full_every", amounts.period, "TIME", FULL),
    Setting("route", parse.route, "ROUTE", ROUTE, ("auto", *ROUTES)),
    Setting("format", parse.format_, "NAME", FORMAT, tuple(FORMATS)),
    Setting("compression", parse.word, "CODEC", COMPRESSION, CODECS),
    Setting("partition_times", parse.flag, "BOOL", TIMES),
    Setting("header", parse.flag, "BOOL", "Write column names in the first line of each CSV file."),
    Setting("delimiter", parse.delimiter, "CHAR", "CSV delimiter; `tab` for a tab character."),
    Setting("iceberg", parse.flag, "BOOL", ICEBERG),
    Setting("on_unsupported", parse.on_unsupported, "POLICY", UNSUPPORTED, POLICIES),
    Setting("null_marker", parse.null_marker, "STRING", "String written for NULL in CSV (read route; default: empty)."),
    Setting("file_size", amounts.file_size, "SIZE", FILE_SIZE),
    Setting("row_group_rows", amounts.rows, "N", ROWS),
    Setting("read_memory", amounts.memory, "SIZE", MEMORY),
    Setting("read_split", amounts.size, "SIZE", SPLIT),
    Setting("path", parse.text, "TEMPLATE", PATH),
    Setting("partitions_min_bytes", amounts.size, "SIZE", PARTITIONS),
    Setting("job_project", PROJECT, "ID", "Project that runs and pays for the jobs (default: the dataset's)."),
    Setting("location", LOCATION, "NAME", LOCATED),
    Setting("concurrency", amounts.count, "N", "Concurrent jobs per task, 1 to 1000."),
    Setting("labels", parse.labels, "KEY=VALUE,…", "Labels of all jobs."),
    Setting("kms_key", KMS_KEY, "NAME", KEY),
    Setting("run_id", parse.run_id, "ID", RUN_ID),
    Setting("snapshot_time", parse.snapshot_time, "TIME", SNAPSHOT),
    Setting("patience", amounts.duration, "TIME", PATIENCE),
    Setting("endpoint", parse.endpoint, "URL", ENDPOINT),
    Setting("job_timeout", amounts.duration, "TIME", JOB_TIMEOUT),
    Setting("notify", parse.notify_url, "URL", NOTIFY),
    Setting("ping", parse.notify_url, "URL", PING),
    Setting("sign", parse.signing_key, "KEY", SIGN),
    Setting("trust", parse.key_files, "FILE,…", TRUST),
    Setting("newest_within", amounts.period, "TIME", NEWEST_WITHIN),
    Setting("rpo", amounts.objective, "TIME", RPO),
    Setting("rto", amounts.objective, "TIME", RTO),
    Setting("allow_partial", parse.flag, "BOOL", "Publish even if some tables failed."),
    Setting("max_bytes_billed", amounts.size, "SIZE", BILLED),
    Setting("price_per_tib", amounts.price, "USD", PRICE),
    Setting("strict", parse.flag, "BOOL", "Refuse to export columns whose values a restore would change."),
    Setting("allow", parse.risks, "RISK,…", ALLOW, REFUSED),
    Setting("prune", parse.flag, "BOOL", PRUNE),
    Setting("keep_last", amounts.kept, "N", "Keep the N newest runs."),
    Setting("keep_hourly", amounts.kept, "N", "Keep the newest run of each of N hours."),
    Setting("keep_daily", amounts.kept, "N", "Keep the newest run of each of N days."),
    Setting("keep_weekly", amounts.kept, "N", "Keep the newest run of each of N weeks."),
    Setting("keep_monthly", amounts.kept, "N", "Keep the newest run of each of N months."),
    Setting("keep_yearly", amounts.kept, "N", "Keep the newest run of each of N years."),
    Setting("keep_within", amounts.period, "TIME", WITHIN),
    Setting("keep_within_daily", amounts.period, "TIME", WITHIN_EACH.format(each="day")),
    Setting("keep_within_weekly", amounts.period, "TIME", WITHIN_EACH.format(each="week")),
    Setting("keep_within_monthly", amounts.period, "TIME", WITHIN_EACH.format(each="month")),
    Setting("keep_tag", parse.tags, "NAME,…", "Keep runs with this tag; those with the tag `keep` are always kept."),
    Setting("abandoned_after", amounts.age, "TIME", ABANDONED),
    Setting("tables", parse_tables, "JSON", TABLES),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
# The settings of a target; every command that opens one takes them.
TARGET = ("bucket", "to", "prefix")
REQUIRED = ("project", "dataset", "bucket")
