"""The append-only exporter: it creates and reads objects, and replaces or deletes only those that this module names.

That takes a folder for each run: nothing else is ever replaced there.

The accounts of a vault, where copies are locked: the exporter has nothing there.
"""

from __future__ import annotations

import json

# IAM's conditions compare the names of resources: projects/_/buckets/BUCKET/objects/NAME.
# https://cloud.google.com/iam/docs/conditions-attribute-reference#resource-name
POINTERS = ("/_bqdump/latest.json", "/_bqdump/newest.json", "/_bqdump/project.json")
# The pointer of an Iceberg table, and the notes by which the tasks of a run divide its work: nothing else reads them.
TEMPLATES = (
    "/_bqdump/iceberg/{table}/metadata/version-hint.text",
    "/_bqdump/runs/{run}/planner.json",
    "/_bqdump/runs/{run}/publisher.json",
    "/_bqdump/runs/{run}/claims/",
    "/_bqdump/runs/{run}/sessions/",
    # Staged data of a running export.
    "/_bqdump/runs/{run}/data/",
    "/_bqdump/projects/{run}/planner.json",
    # What `bqdump doctor` tries the grants with.
    "/_bqdump/doctor/{name}",
)
TITLE = "bqdump-append-only"
CREATES, READS, REPLACES = "roles/storage.objectCreator", "roles/storage.objectViewer", "roles/storage.objectUser"


# What custom roles on the bucket of a vault grant.
COPIER = (
    "storage.objects.create",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.setRetention",
    "storage.objects.update",
)
PRUNER = ("storage.objects.delete", "storage.objects.get", "storage.objects.list")


def expression() -> str:
    """The condition on the role that may replace and delete, in IAM's language."""
    named = [f"resource.name.endsWith({json.dumps(name)})" for name in POINTERS]
    below = [f'resource.name.extract({json.dumps(template)}) != ""' for template in TEMPLATES]
    return " || ".join([*named, *below])
