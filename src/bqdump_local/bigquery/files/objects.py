"""The Cloud Storage server that extract jobs write to and load jobs read from."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from bqdump_local.bigquery.errors import BigQueryError, invalid

URI = re.compile(r"gs://(?P<bucket>[^/*]+)/(?P<name>.+)")


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and object name. BigQuery merges consecutive slashes."""
    match = URI.fullmatch(uri)
    if match is None:
        raise invalid(f"Invalid URI: {uri}. Only Google Cloud Storage URIs (gs://bucket/object) are supported.")
    return match["bucket"], re.sub("/+", "/", match["name"])


class ObjectStore:
    """A client for the JSON API at `base`."""

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")
        # Only broken connections are retried.
        retries = urllib3.Retry(total=3, status=0, redirect=0, allowed_methods=None, raise_on_status=False)
        self._http = urllib3.PoolManager(num_pools=4, maxsize=64, retries=retries, timeout=600)

    def put(self, uri: str, path: Path) -> None:
        """Upload a file. An existing object is overwritten, as in BigQuery."""
        bucket, name = split_uri(uri)
        query = urlencode({"uploadType": "media", "name": name})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
        with path.open("rb") as file:
            response = self._http.request(
                "POST", f"{self._base}/upload/storage/v1/b/{bucket}/o?{query}", body=file, headers=headers
            )
        _check(response, uri)

    def get(self, uri: str, path: Path) -> None:
        """Download an object to a file."""
        bucket, name = split_uri(uri)
        url = f"{self._base}/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
        response = self._http.request("GET", url, preload_content=False)
        try:
            if response.status >= 400:
                response.read()
            _check(response, uri)
            with path.open("wb") as file:
                shutil.copyfileobj(response, file, 1 << 20)
        finally:
            response.release_conn()

    def exists(self, uri: str) -> bool:
        """Whether an object matches the URI, which may contain `*`."""
        try:
            return bool(self.expand(uri))
        except BigQueryError as error:
            if error.reason == "notFound":
                return False
            raise

    def expand(self, uri: str) -> list[str]:
        """The URIs that match a `*`; at least one must exist."""
        if "*" not in uri:
            return [uri]
        bucket, pattern = split_uri(uri)
        prefix, _, suffix = pattern.partition("*")
        names: list[str] = []
        token = ""
        while True:
            query = urlencode({"prefix": prefix, **({"pageToken": token} if token else {})})
            response = self._http.request("GET", f"{self._base}/storage/v1/b/{bucket}/o?{query}")
            _check(response, uri)
            page: dict[str, Any] = json.loads(response.data)
            names += [item["name"] for item in page.get("items", []) if item["name"].endswith(suffix)]
            token = page.get("nextPageToken", "")
            if not token:
                break
        if not names:
            raise BigQueryError("notFound", f"Not found: URI {uri}")
        return [f"gs://{bucket}/{name}" for name in sorted(names)]


def _check(response: urllib3.BaseHTTPResponse, uri: str) -> None:
    if response.status < 400:
        return
    if response.status == 404:
        raise BigQueryError("notFound", f"Not found: URI {uri}")
    if response.status in {401, 403, 412}:
        raise BigQueryError("accessDenied", f"Access Denied: File {uri}: Access Denied")
    raise BigQueryError("backendError", f"Error writing or reading {uri}. Retrying the job may solve the problem.")
