"""The Reader on the Storage Read API, with Google's own client.

BIGQUERY_STORAGE_GRPC_ENDPOINT points it to a stand-in, as `host:port` without TLS. Google's client has no such
variable; several emulators use this one.

The rows in an answer of ReadRows, in place: parsing the message would copy them twice.

Sources: https://protobuf.dev/programming-guides/encoding/,
https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1#readrowsresponse
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc
import grpc.experimental
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from bqdump.adapters.google.access import SIGN_IN, blocked, nothing_there, one_line, remedy
from bqdump.adapters.google.endpoints import STORAGE_READ
from bqdump.adapters.google.http import credentials
from bqdump.adapters.google.refusals import refusal
from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.retry import resumed
from bqdump.adapters.threads import Threads
from bqdump.core.errors import (
    AccessError,
    BqdumpError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    QuotaError,
    RowsError,
    SessionLostError,
    UnavailableError,
    open_files_error,
    out_of_files,
)
from bqdump.core.formats.varint import unsigned
from bqdump.ports.reader import Batch, ReadRequest, ReadSession

# Field numbers in ReadRowsResponse and in its ArrowRecordBatch.
ARROW_RECORD_BATCH, ROW_COUNT = 4, 6
SERIALIZED_RECORD_BATCH = 1
# Wire types of fields.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def batch_of(answer: bytes) -> Batch:
    """The record batch of a serialized ReadRowsResponse. Raises RowsError if it is not one."""
    data, rows = memoryview(b""), 0
    try:
        for number, value in _fields(memoryview(answer)):
            if number == ROW_COUNT and isinstance(value, int):
                rows = value
            elif number == ARROW_RECORD_BATCH and isinstance(value, memoryview):
                for inner, content in _fields(value):
                    if inner == SERIALIZED_RECORD_BATCH and isinstance(content, memoryview):
                        data = content
    except (IndexError, ValueError) as error:
        raise RowsError("read", "an answer of the Storage Read API", "it is damaged") from error
    return Batch(data, rows)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The number and the value of each field."""
    at = 0
    while at < len(message):
        tag, at = unsigned(message, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = unsigned(message, at)
            yield tag >> 3, value
            continue
        if kind == LENGTH:
            size, at = unsigned(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise IndexError
        if at + size > len(message):
            raise IndexError
        yield tag >> 3, message[at : at + size]
        at += size


ENDPOINT = STORAGE_READ.variable
READER = "Requires roles/bigquery.readSessionUser on the project and roles/bigquery.dataViewer on the dataset."
READ_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"
OPEN_SECONDS = 120.0
# A channel opens four; the others are for what is opened at the same time.
DESCRIPTORS = 16
# Answers have up to 128 MB: https://cloud.google.com/bigquery/docs/reference/storage/rpc
# A stream is received in the thread that reads it: with a second thread, receiving takes 50 % longer.
CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
]
# A broken stream is resumed at its offset: https://cloud.google.com/bigquery/docs/reference/storage#api_retry
AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DATA_LOSS,
)
# gRPC's message for an address without a server.
REFUSED = "Connection refused"
# gRPC's message if Google's credentials yield no token.
UNSIGNED = "Getting metadata from plugin failed with error: "


