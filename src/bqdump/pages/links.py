"""Addresses in Google's web console.

Storage: https://cloud.google.com/storage/docs/collaboration. Jobs: https://cloud.google.com/bigquery/docs/managing-jobs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

CONSOLE = "https://console.cloud.google.com"


def object_address(settings: Mapping[str, Any], name: str) -> str:
    """The page of an object, by the settings of its run."""
    return f"{CONSOLE}/storage/browser/_details/{quote(str(settings['bucket']), safe='')}/{quote(name)}"


def folder_address(settings: Mapping[str, Any], name: str) -> str:
    """The page of the folder in which an object lies."""
    folder = "/".join((str(settings["bucket"]), *name.split("/")[:-1]))
    return f"{CONSOLE}/storage/browser/{quote(folder)}"


def job_address(settings: Mapping[str, Any], location: str, job: str) -> str:
    """The page of a BigQuery job."""
    project = quote(str(settings.get("job_project") or settings["project"]), safe="")
    name = quote(f"bq:{location}:{job}", safe="")
    return f"{CONSOLE}/bigquery?project={project}&j={name}&page=queryresults"
