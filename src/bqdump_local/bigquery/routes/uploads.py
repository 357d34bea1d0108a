"""Routes for load jobs that upload their file: multipart and resumable uploads."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import threading
from pathlib import Path
from typing import Any

from starlette.responses import Response

from bqdump_local.bigquery.bodies import checked, decoded
from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes.http import Call, Endpoint, to_json

CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")


class UploadRoutes:
    """Uploads in progress, and the jobs that they start."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._uploads: dict[str, tuple[str, dict[str, Any], Path]] = {}
        # One request at a time appends to a file, or completes it.
        self._lock = threading.Lock()

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        path = "/upload/bigquery/v2/projects/{project}/jobs"
        return [Endpoint("POST", path, self.begin), Endpoint("PUT", path, self.resume)]

    def begin(self, call: Call) -> dict[str, Any] | Response:
        """Receive a multipart upload, or start a resumable one."""
        if call.query.get("uploadType") == "multipart":
            metadata, content = _parts(call.headers.get("content-type", ""), call.raw)
            job, path = checked("Job", metadata, "job"), self._temporary()
            path.write_bytes(content)
            return self._accept(call.project, job, path)
        upload = secrets.token_urlsafe(16)
        self._uploads[upload] = (call.project, checked("Job", call.body, "job"), self._temporary())
        location = f"{call.url}?uploadType=resumable&upload_id={upload}"
        return Response(status_code=200, headers={"Location": location, "X-GUploader-UploadID": upload})

    def resume(self, call: Call) -> dict[str, Any] | Response:
        """Receive a part of a resumable upload. The last one starts the job."""
        header = call.headers.get("content-range")
        match = CONTENT_RANGE.fullmatch(header) if header is not None else None
        if header is not None and match is None:
            raise invalid(f"Failed to parse Content-Range header: {header}")
        upload = call.query.get("upload_id", "")
        with self._lock:
            if upload not in self._uploads:
                raise BigQueryError("notFound", "Not found: Upload")
            project, metadata, path = self._uploads[upload]
            size = path.stat().st_size
            if match is not None and match["first"] is not None and int(match["first"]) != size:
                return _incomplete(size)
            with path.open("ab") as file:
                file.write(call.raw)
            size += len(call.raw)
            if match is not None and (match["total"] == "*" or int(match["total"]) > size):
                return _incomplete(size)
            del self._uploads[upload]
        return self._accept(project, metadata, path)

    def _temporary(self) -> Path:
        handle, name = tempfile.mkstemp(prefix="upload-", dir=self._service.catalog.warehouse.files)
        os.close(handle)
        return Path(name)

    def _accept(self, project: str, metadata: dict[str, Any], path: Path) -> dict[str, Any]:
        try:
            return self._service.accept(project, metadata, path).resource()
        except BigQueryError as error:
            # Once the job exists, it owns the file.
            if error.status != 503:
                path.unlink(missing_ok=True)
            raise


def _incomplete(size: int) -> Response:
    answer = to_json({}, 308)
    if size:
        answer.headers["Range"] = f"bytes=0-{size - 1}"
    return answer


def _parts(content_type: str, raw: bytes) -> tuple[dict[str, Any], bytes]:
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if match is None:
        raise invalid("A multipart upload needs a boundary.")
    mark = b"--" + match[1].encode()
    pieces = raw.split(mark)[1:-1]
    if len(pieces) != 2:
        raise invalid("A multipart upload needs two parts.")
    metadata, content = (piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces)
    return decoded(metadata), content