class StorageReader:
    """Tables of any project, sessions in `project`. A broken stream resumes after the last row that has arrived.

    Raises OpenFilesError where a channel might lack file descriptors.
    """

    def __init__(self, project: str, patience: Patience | None = None) -> None:
        _refuse_without_descriptors()
        endpoint = os.environ.get(ENDPOINT)
        if endpoint:
            self._transport = BigQueryReadGrpcTransport(channel=grpc.insecure_channel(endpoint, options=CHANNEL))
        else:
            self._transport = BigQueryReadGrpcTransport(credentials=credentials(ENDPOINT), channel=_channel)
        # The same as the transport's method, but answers stay serialized.
        self._rows = self._transport.grpc_channel.unary_stream(
            READ_ROWS, request_serializer=types.ReadRowsRequest.serialize, response_deserializer=None
        )
        self._project, self._retrying = project, Retrying(patience)
        self._threads = Threads("storage-read")

    async def open(self, request: ReadRequest) -> ReadSession:
        dataset = request.dataset
        creation = types.CreateReadSessionRequest(
            parent=f"projects/{self._project}",
            read_session=types.ReadSession(
                table=f"projects/{dataset.project}/datasets/{dataset.name}/tables/{request.table}",
                data_format=types.DataFormat.ARROW,
                table_modifiers={"snapshot_time": datetime.fromtimestamp(request.snapshot / 1000, UTC)},
                read_options={"selected_fields": request.columns, "row_restriction": request.restriction},
            ),
            max_stream_count=request.streams,
            preferred_min_stream_count=request.least,
        )

        def create() -> ReadSession:
            with _translated("open a read session of", f"table {request.table}"):
                session = self._transport.create_read_session(
                    creation, timeout=OPEN_SECONDS, metadata=_routed("read_session.table", creation.read_session.table)
                )
            names = tuple(stream.name for stream in session.streams)
            return ReadSession(session.name, names, session.arrow_schema.serialized_schema)

        return await self._retrying.call(lambda: self._threads.call(create))

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        return resumed(self._retrying, partial(self._read, stream), offset)

    def _read(self, stream: str, offset: int) -> Iterator[Batch]:
        request = types.ReadRowsRequest(read_stream=stream, offset=offset)
        call = self._rows(request, metadata=_routed("read_stream", stream))
        try:
            with _translated("read", f"stream {stream.rpartition('/')[2]}"):
                for answer in call:
                    if (batch := batch_of(answer)).rows:
                        yield batch
        finally:
            call.cancel()

    def now(self) -> int:
        """See Reader. At least 0, since documents have no times before 1970."""
        return max(0, time.time_ns() // 1_000_000)

    async def close(self) -> None:
        self._threads.close()
        self._transport.close()


def _refuse_without_descriptors() -> None:
    """Raise OpenFilesError where few more files can be opened: gRPC aborts the process if a new channel lacks one."""
    opened: list[int] = []
    try:
        while len(opened) < DESCRIPTORS:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if out_of_files(error):
            raise open_files_error("open", "a connection to the Storage Read API") from error
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _channel(host: str, **options: Any) -> grpc.Channel:
    """A channel of Google's transport, with other options."""
    return BigQueryReadGrpcTransport.create_channel(host, **{**options, "options": CHANNEL})


def _routed(field: str, value: str) -> list[tuple[str, str]]:
    """The header for routing in Google's front end. Google's client adds it, but the transport does not."""
    return [to_grpc_metadata([(field, value)])]


@contextmanager
def _translated(operation: str, subject: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise of_rpc(error, operation, subject) from error


def of_rpc(error: grpc.RpcError, operation: str, subject: str) -> BqdumpError:
    """The BqdumpError for an error of the Storage Read API."""
    code, message = error.code(), one_line(error.details() or "no message")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "quota" in message.lower():
        return QuotaError(
            operation, subject, message, "Quotas are replenished throughout the day. Resume the run later."
        )
    if os.environ.get(ENDPOINT) and REFUSED in message:
        return nothing_there(STORAGE_READ, operation, subject)
    if no_way := blocked(message, operation, subject):
        return no_way
    if message.startswith(UNSIGNED):
        return AccessError(*SIGN_IN, message.removeprefix(UNSIGNED), remedy())
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return AccessError(operation, subject, message, remedy())
    if code in AGAIN:
        return UnavailableError(operation, subject, message)
    if refused := refusal(operation, subject, message):
        return refused
    if code == grpc.StatusCode.NOT_FOUND:
        return NotFoundError(operation, subject, message)
    if code == grpc.StatusCode.PERMISSION_DENIED:
        return DeniedError(operation, subject, message, READER)
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        return SessionLostError(operation, subject, message)
    return JobFailedError(operation, subject, message)
