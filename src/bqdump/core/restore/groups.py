"""The files of a table, in load jobs that respect the limits of a job.

Source: https://cloud.google.com/bigquery/quotas#load_jobs,
https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-csv#limitations
"""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.documents.manifest import File
from bqdump.core.sizes import size_text

MOST_FILES = 10_000
MOST_BYTES = 15 * 10**12
# Of their names: the request for a job is limited to 10 MB.
MOST_NAME_BYTES = 8 * 10**6
BUCKET_NAME_BYTES = 240
# Of a file that BigQuery reads from its beginning to its end.
MOST_SEQUENTIAL_BYTES = 4 * 10**9


def grouped(files: Sequence[File]) -> tuple[tuple[File, ...], ...]:
    """The files of each load job, in their order. Files without rows are left out."""
    groups: list[list[File]] = []
    bytes_, names = 0, 0
    for file in files:
        if file.size == 0 or file.rows == 0:
            continue
        length = len(file.name.encode()) + BUCKET_NAME_BYTES
        full = groups and (
            len(groups[-1]) == MOST_FILES or bytes_ + file.size > MOST_BYTES or names + length > MOST_NAME_BYTES
        )
        if full or not groups:
            groups.append([])
            bytes_, names = 0, 0
        groups[-1].append(file)
        bytes_, names = bytes_ + file.size, names + length
    return tuple(map(tuple, groups))


def too_large(files: Sequence[File], format_: str, codec: str, *, quoted_lines: bool) -> str:
    """Why no load job takes these files, naming the first that is too large; "" where it takes all of them.

    quoted_lines: the job allows line breaks within quoted values of a CSV file.
    """
    gzip = format_ in ("csv", "json") and codec == "gzip"
    if not gzip and not (format_ == "csv" and quoted_lines):
        return ""
    large = [file for file in files if file.size > MOST_SEQUENTIAL_BYTES]
    if not large:
        return ""
    what = "compressed files" if gzip else "CSV files with line breaks in quoted values"
    more = f" ({len(large):,} files are larger)" if len(large) > 1 else ""
    limit = size_text(MOST_SEQUENTIAL_BYTES)
    return f"load jobs take {what} up to {limit}, and {large[0].name} has {size_text(large[0].size)}{more}"
