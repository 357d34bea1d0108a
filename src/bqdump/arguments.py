"""The settings as keyword arguments of the Python API. Made by `python -m bqdump.cli.reference`, compared in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict


class Options(TypedDict, total=False):
    """Any of the settings, and the file to read others from; docs/commands.md says what each one means."""

    config: str
    project: str
    dataset: str
    bucket: str
    to: str
    prefix: str
    include: str | Sequence[str]
    exclude: str | Sequence[str]
    keep_others: bool
    route: str | Sequence[str]
    format: str
    compression: str
    header: bool
    delimiter: str
    on_unsupported: str
    null_marker: str
    file_size: int | str
    row_group_rows: int | str
    read_memory: int | str
    read_split: int | str
    path: str
    job_project: str
    location: str
    concurrency: int | str
    labels: Mapping[str, str]
    kms_key: str
    run_id: str
    snapshot_time: str | datetime
    patience: int | None
    allow_partial: bool
    max_bytes_billed: int | str
    allow: str | Sequence[str]
    tables: Mapping[str, Mapping[str, Any]] | str
