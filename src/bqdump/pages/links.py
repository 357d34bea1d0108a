"""Links to files and jobs, most of them in the Google Cloud console.

Storage: https://cloud.google.com/storage/docs/collaboration. Jobs: https://cloud.google.com/bigquery/docs/managing-jobs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bqdump.core.documents.manifest_index import is_job
from bqdump.core.settings.target import recorded_target

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
