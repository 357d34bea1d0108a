"""What is particular to S3: its errors in one sentence each, lost answers, damaged parts, objects of other tools."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse, HeadersDict
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, LoginTokenLoadError, UnauthorizedSSOTokenError
from botocore.httpsession import URLLib3Session

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.adapters.s3.client import Objects, open_client, time_in
from bqdump.adapters.s3.errors import translate
from bqdump.adapters.s3.store import S3Store
from bqdump.adapters.s3.uploads import Upload
from bqdump.core.errors import (
    AccessError,
    AnswerError,
    BqdumpError,
    ConflictError,
    DamagedError,
    DeniedError,
    NotFoundError,
    TargetError,
    UnavailableError,
)
from bqdump.ports.mover import Moved, Settling
from bqdump.ports.store import Copy, ObjectInfo, ObjectStore
from s3_server import BUCKET, Fault, S3Server, operation_of, s3_server, signed_for

Result = TypeVar("Result")
QUICK = Patience(seconds=5.0, first_pause=0.001, longest_pause=0.01)
LARGE = bytes(range(256)) * ((20 << 20) // 256)


@pytest.fixture(scope="module")
def served() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(served: S3Server) -> Iterator[S3Server]:
    served.bucket()
    served.counts.clear()
    yield served
    served.arrived, served.region = None, ""
    left, served.faults = served.faults, []
    assert left == []


def on(test: Callable[[ObjectStore], Awaitable[Result]], bucket: str = BUCKET, patience: Patience = QUICK) -> Result:
    async def run() -> Result:
        store = RetryingStore(S3Store(bucket, patience=patience), patience)
        try:
            return await test(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def streamed(store: ObjectStore, name: str, data: bytes, expect: int = 0) -> ObjectInfo:
    """The object that a stream has stored, with its generation."""
    [info] = await cast("Settling", store).settled([await store.stream(name, pieces(data), expect)])
    assert info
    return info


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 3 << 20):
        yield data[start : start + (3 << 20)]


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        (Fault("get", 403, "AccessDenied"), DeniedError, "cannot read s3://bucket/x: said no. Requires s3:GetObject"),
        (
            Fault("get", 400, "ExpiredToken"),
            AccessError,
            "cannot sign in to S3: the credentials have expired. Renew",
        ),
        (
            Fault("get", 403, "InvalidAccessKeyId"),
            AccessError,
            r"cannot sign in to S3: the service does not accept the credentials \(InvalidAccessKeyId\). Set",
        ),
        (
            Fault("get", 403, "RequestTimeTooSkewed"),
            AccessError,
            "cannot read s3://bucket/x: the clock of this machine differs too much from the service's. Set the clock",
        ),
        (
            Fault("get", 400, "AuthorizationHeaderMalformed", headers=(("x-amz-bucket-region", "eu-west-1"),)),
            AccessError,
            "cannot read s3://bucket/x: the bucket is in region eu-west-1. Set AWS_REGION",
        ),
        (
            Fault("get", 403, "InvalidObjectState"),
            BqdumpError,
            "cannot read s3://bucket/x: it is in an archive class. Restore the objects",
        ),
    ],
)
def test_a_refusal_is_one_sentence(s3: S3Server, fault: Fault, kind: type[BqdumpError], sentence: str) -> None:
    # The client itself tries another region once where the answer names one.
    s3.faults = [fault._replace(times=2 if fault.headers else 1)]
    with pytest.raises(kind, match=f"^{sentence}") as caught:
        on(lambda store: store.read("x"))
    assert "\n" not in str(caught.value)
    s3.faults = []


def test_the_reason_is_found_where_head_has_none(s3: S3Server) -> None:
    s3.faults = [Fault("head", 403, "403"), Fault("get", 400, "ExpiredToken")]
    with pytest.raises(AccessError, match=r"^cannot sign in to S3: the credentials have expired"):
        on(lambda store: store.stat("x"))


@pytest.mark.parametrize("what", ["stat", "read", "describe", "list", "write"])
def test_a_missing_bucket_is_named(s3: S3Server, what: str) -> None:
    async def ask(store: ObjectStore) -> None:
        if what == "describe":
            await store.describe()
        elif what == "list":
            async for _ in store.objects("x"):
                pass
        elif what == "write":
            await store.write("x", b"", 0)
        else:
            await store.read("x")

    with pytest.raises(NotFoundError, match=r"s3://nowhere.*: no such bucket. Check the name of the bucket"):
        on(ask, "nowhere")


def test_without_credentials_the_sentence_says_which_variables_to_set(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(AccessError, match=r"^cannot sign in to S3: no credentials were found. Set AWS_PROFILE"):
        on(lambda store: store.read("x"))
    monkeypatch.setenv("AWS_PROFILE", "other")
    with pytest.raises(
        AccessError, match=r"^cannot sign in to S3: The config profile \(other\) could not be found. Set AWS_P"
    ):
        on(lambda store: store.read("x"))


def test_no_error_has_a_secret(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    s3.faults = [Fault("get", 418, "Strange", message="<html>")]
    with pytest.raises(BqdumpError) as caught:
        on(lambda store: store.read("x"))
    assert str(caught.value) == "cannot read s3://bucket/x: I'm a Teapot."


@pytest.mark.parametrize("status", [500, 503, 429])
def test_every_request_is_repeated_after_a_temporary_error(s3: S3Server, status: int) -> None:
    async def check(store: ObjectStore) -> None:
        s3.faults = [
            Fault(one, status, "SlowDown") for one in ("begin", "part", "complete", "head", "put", "get", "list")
        ]
        info = await store.stream("large", pieces(LARGE), 0)
        assert (info.size, info.crc32c) == (len(LARGE), crc32c(LARGE))
        await store.write("small", b"x", 0)
        assert (await store.read("small")).data == b"x"
        assert [one.name async for page in store.objects("") for one in page] == ["large", "small"]

    on(check)


@pytest.mark.parametrize(("size", "operation"), [(10, "put"), (len(LARGE), "complete")])
def test_an_upload_whose_answer_was_lost_is_its_own(s3: S3Server, size: int, operation: str) -> None:
    async def check(store: ObjectStore) -> None:
        s3.faults = [Fault(operation, 500, "InternalError", after=True)]
        info = await store.stream("x", pieces(LARGE[:size]), 0)
        assert info == await store.stat("x")
        with pytest.raises(ConflictError):
            await store.stream("x", pieces(LARGE[:size]), 0)

    on(check)
    assert s3.uploads() == []


def test_a_deletion_whose_answer_was_lost_counts(s3: S3Server) -> None:
    async def check(store: ObjectStore) -> None:
        first, second = await store.write("first", b"1", 0), await store.write("second", b"2", 0)
        s3.faults = [Fault("delete", 503, "SlowDown", after=True, name="first")]
        assert await store.delete([("first", first), ("second", second), ("third", 1)]) == [True, True, False]

    on(check)
    assert s3.names() == []


def test_a_damaged_part_is_not_stored(s3: S3Server) -> None:
    s3.faults = [Fault("part", 400, "BadDigest", times=100)]
    with pytest.raises(DamagedError, match="said no"):
        on(lambda store: store.stream("x", pieces(LARGE), 0))
    s3.faults = []
    assert (s3.names(), s3.uploads()) == ([], [])


def test_all_parts_of_a_file_are_sent_at_the_same_time(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, send = threading.Barrier(3, timeout=60.0), Upload.send

    def together(upload: Upload, number: int, data: bytes) -> None:
        parts.wait()
        send(upload, number, data)

    monkeypatch.setattr(Upload, "send", together)

    async def check(store: ObjectStore) -> None:
        info = await store.stream("x", pieces(LARGE), 0)
        assert (info.size, info.crc32c) == (len(LARGE), crc32c(LARGE))
        assert (await store.read("x")).data == LARGE

    on(check)


@pytest.mark.parametrize("size", [10, len(LARGE), 40 << 20])
def test_a_deletion_that_names_the_old_etag_does_not_meet_the_same_bytes_written_again(s3: S3Server, size: int) -> None:
    data = (LARGE * 2)[:size]

    async def check(store: ObjectStore) -> None:
        first = await streamed(store, "x", data)
        etags = [s3.etag("x")]
        for _ in range(3):
            first = await streamed(store, "x", data, first.generation)
            etags.append(s3.etag("x"))
            assert (first.size, first.crc32c) == (len(data), crc32c(data))
        assert all(before != after for before, after in pairwise(etags)), etags
        assert (await store.read("x")).data == data

    on(check)


def test_an_upload_that_is_cancelled_while_a_request_is_in_progress_leaves_no_parts(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, abort = Upload._begin, Upload.abort
    aborting, begun = threading.Event(), threading.Event()
    cancel: list[Callable[[], object]] = []

    def slow(upload: Upload) -> str:
        cancel[0]()
        aborting.wait(60.0)
        found = begin(upload)
        begun.set()
        return found

    def told(upload: Upload) -> None:
        aborting.set()
        abort(upload)

    monkeypatch.setattr(Upload, "_begin", slow)
    monkeypatch.setattr(Upload, "abort", told)

    async def check(store: ObjectStore) -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[ObjectInfo] = asyncio.ensure_future(store.stream("x", pieces(LARGE), 0))
        cancel.append(lambda: loop.call_soon_threadsafe(task.cancel))
        with pytest.raises(asyncio.CancelledError):
            await task

    on(check)
    assert begun.wait(60.0)
    assert (s3.names(), s3.uploads()) == ([], [])


def test_uploads_of_killed_processes_are_discarded_and_those_to_other_names_are_not(s3: S3Server) -> None:
    client = open_client()
    for name in ("run/a", "run/b", "run/c", "other"):
        client.create_multipart_upload(Bucket=BUCKET, Key=name)
    client.create_multipart_upload(Bucket=BUCKET, Key="run/a")
    on(lambda store: store.discard_uploads(["run/a", "run/c"]))
    assert sorted(s3.uploads()) == ["other", "run/b"]
    on(lambda store: store.discard_uploads([]))


def test_an_upload_that_fails_leaves_no_parts(s3: S3Server) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        on(lambda store: store.stream("x", broken(), 0))
    assert (s3.names(), s3.uploads()) == ([], [])


def test_an_object_of_another_tool_is_read_for_its_checksum(s3: S3Server) -> None:
    s3.put("x", LARGE)

    async def check(store: ObjectStore) -> None:
        info = await store.stat("x")
        assert info
        assert (info.size, info.crc32c) == (len(LARGE), crc32c(LARGE))

    on(check)
    assert s3.counts == {"head": 1, "get": 1}


def test_the_same_bytes_written_again_have_another_generation(s3: S3Server) -> None:
    async def check(store: ObjectStore) -> None:
        first = await store.write("x", b"same", 0)
        second = await store.write("x", b"same", first)
        assert second > first
        assert await store.delete([("x", first)]) == [False]
        assert await store.delete([("x", second)]) == [True]

    on(check)


def test_requests_are_those_of_the_page_about_s3(s3: S3Server) -> None:
    async def counted(work: Awaitable[object]) -> dict[str, int]:
        s3.counts.clear()
        await work
        return dict(s3.counts)

    async def check(store: ObjectStore) -> None:
        assert await counted(store.write("x", b"1", 0)) == {"put": 1, "head": 1}
        assert await counted(store.stream("small", pieces(b"1"), 0)) == {"put": 1}
        large = await counted(store.stream("large", pieces(LARGE), 0))
        assert large == {"begin": 1, "part": 3, "complete": 1, "head": 1}
        generation = (await store.read("x")).generation
        assert await counted(store.write("x", b"2", generation)) == {"put": 1, "head": 2}
        generation = (await store.read("x")).generation
        assert await counted(store.delete([("x", generation)])) == {"head": 1, "delete": 1}

    on(check)


def test_small_objects_that_arrive_together_are_looked_at_with_one_listing(s3: S3Server) -> None:
    async def check(store: ObjectStore) -> None:
        settling = cast("Settling", store)

        async def sent(*names: str) -> list[ObjectInfo]:
            return [await store.stream(name, pieces(name.encode()), 0) for name in names]

        async def settled(some: Sequence[ObjectInfo | None]) -> dict[str, int]:
            known = [info for info in some if info]
            s3.counts.clear()
            assert await settling.settled(known) == [await store.stat(info.name) for info in known]
            return {"list": s3.counts["list"], "head": s3.counts["head"] - len(some)}

        large = await store.stream("t/large", pieces(LARGE), 0)
        near = await sent(*(f"t/{number}" for number in range(8)))
        assert await settled([near[0]]) == {"list": 0, "head": 1}
        assert await settled([*near, large]) == {"list": 1, "head": 0}
        assert await settled(await settling.settled(near)) == {"list": 0, "head": 0}
        # Names between which there are many others.
        far = await sent("t/1/x", "t/9", "u/9", "w")
        for number in range(20):
            s3.put(f"t/1/y{number:02}", b"another")
        assert await settled(far) == {"list": 1, "head": 3}
        assert await settled(far) == {"list": 0, "head": 4}

    on(check)


def test_an_object_that_was_replaced_or_deleted_since_it_was_sent_is_not_as_sent(s3: S3Server) -> None:
    async def check(store: ObjectStore) -> None:
        sent = [await store.stream(f"t/{number}", pieces(b"1"), 0) for number in range(4)]
        s3.put("t/0", b"2")
        s3.put("t/1", b"12")
        s3.delete("t/2")
        assert [bool(info) for info in await cast("Settling", store).settled(sent)] == [False, False, False, True]

    on(check)


def test_a_bucket_that_has_never_kept_versions_is_not_searched_for_them(s3: S3Server) -> None:
    s3.bucket("with-versions")
    listed: list[str] = []

    async def look(store: ObjectStore) -> list[str]:
        client = open_client("")
        client.meta.events.register("before-send.s3.ListObjectVersions", lambda **_: listed.append(store.url))
        keeper = S3Store(store.url.removeprefix("s3://"), patience=QUICK)
        keeper._requests.client = keeper._listing._requests.client = client
        generation = await store.write("x", b"1", 0)
        await store.delete([("x", generation)])
        found = [hidden.name for hidden in await keeper.hidden("")]
        await keeper.close()
        return found

    assert (on(look), listed) == ([], [])
    versions = {"Bucket": "with-versions", "VersioningConfiguration": {"Status": "Enabled"}}
    open_client("").put_bucket_versioning(**versions)
    assert (on(look, "with-versions"), listed) == (["x"], ["s3://with-versions"])


NAME = "a run/täble+1~/%41 'x'.csv"
# What differs between two requests that are the same, and what the client alone adds: the count of its attempts, and a
# wait before the bytes, in which the service may say that they belong elsewhere.
VOLATILE = (
    "HTTP_AUTHORIZATION",
    "HTTP_X_AMZ_DATE",
    "HTTP_AMZ_SDK_INVOCATION_ID",
    "HTTP_AMZ_SDK_REQUEST",
    "HTTP_EXPECT",
)


def test_requests_that_go_around_the_client_are_those_of_the_client_and_signed(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(store: ObjectStore) -> None:
        assert await store.stat(NAME) is None
        small = await streamed(store, NAME, b"1")
        await store.stream(NAME, pieces(LARGE), small.generation)

    def arrived(direct: bool) -> list[dict[str, Any]]:
        s3.bucket()
        s3.arrived = []
        on(check)
        assert [AROUND not in one for one in s3.arrived if operation_of(one) in ("put", "head", "part")][1:] == [
            direct
        ] * (len(s3.arrived) - 3)
        return s3.arrived

    direct = arrived(direct=True)
    monkeypatch.setattr(Objects, "_send", lambda *_, **__: None)
    assert sorted(map(shown, direct)) == sorted(map(shown, arrived(direct=False)))
    assert [signature(one) for one in direct] == [one["HTTP_AUTHORIZATION"].rpartition("=")[2] for one in direct]


AROUND = "HTTP_AMZ_SDK_INVOCATION_ID"


def shown(environ: dict[str, Any]) -> str:
    """A request without what differs each time."""
    headers = {name: value for name, value in environ.items() if name.startswith("HTTP_") and name not in VOLATILE}
    headers["HTTP_USER_AGENT"] = headers["HTTP_USER_AGENT"].split()[0]
    query = re.sub("uploadId=[^&]*", "", environ["QUERY_STRING"])
    place = environ["RAW_URI"].partition("?")[0]
    return f"{environ['REQUEST_METHOD']} {place} {sorted(query.split('&'))} {sorted(headers.items())}"


def signature(environ: dict[str, Any]) -> str:
    """The signature that a request must have, computed from what has arrived."""
    names = environ["HTTP_AUTHORIZATION"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    keys = [name if name in ("content-type", "content-length") else f"http_{name}" for name in names]
    headers = {name: environ[key.upper().replace("-", "_")] for name, key in zip(names, keys, strict=True)}
    request = AWSRequest(environ["REQUEST_METHOD"], f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}", headers)
    request.context["timestamp"] = environ["HTTP_X_AMZ_DATE"]
    auth = S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1")
    return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


@pytest.mark.parametrize(("scheme", "hashed"), [("https", False), ("http", True)])
def test_bytes_with_a_checksum_are_hashed_for_the_signature_only_without_tls(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, scheme: str, hashed: bool
) -> None:
    digests: list[str] = []

    def send(_: URLLib3Session, request: Any) -> AWSResponse:
        digests.append(request.headers["X-Amz-Content-SHA256"])
        return AWSResponse(
            request.url, 200, HeadersDict({"ETag": '"x"'}), urllib3.HTTPResponse(BytesIO(), preload_content=False)
        )

    monkeypatch.setattr(URLLib3Session, "send", send)
    objects = Objects(open_client(f"{scheme}://s3.example.com"), "bucket")
    for _ in range(2):
        objects.put("x", b"data", {"ChecksumAlgorithm": "CRC32C", "ChecksumCRC32C": crc32c(b"data")})
    objects.part("x", "upload", 1, b"data", {"ChecksumAlgorithm": "CRC32C", "ChecksumCRC32C": crc32c(b"data")})
    expected = sha256(b"data").hexdigest() if hashed else "UNSIGNED-PAYLOAD"
    assert digests[1:] == [expected] * 2


def test_the_digest_of_a_copied_file_of_one_request_is_signed_and_not_computed_again(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, hashed = LARGE[: 5 << 20], list[int]()

    def counted(content: bytes = b"") -> Any:
        hashed.append(len(content))
        return sha256(content)

    async def check(target: ObjectStore) -> Moved | None:
        source = MemoryStore()
        generation = await source.write("x", data, 0)
        assert await target.stat("x") is None
        s3.arrived = []
        monkeypatch.setattr("botocore.auth.sha256", counted)
        wish = Copy("x", generation, "x", 0, len(data), crc32c(data))
        return await StreamMover(source, target).move(wish)

    moved, digest = on(check), sha256(data).hexdigest()
    assert moved
    assert moved.sha256 == digest
    assert s3.arrived
    [request] = [one for one in s3.arrived if operation_of(one) == "put"]
    assert request["HTTP_X_AMZ_CONTENT_SHA256"] == digest
    assert request["HTTP_AUTHORIZATION"].rpartition("=")[2] == signature(request)
    assert max(hashed) < len(data)


def test_connections_around_the_client_have_the_options_of_the_clients(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options: list[object] = []
    connect = urllib3.util.connection.create_connection

    def connected(address: Any, timeout: Any, source_address: Any = None, socket_options: Any = None) -> socket.socket:
        options.append(socket_options)
        return connect(address, timeout, source_address, socket_options)

    async def check(store: ObjectStore) -> None:
        for _ in range(2):
            assert await store.stat("x") is None

    config = tmp_path / "config"
    config.write_text("[default]\ntcp_keepalive = true\n")
    monkeypatch.setattr(urllib3.util.connection, "create_connection", connected)
    for path in (os.devnull, str(config)):
        monkeypatch.setenv("AWS_CONFIG_FILE", path)
        on(check)
    nodelay, keepalive = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert options == [[nodelay], [nodelay], [nodelay, keepalive], [nodelay, keepalive]]


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-north-1"}, "eu-north-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-north-1"),
    ],
)
def test_the_region_is_that_of_the_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = open_client()
    assert client.meta.region_name == region
    client.close()


@pytest.mark.parametrize(
    ("status", "code", "kind", "sentence"),
    [
        (403, "AccessDenied", AccessError, "cannot sign in to S3: not for you. Check the role of the profile"),
        (400, "ExpiredTokenException", AccessError, "cannot sign in to S3: the credentials have expired. Check"),
        (503, "ServiceUnavailable", UnavailableError, "cannot sign in to S3: not for you"),
    ],
)
def test_a_role_that_cannot_be_assumed_is_not_a_permission_that_is_missing(
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    status: int,
    code: str,
    kind: type[BqdumpError],
    sentence: str,
) -> None:
    """As on Kubernetes: the credentials are those of a role that another service of AWS gives, for a token."""
    token = tmp_path / "token"
    token.write_text("a token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3.address)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    text = f"<ErrorResponse><Error><Code>{code}</Code><Message>not for you</Message></Error></ErrorResponse>"
    s3.faults = [Fault("post bucket", status, code, times=1000, text=text)]
    with pytest.raises(kind, match=sentence):
        on(lambda store: store.write("x", b"1", 0), patience=Patience(tries=2, first_pause=0.001))
    s3.faults.clear()


def test_a_bucket_that_cannot_be_one_is_refused_with_the_reason(s3: S3Server) -> None:
    with pytest.raises(AccessError, match=r"cannot read the metadata of s3://a b/x: Invalid bucket name .a b.: "):
        on(lambda store: store.stat("x"), bucket="a b")
    with pytest.raises(AccessError, match=r"cannot read s3://bucket/: Invalid length for parameter Key, value: 0"):
        on(lambda store: store.read(""))


def test_credentials_that_are_renewed_while_files_are_sent_sign_the_requests_that_follow(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    script = tmp_path / "renew.py"
    # They end so soon that the client has them renewed before each request.
    script.write_text(
        "import datetime, json, pathlib\n"
        f"made = pathlib.Path({str(made)!r})\n"
        "number = int(made.read_text()) + 1 if made.exists() else 1\n"
        "made.write_text(str(number))\n"
        "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)\n"
        "keys = {'AccessKeyId': f'KEY{number}', 'SecretAccessKey': 'secret', 'SessionToken': f'token{number}'}\n"
        "print(json.dumps({'Version': 1, 'Expiration': end.isoformat(), **keys}))\n"
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {shlex.join([sys.executable, str(script)])}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    arrived: list[dict[str, Any]] = []
    s3.arrived = arrived

    async def check(store: ObjectStore) -> None:
        for name in ("x", "y"):
            await streamed(store, name, b"1")

    on(check)
    around = [one for one in arrived if AROUND not in one]
    used = [re.findall(r"Credential=KEY(\d+)/", one["HTTP_AUTHORIZATION"]) for one in around]
    assert len(around) == 3
    assert [one["HTTP_X_AMZ_SECURITY_TOKEN"] for one in around] == [f"token{number}" for (number,) in used]
    assert len({number for (number,) in used}) == 3


@pytest.mark.parametrize("operation", ["put", "part", "head"])
def test_a_redirection_that_does_not_say_where_to_is_followed(s3: S3Server, operation: str) -> None:
    async def check(store: ObjectStore) -> None:
        await store.stream("x", pieces(b"1"), 0)
        s3.faults = [Fault(operation, 307, "TemporaryRedirect")]
        stored = await store.stream("y", pieces(LARGE), 0) if operation == "part" else await store.write("y", b"2", 0)
        assert stored == (await store.stat("y") if operation == "part" else (await store.read("y")).generation)

    on(check)


def test_an_upload_that_fails_after_its_answer_has_begun_is_completed_again(s3: S3Server) -> None:
    """S3 begins its answer with the status 200, and may find an error after that."""
    text = "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
    s3.faults = [Fault("complete", 200, "", text=text)]
    stored = on(lambda store: store.stream("x", pieces(LARGE), 0))
    assert (stored.size, stored.crc32c) == (len(LARGE), crc32c(LARGE))
    assert s3.data("x") == LARGE


def test_a_service_without_space_is_not_asked_again(s3: S3Server) -> None:
    """As MinIO answers."""
    s3.faults = [Fault("put", 507, "XMinioStorageFull", message="it has no space left")]
    with pytest.raises(TargetError, match="cannot write s3://bucket/x: it has no space left"):
        on(lambda store: store.write("x", b"1", 0))
    assert s3.counts["put"] == 1


@pytest.mark.parametrize(
    "name", ["a//b", "a/../b", "a/./b", "a+b", "a%2Fb", "a b", "a?b#c", "caf\u00e9", "cafe\u0301", "a&b=c;d", "a\\b"]
)
def test_names_of_any_kind_are_those_that_were_given(s3: S3Server, name: str) -> None:
    async def check(store: ObjectStore) -> None:
        first = await streamed(store, name, b"1")
        assert await store.stream(name, pieces(LARGE), first.generation) == await store.stat(name)
        assert (await store.read(name)).data == LARGE
        listed = [info async for page in store.objects("") for info in page]
        assert [info.name for info in listed] == [name] == s3.names()
        assert await store.delete([(name, listed[0].generation)]) == [True]
        assert s3.names() == []

    on(check)


def test_requests_around_the_client_go_through_the_proxy_of_the_environment(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.com")
    monkeypatch.setenv("HTTP_PROXY", s3.address)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    arrived: list[dict[str, Any]] = []
    s3.arrived = arrived

    async def check(store: ObjectStore) -> None:
        for _ in range(3):
            await store.stat("x")

    on(check)
    assert {one["HTTP_HOST"] for one in arrived} == {"s3.example.com"}
    assert [AROUND not in one for one in arrived] == [False, True, True]


def test_a_bucket_in_another_region_is_followed_there_by_the_client(s3: S3Server) -> None:
    async def check(store: ObjectStore) -> None:
        first = await streamed(store, "x", b"1")
        s3.faults = [Fault("put", 301, "PermanentRedirect", headers=(("x-amz-bucket-region", "eu-west-3"),))]
        s3.arrived = []
        await store.stream("y", pieces(b"2"), 0)
        assert (await store.stat("x")) == first
        assert [AROUND not in one for one in s3.arrived] == [True, False, False]

    on(check)


@pytest.mark.parametrize("first", ["stat", "absent", "write", "stream"])
def test_of_a_bucket_in_another_region_the_way_that_the_client_found_is_learned(s3: S3Server, first: str) -> None:
    """S3 answers HEAD that is signed for the wrong region with 400 and without a body."""
    s3.put("there", b"1")
    s3.region = "eu-west-1"
    arrived: list[dict[str, Any]] = []
    s3.arrived = arrived
    begin: dict[str, Callable[[ObjectStore], Awaitable[object]]] = {
        "stat": lambda store: store.stat("there"),
        "absent": lambda store: store.stat("absent"),
        "write": lambda store: store.write("mine", b"2", 0),
        "stream": lambda store: store.stream("mine", pieces(LARGE), 0),
    }

    async def check(store: ObjectStore) -> None:
        await begin[first](store)
        arrived.clear()
        assert await store.stat("absent") is None
        assert (await store.write("other", b"3", 0)) == (await store.read("other")).generation
        assert (await store.stream("large", pieces(LARGE), 0)) == await store.stat("large")

    on(check)
    around = [AROUND not in one for one in arrived if operation_of(one) in ("put", "head", "part")]
    assert around == [True] * len(around)
    assert {signed_for(one) for one in arrived} == {"eu-west-1"}


@pytest.mark.parametrize("operation", ["stat", "absent", "write"])
def test_a_bucket_that_moves_to_another_region_is_followed_there(s3: S3Server, operation: str) -> None:
    async def check(store: ObjectStore) -> None:
        first = await streamed(store, "x", b"1")
        s3.region = "eu-west-1"
        if operation == "write":
            await store.write("y", b"2", 0)
        assert await store.stat("x" if operation == "stat" else "absent") == (first if operation == "stat" else None)

    on(check)


@pytest.mark.parametrize("first", [False, True])
def test_options_without_a_known_header_are_sent_by_the_client(s3: S3Server, first: bool) -> None:
    client = open_client()
    objects = Objects(client, BUCKET)
    if not first:
        objects.put("y", b"1", {})
    objects.put("x", b"1", {"StorageClass": "STANDARD_IA"})
    assert client.head_object(Bucket=BUCKET, Key="x")["StorageClass"] == "STANDARD_IA"
    s3.arrived = []
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="x")["UploadId"]
    objects.part("x", upload, 1, b"1", {"RequestPayer": "requester"})
    assert s3.arrived[-1]["HTTP_X_AMZ_REQUEST_PAYER"] == "requester"


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("operation", "lacking"), [("put", "ETag"), ("part", "ETag"), ("begin", "UploadId"), ("complete", "ETag")]
)
def test_an_answer_without_what_it_must_have_is_one_sentence(
    s3: S3Server, operation: str, lacking: str, first: bool
) -> None:
    results = {"begin": "InitiateMultipartUploadResult", "complete": "CompleteMultipartUploadResult"}

    async def check(store: ObjectStore) -> None:
        if not first:
            await store.stream("x", pieces(b"1"), 0)
        s3.faults = [Fault(operation, 200, "", text=f"<{results.get(operation, operation)}/>")]
        cause = f"cannot write s3://bucket/y: the answer cannot be read: it has no {lacking}"
        with pytest.raises(AnswerError, match=cause):
            await store.stream("y", pieces(b"1" if operation == "put" else LARGE), 0)

    on(check)


@pytest.mark.parametrize("first", [False, True])
def test_a_time_that_cannot_be_read_is_one_sentence(s3: S3Server, first: bool) -> None:
    async def check(store: ObjectStore) -> None:
        if not first:
            await store.stream("x", pieces(b"1"), 0)
        s3.faults = [Fault("head", 200, "", headers=(("Last-Modified", "yesterday"), ("ETag", '"x"')))]
        with pytest.raises(AnswerError, match="cannot read the metadata of s3://bucket/x: the answer cannot be read: "):
            await store.stat("x")

    on(check)


def test_an_answer_that_is_no_listing_is_not_an_empty_one(s3: S3Server) -> None:
    s3.faults = [Fault("list", 200, "", text="<html><body>Sign in</body></html>")]
    with pytest.raises(AnswerError, match="cannot list s3://bucket/x/: the answer is not a listing"):
        on(lambda store: store.folders("x/"))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-29T08:00:01.000Z", datetime(2026, 11, 29, 8, 0, 1, tzinfo=UTC)),
        ("Sun, 29 Nov 2026 08:00:01 GMT", datetime(2026, 11, 29, 8, 0, 1, tzinfo=UTC)),
        (1795939201, datetime(2026, 11, 29, 8, 0, 1, tzinfo=UTC)),
    ],
)
def test_times_in_answers_are_read_in_each_form_of_the_api(text: object, time: datetime) -> None:
    assert time_in(text) == time


def test_the_bucket_is_in_the_path_for_other_services_unless_the_profile_says_otherwise(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def host(endpoint: str) -> str:
        client = open_client(endpoint)
        try:
            url: str = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"})
            return url.split("?")[0]
        finally:
            client.close()

    assert host("https://s3.example.com") == "https://s3.example.com/bucket/k"
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert host("https://s3.example.com") == "https://bucket.s3.example.com/k"


def test_an_answer_without_a_code_has_its_status() -> None:
    error = ClientError({"ResponseMetadata": {"HTTPStatusCode": 403}}, "HeadObject")
    assert str(translate(error, "read", "s3://b/x")).startswith("cannot read s3://b/x: HTTP 403 Forbidden. Requires")


@pytest.mark.parametrize("error", [UnauthorizedSSOTokenError(), LoginTokenLoadError(error_msg="no token")], ids=repr)
def test_a_session_that_has_ended_is_not_waited_for(error: Exception) -> None:
    found = translate(error, "read", "s3://b/x")
    assert not found.retryable
    assert str(found).startswith("cannot sign in to S3: ")
    assert str(found).endswith("Renew the credentials, such as with aws sso login, and repeat the command.")
