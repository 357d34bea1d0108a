"""Where files and jobs are to be seen: mostly in Google's web console.

Storage: https://cloud.google.com/storage/docs/collaboration. Jobs: https://cloud.google.com/bigquery/docs/managing-jobs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bqdump.core.contents import is_job

CONSOLE = "https://console.cloud.google.com"


def object_address(settings: Mapping[str, Any], name: str) -> str:
    """The page of an object, by the settings of its run; "" in a local folder, which has none."""
    if settings.get("to"):
        return ""
    return f"{CONSOLE}/storage/browser/_details/{quote(str(settings['bucket']), safe='')}/{quote(name)}"


def folder_address(settings: Mapping[str, Any], name: str) -> str:
    """Where an object lies, for the report of its run: a page, or in a local folder the way from that report."""
    folder = "/".join(name.split("/")[:-1])
    if settings.get("to"):
        # From [prefix/]_bqdump/runs/<run>/ to the root.
        return "../" * (3 + str(settings.get("prefix", "")).count("/")) + quote(folder)
    return f"{CONSOLE}/storage/browser/{quote('/'.join(filter(None, (str(settings['bucket']), folder))))}"


def job_address(settings: Mapping[str, Any], location: str, job: str) -> str:
    """The page of a BigQuery job; "" for a read session, which has none."""
    if not is_job(job):
        return ""
    project = quote(str(settings.get("job_project") or settings["project"]), safe="")
    name = quote(f"bq:{location}:{job}", safe="")
    return f"{CONSOLE}/bigquery?project={project}&j={name}&page=queryresults"
