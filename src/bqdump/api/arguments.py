"""The settings as keyword arguments of the Python API. Made by `python -m bqdump_reference`, compared in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

Route = Literal["auto", "extract", "query", "read"]
Format = Literal["csv", "json", "avro", "parquet"]
Compression = Literal["deflate", "gzip", "none", "snappy", "zstd"]
Unsupported = Literal["fail", "skip", "string"]
Accepted = Literal[
    "row-policies",
    "unseen-row-policies",
    "masked-columns",
    "streaming-buffer",
    "skipped",
    "created-later",
    "unapplied-changes",
    "unseen-changes",
    "pseudo-columns",
    "unseen-columns",
    "removed-tables",
    "lost-sections",
    "lifecycle-rules",
    "removed-partitions",
    "left-out-columns",
    "altered-values",
]


class Options(TypedDict, total=False):
    """The settings, and the file with further ones; None: not given. docs/settings.md describes each of them."""

    config: str | None
    project: str | None
    dataset: str | Sequence[str] | None
    exclude_datasets: str | Sequence[str] | None
    bucket: str | None
    to: str | None
    prefix: str | None
    include: str | Sequence[str] | None
    exclude: str | Sequence[str] | None
    keep_others: bool | None
    incremental: bool | None
    full_every: str | timedelta | None
    route: Route | None
    format: Format | None
    compression: Compression | None
    partition_times: bool | None
    header: bool | None
    delimiter: str | None
    iceberg: bool | None
    on_unsupported: Unsupported | None
    null_marker: str | None
    file_size: int | str | None
    row_group_rows: int | str | None
    read_memory: int | str | None
    read_split: int | str | None
    path: str | None
    partitions_min_bytes: int | str | None
    job_project: str | None
    location: str | None
    concurrency: int | str | None
    labels: Mapping[str, str] | None
    kms_key: str | None
    run_id: str | None
    snapshot_time: str | datetime | None
    patience: str | timedelta | None
    endpoint: str | None
    job_timeout: str | timedelta | None
    notify: str | None
    ping: str | None
    sign: str | None
    trust: str | Sequence[str] | None
    newest_within: str | timedelta | None
    rpo: str | timedelta | None
    rto: str | timedelta | None
    allow_partial: bool | None
    max_bytes_billed: int | str | None
    price_per_tib: float | str | None
    strict: bool | None
    allow: Accepted | Sequence[Accepted] | None
    prune: bool | None
    keep_last: int | str | None
    keep_hourly: int | str | None
    keep_daily: int | str | None
    keep_weekly: int | str | None
    keep_monthly: int | str | None
    keep_yearly: int | str | None
    keep_within: str | timedelta | None
    keep_within_daily: str | timedelta | None
    keep_within_weekly: str | timedelta | None
    keep_within_monthly: str | timedelta | None
    keep_tag: str | Sequence[str] | None
    abandoned_after: str | timedelta | None
    tables: Mapping[str, Mapping[str, Any]] | str | None


Options.__module__ = "bqdump"
