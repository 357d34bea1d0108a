"""The client of S3, botocore, set up by the usual AWS variables, profiles and files, and a shorter way around it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple

from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError, create_parser
from botocore.session import Session
from botocore.utils import get_environ_proxies, parse_timestamp, percent_encode, percent_encode_sequence

from bqdump.adapters.s3.errors import ELSEWHERE, code_of, translated
from bqdump.adapters.threads import THREADS
from bqdump.core.version import VERSION

CONNECT_SECONDS, READ_SECONDS = 10, 120
# Signature Version 4 as S3 has it, in one region, with the caller's own credentials.
SIGNATURE = "s3v4"


def service_at(endpoint: str) -> str:
    """The service in messages. endpoint: see open_client."""
    return f"S3 ({endpoint or os.environ.get('AWS_ENDPOINT_URL_S3') or 'AWS'})"


def open_client(endpoint: str = "") -> Any:
    """A client. endpoint: the address of a service with the API of S3 ("": as the environment says, else AWS).

    Raises AccessError for a profile or credentials that cannot be used.
    """
    with translated("sign in to", "S3"):
        session = Session()
        session.register_component("data_loader", _models())
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=time_in)
        session.user_agent_name, session.user_agent_version = "bqdump", VERSION
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=THREADS,
            # Retrying is not the client's task: see adapters.retry.
            retries={"total_max_attempts": 1},
            # CRC32C is sent and compared by the adapter. What the client would add, other services may not know.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3=_addressing(session, endpoint),
        )
        # The client itself knows only AWS_DEFAULT_REGION. Others of AWS, and its services that run programs, have this.
        region = os.environ.get("AWS_REGION") or None
        return session.create_client("s3", region, endpoint_url=endpoint or None, config=config)


@cache
def _models() -> Any:
    """The descriptions of services that the client reads from its files: once for all clients of this process."""
    return Session().get_component("data_loader")


def _addressing(session: Any, endpoint: str) -> dict[str, str] | None:
    """The bucket in the path for other services, few of which have a host name for each, unless the profile says it."""
    chosen = session.get_scoped_config().get("s3")
    if not endpoint or (isinstance(chosen, dict) and chosen.get("addressing_style")):
        return None
    return {"addressing_style": "path"}


def time_in(text: Any) -> datetime:
    """The time in an answer, as a header or a document has it. Raises ResponseParserError.

    The client's own function accepts more, and takes a hundred times as long: for each object that is listed.
    """
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError):
            if isinstance(text, str) and (time := parse(text)).tzinfo:
                return time
    try:
        parsed: datetime = parse_timestamp(text)
    except ValueError as error:
        raise ResponseParserError(str(error)) from error
    return parsed


class Way(NamedTuple):
    """How requests about objects reach the service.

    address: what their names follow.
    service, region: to sign for.
    """

    address: str
    agent: str
    signer: Any
    service: str
    region: str


# Headers of requests and answers, by the client's names.
CHECKSUM, METADATA = "x-amz-checksum-crc32c", "x-amz-meta-"
SENT = {
    "ChecksumAlgorithm": "x-amz-sdk-checksum-algorithm",
    "ChecksumCRC32C": CHECKSUM,
    "ContentType": "Content-Type",
    "IfMatch": "If-Match",
    "IfNoneMatch": "If-None-Match",
    "ObjectLockMode": "x-amz-object-lock-mode",
}
RECEIVED = {
    "etag": "ETag",
    CHECKSUM: "ChecksumCRC32C",
    "x-amz-checksum-type": "ChecksumType",
    "x-amz-version-id": "VersionId",
}
TIMES = {"last-modified": "LastModified", "x-amz-object-lock-retain-until-date": "ObjectLockRetainUntilDate"}
# In the context of a request: the object, and the way of the last attempt.
KEY, WAY = "bqdump-key", "bqdump-way"


class Objects:
    """The requests of which each file takes one: without most of the client, whose preparations and hooks take two
    thirds of their CPU time.

    The client's first request about an object that is answered shows the way: the address, and what signs for it, also
    of a bucket to whose region the client was redirected. What signs is the client's, as are connections and the
    reading of errors. The client sends what this way is not for: the first request, those with another kind of
    signature or with other options, and those about a bucket that is elsewhere by now.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client, self._bucket = client, bucket
        self._way: tuple[Way, URLLib3Session] | None = None
        self._fits = True
        client.meta.events.register("before-parameter-build.s3", self._note)
        client.meta.events.register_last("before-sign.s3", self._see)
        client.meta.events.register("after-call.s3", self._learn)

    def head(self, name: str, **options: Any) -> Mapping[str, Any]:
        """The answer about an object, with its checksum. Raises the client's exceptions."""
        headers = None if options else self._send("HeadObject", "HEAD", name, {"x-amz-checksum-mode": "ENABLED"})
        if headers is not None:
            return _described(headers)
        answer: Mapping[str, Any] = self._client.head_object(
            Bucket=self._bucket, Key=name, ChecksumMode="ENABLED", **options
        )
        return answer

    def put(self, name: str, data: bytes, options: Mapping[str, Any], sha256: str = "") -> str:
        """Store an object; returns its ETag. options: the client's. sha256: of the data, if it is known.

        Raises the client's exceptions.
        """
        headers = self._send("PutObject", "PUT", name, _headers(options), data, sha256=sha256)
        if headers is None:
            return member(self._client.put_object(Bucket=self._bucket, Key=name, Body=data, **options), "ETag")
        return member(headers, "etag")

    def part(self, name: str, upload: str, number: int, data: bytes, options: Mapping[str, Any]) -> str:
        """Send a part of an upload; returns its ETag. options: the client's. Raises the client's exceptions."""
        query = "?" + percent_encode_sequence({"partNumber": number, "uploadId": upload})
        headers = self._send("UploadPart", "PUT", name, _headers(options), data, query)
        if headers is None:
            address = {"Bucket": self._bucket, "Key": name, "UploadId": upload, "PartNumber": number}
            return member(self._client.upload_part(**address, Body=data, **options), "ETag")
        return member(headers, "etag")

    def close(self) -> None:
        """Close the connections."""
        if self._way:
            self._way[1].close()

    def _send(
        self,
        operation: str,
        method: str,
        name: str,
        headers: dict[str, str] | None,
        data: bytes = b"",
        query: str = "",
        *,
        sha256: str = "",
    ) -> Mapping[str, str] | None:
        """The headers of the answer; None if the client has to send the request. headers: None for unknown ones."""
        if self._way is None or headers is None or not self._fits:
            return None
        way, http = self._way
        url = way.address + percent_encode(name, safe="/~") + query
        request = AWSRequest(method, url, {**headers, "User-Agent": way.agent}, data)
        # With these, the client's rule for signing the bytes: not if there are a checksum and TLS.
        request.context.update(
            client_config=self._client.meta.config,
            has_streaming_input=True,
            checksum={"request_algorithm": {"in": "header", "name": CHECKSUM}},
        )
        signing = way.signer.get_auth_instance(way.service, way.region, SIGNATURE)
        if sha256:
            # The client would compute it again, or over TLS sign no bytes at all.
            signing.payload = lambda _: sha256
        signing.add_auth(request)
        answer = http.send(request.prepare())
        if answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            return {header.lower(): value for header, value in answer.headers.items()}
        model = self._client.meta.service_model.operation_model(operation)
        parts = {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content}
        error = ClientError(create_parser("rest-xml").parse(parts, model.output_shape), operation)
        if code_of(error) in ELSEWHERE or (method == "HEAD" and answer.status_code == HTTPStatus.BAD_REQUEST):
            # The client finds the region, and follows. An answer to HEAD does not say that the region is another one.
            self._fits = False
            return None
        raise error

    def _note(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        """Before the client prepares a request."""
        if params.get("Bucket") == self._bucket:
            context[KEY] = params.get("Key")

    def _see(
        self,
        request: AWSRequest,
        request_signer: Any,
        signing_name: str,
        region_name: str,
        signature_version: Any,
        **_: Any,
    ) -> None:
        """Before the client signs a request, also the one that follows a redirection."""
        name = request.context.get(KEY)
        address, slash, encoded = request.url.partition("?")[0].rpartition(f"/{percent_encode(name or '', safe='/~')}")
        request.context.pop(WAY, None)
        if self._way or not name or not slash or encoded or signature_version != SIGNATURE:
            return
        signing = request.context.get("signing") or {}
        agent = request.headers.get("User-Agent", "")
        request.context[WAY] = Way(
            f"{address}/",
            agent.decode() if isinstance(agent, bytes) else agent,
            request_signer,
            signing.get("signing_name") or signing_name,
            signing.get("region") or region_name,
        )

    def _learn(self, http_response: Any, context: Mapping[str, Any], **_: Any) -> None:
        """After the client's request has its last answer: one that came by this way if there is, or is no, object."""
        way, status = context.get(WAY), http_response.status_code
        if self._way or way is None or (status >= HTTPStatus.MULTIPLE_CHOICES and status != HTTPStatus.NOT_FOUND):
            return
        session = Session()
        # As the client's: bytes are not held back until the service has acknowledged those before them.
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        if session.get_config_variable("tcp_keepalive"):
            options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        http = URLLib3Session(
            verify=session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE", True),
            proxies=get_environ_proxies(way.address),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            max_pool_connections=THREADS,
            socket_options=options,
        )
        self._way = way, http


def member(answer: Mapping[str, Any], name: str) -> str:
    """What an answer must have. Raises ResponseParserError if it does not."""
    if not answer.get(name):
        raise ResponseParserError(f"it has no {'ETag' if name == 'etag' else name}")
    return str(answer[name])


def _headers(options: Mapping[str, Any]) -> dict[str, str] | None:
    """The headers for options of the client; None if there are others among them than those that are known here."""
    headers: dict[str, str] = {}
    for name, value in options.items():
        if name == "Metadata":
            headers |= {METADATA + key: text for key, text in value.items()}
        elif name == "ObjectLockRetainUntilDate":
            headers["x-amz-object-lock-retain-until-date"] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        elif name in SENT:
            headers[SENT[name]] = value
        else:
            return None
    return headers


def _described(headers: Mapping[str, str]) -> dict[str, Any]:
    """An answer of HEAD as the client describes it."""
    answer: dict[str, Any] = {member: headers[header] for header, member in RECEIVED.items() if header in headers}
    answer |= {member: time_in(headers[header]) for header, member in TIMES.items() if header in headers}
    answer["ContentLength"] = int(headers.get("content-length", 0))
    prefix = len(METADATA)
    answer["Metadata"] = {name[prefix:]: value for name, value in headers.items() if name.startswith(METADATA)}
    answer["ResponseMetadata"] = {"HTTPHeaders": headers}
    return answer
