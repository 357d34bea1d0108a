"""Numbers and times as text.

Links to files and jobs, most of them in the Google Cloud console.

Storage: https://cloud.google.com/storage/docs/collaboration. Jobs: https://cloud.google.com/bigquery/docs/managing-jobs
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from bqdump.core.documents.manifest_index import is_job
from bqdump.core.settings.target import recorded_target
from bqdump.core.sizes import size_text


def count_text(count: float) -> str:
    """A count with separators: "12,345"."""
    return f"{count:,}"


def duration_text(milliseconds: float) -> str:
    """A duration in at most two units."""
    seconds = milliseconds / 1000
    if milliseconds < 50:
        return "< 0.1 s" if milliseconds > 0 else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def growth_text(before: float, after: float) -> str:
    """The change in percent, with a sign; "" where it cannot be expressed."""
    percent = 100 * (after - before) / before if before and after else 0.0
    digits = 1 if abs(percent) < 1 else 0
    text = f"{percent:+,.{digits}f} %".replace("-", "−")
    return text if round(percent, digits) else ""


def rate_text(count: int, milliseconds: int) -> str:
    """Bytes per second, with the unit."""
    return f"{size_text(1000 * count / milliseconds)}/s" if milliseconds > 0 else "–"


def iso_text(milliseconds: int) -> str:
    """A time for machines, in UTC to the millisecond."""
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_text(milliseconds: int) -> str:
    """A time for people, in UTC to the second."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


CONSOLE = "https://console.cloud.google.com"


def object_address(settings: Mapping[str, Any], name: str) -> str:
    """The page of an object, by its run's settings; "" for a local folder, or if the settings name no bucket."""
    bucket = recorded_target(settings).bucket
    return bucket and f"{CONSOLE}/storage/browser/_details/{quote(bucket, safe='')}/{quote(name)}"


def folder_address(settings: Mapping[str, Any], name: str, root: str | None) -> str:
    """The folder of an object, for a link from a report: a page of the Google Cloud console, or a local folder.

    root: the address of the local export; "" if unknown, None for one relative to where the run stores its report.
    """
    folder = "/".join(name.split("/")[:-1])
    target = recorded_target(settings)
    if target.folder:
        # From [prefix/]_bqdump/runs/<run>/ to the root.
        way = "../" * (3 + target.prefix.count("/")) if root is None else root
        return way and way + quote(folder)
    way = "/".join(filter(None, (target.bucket, folder)))
    return f"{CONSOLE}/storage/browser/{quote(way)}" if target.bucket else ""


def job_address(settings: Mapping[str, Any], location: str, job: str) -> str:
    """The page of a BigQuery job; "" for a read session, which has none, or if the settings name no project."""
    project = settings.get("job_project") or settings.get("project")
    if not (project and is_job(job)):
        return ""
    name = quote(f"bq:{location}:{job}", safe="")
    return f"{CONSOLE}/bigquery?project={quote(str(project), safe='')}&j={name}&page=queryresults"
