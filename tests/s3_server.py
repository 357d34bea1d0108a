"""An S3 server on loopback: moto's, with what AWS does and moto does not, and with faults."""

from __future__ import annotations

import base64
import io
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import google_crc32c
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import MultipartChecksumBuilder, s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

ACCOUNT = "123456789012"
BUCKET = "bucket"


class Fault(NamedTuple):
    """An answer instead of moto's to the next requests of an operation, such as `put` or `get`.

    after: the request is carried out, and its answer is lost. name: a pattern of the object's name. text: the body,
    instead of an error.
    """

    operation: str
    status: int
    code: str
    after: bool = False
    times: int = 1
    name: str = ""
    message: str = "said no"
    headers: tuple[tuple[str, str], ...] = ()
    text: str = ""


# The permission that each operation needs:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
RIGHTS = {
    "get": "s3:GetObject", "head": "s3:GetObject", "list": "s3:ListBucket", "head bucket": "s3:ListBucket",
    "get bucket": "s3:GetBucketVersioning", "put": "s3:PutObject", "begin": "s3:PutObject", "part": "s3:PutObject",
    "complete": "s3:PutObject", "retain": "s3:PutObjectRetention", "delete": "s3:DeleteObject",
    "abort": "s3:AbortMultipartUpload", "list uploads": "s3:ListBucketMultipartUploads",
}  # fmt: skip


