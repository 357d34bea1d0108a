"""The operations of HTTP requests to Google's APIs, such as `storage.objects.insert`."""

from __future__ import annotations

_CRUD = {"GET": "get", "POST": "insert", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
# Last path segments that are methods rather than collections.
_BIGQUERY_VERBS = {
    "cancel": "jobs.cancel",
    "delete": "jobs.delete",
    "data": "tabledata.list",
    "insertAll": "tabledata.insertAll",
    "serviceAccount": "projects.getServiceAccount",
}


def storage_operation(method: str, target: str) -> str:
    """The operation of a Cloud Storage request, such as `storage.objects.insert`; `storage.batch` for a batch."""
    path = target.partition("?")[0].rstrip("/")
    if path.startswith("/batch"):
        return "storage.batch"
    if path.startswith("/upload/"):
        return "storage.objects.insert"
    words = path.removeprefix("/download").split("/")[1:]
    if words[:3] == ["storage", "v1", "projects"] and words[4:] == ["serviceAccount"]:
        return "storage.projects.serviceAccount.get"
    if words[:3] != ["storage", "v1", "b"]:
        return "storage.other"
    kind = "objects" if words[4:5] == ["o"] else "buckets"
    if len(words) > 6:
        return f"storage.{kind}.{words[6].removesuffix('To')}"
    if words[4:5] == ["lockRetentionPolicy"]:
        return "storage.buckets.lockRetentionPolicy"
    if words[4:5] == ["restore"]:
        return "storage.buckets.restore"
    if words[4:5] == ["iam"]:
        return f"storage.buckets.{'testIamPermissions' if words[5:] else method.lower() + 'IamPolicy'}"
    if method == "GET" and len(words) in {3, 5}:
        return f"storage.{kind}.list"
    return f"storage.{kind}.{_CRUD.get(method, 'other')}"


def bigquery_operation(method: str, target: str) -> str:
    """The operation of a BigQuery request, such as `bigquery.jobs.insert`."""
    path = target.partition("?")[0].rstrip("/").removeprefix("/resumable").removeprefix("/upload")
    words = path.removeprefix("/bigquery/v2").split("/")[1:]
    if words[:1] != ["projects"]:
        return "bigquery.other"
    last, _, verb = words[-1].partition(":")
    if len(words) % 2 and last in _BIGQUERY_VERBS:
        return f"bigquery.{_BIGQUERY_VERBS[last]}"
    if "queries" in words[2:3]:
        return "bigquery.jobs.query" if method == "POST" else "bigquery.jobs.getQueryResults"
    names_one = len(words) % 2 == 0
    collection = words[-2] if names_one else last
    action = verb or ("list" if method == "GET" and not names_one else _CRUD.get(method, "other"))
    return f"bigquery.{collection}.{action}"


def cloud_run_operation(method: str, target: str) -> str:
    """The operation of a request, such as `run.jobs.run`."""
    words = target.partition("?")[0].split("/")[6:]
    verb = words[-1].partition(":")[2] if words else ""
    kinds = [word for word in words[::2] if word]
    if not kinds:
        return "run.other"
    names_one = len(words) % 2 == 0
    action = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method, "get" if names_one else "list")
    return f"run.{'executions' if 'executions' in kinds else kinds[0]}.{verb or action}"