class S3Server:
    """The server. counts: requests by operation. arrived: requests (WSGI), while it is a list. faults: those to come.

    flips: how many bodies still arrive with a changed byte, by a part of the object's name. allowed: the permissions
    of whoever asks, None for all of them. region: that of every bucket, "" for any: others must not be signed for.
    seconds: between a request and its answer.
    """

    def __init__(self) -> None:
        self.address = ""
        self.counts: Counter[str] = Counter()
        self.arrived: list[dict[str, Any]] | None = None
        self.faults: list[Fault] = []
        self.flips: dict[str, int] = {}
        self.allowed: frozenset[str] | None = None
        self.region = ""
        self.seconds = 0.0
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock, self._writing = threading.Lock(), defaultdict[str, threading.Lock](threading.Lock)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (WSGI)."""
        operation, name = operation_of(environ), environ["PATH_INFO"].partition("/")[2].partition("/")[2]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        time.sleep(self.seconds)
        with self._lock:
            writing = self._writing[environ["PATH_INFO"]]
            self.counts[operation] += 1
            if self.arrived is not None:
                self.arrived.append(dict(environ))
            body = self._arrived(name, body)
            fault = self._next(operation, name.encode("latin1").decode())
        environ["wsgi.input"] = io.BytesIO(body)
        if self.region and signed_for(environ) != self.region:
            return refusal(start, elsewhere(operation, self.region))
        if fault and not fault.after:
            return refusal(start, fault)
        denied = Fault(operation, 403, "AccessDenied", message="Access Denied")
        if self.allowed is not None and not rights_for(environ, operation) <= self.allowed:
            return refusal(start, denied)
        answer: list[Any] = []

        def begin(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            answer[:] = [status, headers]

        # moto may carry out two writes of an object that have the same condition. Parts have none.
        with writing if operation in ("put", "complete", "retain") else nullcontext():
            if problem := self._problem(environ, operation, name, body):
                return refusal(start, problem)
            found = list(self._moto(environ, begin))
        if fault:
            return refusal(start, fault)
        if self.allowed is not None and "s3:ListBucket" not in self.allowed and answer[0].startswith("404"):
            # Who may not list does not learn what does not exist.
            return refusal(start, denied)
        if self.allowed is not None and "s3:GetObjectRetention" not in self.allowed:
            answer[1] = [one for one in answer[1] if not one[0].lower().startswith("x-amz-object-lock-")]
        if self.region and operation == "head bucket":
            answer[1] = [one for one in answer[1] if one[0].lower() != "x-amz-bucket-region"]
            answer[1].append(("x-amz-bucket-region", self.region))
        start(*answer)
        return found

    def names(self, bucket: str = BUCKET) -> list[str]:
        """The names of all objects."""
        return sorted(s3_backends[ACCOUNT]["aws"].buckets[bucket].keys)

    def etag(self, name: str, bucket: str = BUCKET) -> str:
        """The ETag of an object."""
        return str(s3_backends[ACCOUNT]["aws"].buckets[bucket].keys[name].etag)

    def uploads(self, bucket: str = BUCKET) -> list[str]:
        """The names of the objects that are being uploaded in parts."""
        return [one.key_name for one in s3_backends[ACCOUNT]["aws"].buckets[bucket].multiparts.values()]

    def bucket(self, name: str = BUCKET) -> None:
        """Create an empty bucket, also in place of one."""
        backend = s3_backends[ACCOUNT]["aws"]
        if name in backend.buckets:
            backend.buckets[name].keys.clear()
            backend.buckets[name].multiparts.clear()
        else:
            backend.create_bucket(name, "us-east-1")

    def end_locks(self, bucket: str) -> None:
        """As if all locks had ended."""
        found = s3_backends[ACCOUNT]["aws"].buckets[bucket].keys
        for name in found:
            for key in found.getlist(name):
                key.lock_until = "2020-01-01T00:00:00Z"

    def put(self, name: str, data: bytes, bucket: str = BUCKET) -> None:
        """Store an object as another tool does, without a CRC32C."""
        s3_backends[ACCOUNT]["aws"].put_object(bucket, name, data)

    def data(self, name: str, bucket: str = BUCKET) -> bytes:
        """The content of an object."""
        found: bytes = s3_backends[ACCOUNT]["aws"].get_object(bucket, name).value
        return found

    def delete(self, name: str, bucket: str = BUCKET) -> None:
        """Delete an object."""
        s3_backends[ACCOUNT]["aws"].delete_object(bucket, name)

    def _arrived(self, name: str, body: bytes) -> bytes:
        """The body as it arrives."""
        part = next((one for one, times in self.flips.items() if one in name and times), None)
        if part is None or not body:
            return body
        self.flips[part] -= 1
        return bytes([body[0] ^ 1]) + body[1:]

    def _next(self, operation: str, name: str) -> Fault | None:
        for number, fault in enumerate(self.faults):
            if fault.operation == operation and re.search(fault.name, name):
                left = fault._replace(times=fault.times - 1)
                self.faults[number : number + 1] = [left] if left.times else []
                return fault
        return None

    def _problem(self, environ: dict[str, Any], operation: str, name: str, body: bytes) -> Fault | None:
        """What AWS refuses: another checksum than that of the bytes, and the end of an upload over another object."""
        sent = environ.get("HTTP_X_AMZ_CHECKSUM_CRC32C")
        if operation in ("put", "part") and sent:
            found = base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()
            return Fault(operation, 400, "BadDigest", message="other bytes") if found != sent else None
        if operation == "retain":
            return _shortened(environ, name, body)
        if operation == "complete" and (expected := environ.get("HTTP_IF_MATCH")):
            bucket = environ["PATH_INFO"].split("/")[1]
            key = s3_backends[ACCOUNT]["aws"].get_object(bucket, name.encode("latin1").decode())
            if key is None:
                return Fault(operation, 404, "NoSuchKey")
            return None if key.etag.strip('"') == expected.strip('"') else Fault(operation, 412, "PreconditionFailed")
        return None


def _shortened(environ: dict[str, Any], name: str, body: bytes) -> Fault | None:
    """What AWS refuses, and moto does not: to end a lock earlier. One for governance ends with the permission to."""
    bucket, query = environ["PATH_INFO"].split("/")[1], parse_qs(environ.get("QUERY_STRING", ""))
    version = query.get("versionId", [None])[0]
    key = s3_backends[ACCOUNT]["aws"].get_object(bucket, name.encode("latin1").decode(), version_id=version)
    found = re.search(rb"<RetainUntilDate>(.*?)</RetainUntilDate>", body)
    if key is None or not key.lock_until or not found:
        return None
    until, now = (datetime.fromisoformat(text) for text in (found[1].decode(), key.lock_until))
    bypassed = environ.get("HTTP_X_AMZ_BYPASS_GOVERNANCE_RETENTION") == "true" and key.lock_mode == "GOVERNANCE"
    return None if until >= now or bypassed else Fault("retain", 403, "AccessDenied", message="it is locked for longer")


def operation_of(environ: dict[str, Any]) -> str:
    """A short name for what is requested."""
    method: str = environ["REQUEST_METHOD"]
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    name = environ["PATH_INFO"].partition("/")[2].partition("/")[2]
    if "uploadId" in query:
        return {"PUT": "part", "POST": "complete", "DELETE": "abort"}.get(method, "list parts")
    if "uploads" in query:
        return "begin" if method == "POST" else "list uploads"
    if "retention" in query and method == "PUT":
        return "retain"
    if not name:
        return "list" if "list-type" in query else f"{method.lower()} bucket"
    return method.lower()


def rights_for(environ: dict[str, Any], operation: str) -> frozenset[str]:
    """The permissions that a request needs."""
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if "versions" in query:
        return frozenset({"s3:ListBucketVersions"})
    if "versionId" in query and operation in ("get", "head", "delete"):
        return frozenset({"s3:DeleteObjectVersion" if operation == "delete" else "s3:GetObjectVersion"})
    locks = {"s3:PutObjectRetention"} if "HTTP_X_AMZ_OBJECT_LOCK_MODE" in environ else set[str]()
    return frozenset({RIGHTS[operation], *locks})


def signed_for(environ: dict[str, Any]) -> str:
    """The region for which a request is signed."""
    found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else ""


def elsewhere(operation: str, region: str) -> Fault:
    """What S3 answers in the region of a bucket to what is signed for another one. HEAD of an object hides which."""
    body = f"<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong</Message><Region>{region}</Region></Error>"
    headers = (("x-amz-bucket-region", region),) if operation == "head bucket" else ()
    return Fault(operation, 400, "AuthorizationHeaderMalformed", headers=headers, text=body)


def refusal(start: Callable[..., Any], fault: Fault) -> list[bytes]:
    """An error as S3 answers it."""
    text = fault.text or f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
    start(f"{fault.status} Refused", [("Content-Type", "application/xml"), *fault.headers])
    return [text.encode()] if fault.operation not in ("head", "head bucket") else []


class _Checksum:
    """Follows from the parts, as at S3: moto joins them once more for the CRC32C of the complete object."""

    def __init__(self, algorithm: str | None, kind: str | None) -> None:
        self._crc32c = 0
        self._other: Any = None
        if (algorithm, kind) != ("CRC32C", "FULL_OBJECT"):
            self._other = MultipartChecksumBuilder(algorithm, kind)

    def addPart(self, part: bytes) -> None:  # noqa: N802 (moto's name)
        """See MultipartChecksumBuilder."""
        if self._other:
            self._other.addPart(part)
        else:
            self._crc32c = google_crc32c.extend(self._crc32c, part)

    def build(self) -> Any:
        """See MultipartChecksumBuilder."""
        checksum = base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()
        return self._other.build() if self._other else ("FULL_OBJECT", checksum, 1)


class _Quiet(WSGIRequestHandler):
    """Logs nothing, and keeps connections open."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """See WSGIRequestHandler."""


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with an empty bucket. The environment has its address, and credentials."""
    app = S3Server()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    app.address = f"http://127.0.0.1:{server.server_port}"
    app.bucket()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moto.s3.models.MultipartChecksumBuilder", _Checksum)
        for name, value in environment(app.address).items():
            patch.setenv(name, value)
        try:
            yield app
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def environment(address: str) -> dict[str, str]:
    """The variables by which clients find the server."""
    return {
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
