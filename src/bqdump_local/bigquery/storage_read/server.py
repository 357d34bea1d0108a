"""The gRPC service `google.cloud.bigquery.storage.v1.BigQueryRead`, and v1beta2, which has the same messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from bqdump_local.bigquery.errors import BigQueryError, invalid, unexpected
from bqdump_local.listening import GrpcPort

if TYPE_CHECKING:
    from bqdump_local.bigquery.storage_read.arrow import Codec
    from bqdump_local.bigquery.storage_read.sessions import Session, Sessions
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.faults import Verdict

SERVICES = tuple(f"google.cloud.bigquery.storage.{version}.BigQueryRead" for version in ("v1", "v1beta2"))
# Each stream that is being read occupies a thread.
Judge = Callable[[str, str], "Verdict"]
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    412: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
REASONS = {"failedPrecondition": grpc.StatusCode.FAILED_PRECONDITION}


def serve(catalog: Catalog, judge: Judge, port: GrpcPort | None = None) -> tuple[grpc.Server, str]:
    """Start serving in threads. Returns the server and its address, `127.0.0.1:<port>`.

    judge: counts a call by operation and target, and returns the fault to inject.
    port: where it listens already.
    """
    listening = port or GrpcPort(0)
    listening.start(_Handlers(catalog, judge))
    return listening.server, listening.address


class _Handlers:
    """Finds the handler of a call. The message types are imported by the first call, since that takes a while."""

    def __init__(self, catalog: Catalog, judge: Judge) -> None:
        self._catalog, self._judge = catalog, judge
        self._service: Service | None = None

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call; None for a method that does not exist."""
        service, _, method = handler_call_details.method.strip("/").partition("/")
        if service not in SERVICES:
            return None
        if self._service is None:
            self._service = Service(self._catalog, self._judge)
        return self._service.handlers.get(method)


class Service:
    """The three calls."""

    def __init__(self, catalog: Catalog, judge: Judge) -> None:
        from google.cloud.bigquery_storage_v1 import types

        from bqdump_local.bigquery.storage_read.sessions import Sessions

        self._types: Any = types
        self._settings, self._judge = catalog.settings, judge
        self._sessions: Sessions = Sessions(catalog)
        unary, streaming = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        self.handlers = {
            name: kind(call, request.deserialize, answer.serialize)
            for name, kind, call, request, answer in (
                ("CreateReadSession", unary, self.create, types.CreateReadSessionRequest, types.ReadSession),
                ("ReadRows", streaming, self.read, types.ReadRowsRequest, types.ReadRowsResponse),
                ("SplitReadStream", unary, self.split, types.SplitReadStreamRequest, types.SplitReadStreamResponse),
            )
        }

    def create(self, request: Any, context: grpc.ServicerContext) -> Any:
        """CreateReadSession."""
        try:
            self._meet("createReadSession", request.read_session.table, context)
            return self._session(self._sessions.create(self._session_request(request)), request.read_session)
        except Exception as error:
            _abort(context, error)

    def read(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """ReadRows. The first answer contains the schema."""
        try:
            break_after = self._meet("readRows", request.read_stream, context)
            session, stream = self._sessions.find(request.read_stream)
            # Only streams of jobs, which have no session of their own, are asked for in this way.
            codec = session.codec or self._codec(request.arrow_serialization_options)
            sent, size = 0, self._settings.read_batch_bytes
            for batch in self._sessions.read(request.read_stream, request.offset, size):
                if break_after and sent + batch.num_rows > break_after[0]:
                    batch = batch.slice(0, break_after[0] - sent)
                if batch.num_rows:
                    done = request.offset + sent
                    yield self._response(session, batch, codec, first=not sent, done=done, rows=stream.rows)
                    sent += batch.num_rows
                if break_after and sent == break_after[0]:
                    context.abort(*break_after[1:])
        except Exception as error:
            _abort(context, error)

    def split(self, request: Any, context: grpc.ServicerContext) -> Any:
        """SplitReadStream."""
        try:
            self._meet("splitReadStream", request.name, context)
            parts = self._sessions.split(request.name, request.fraction or 0.5)
        except Exception as error:
            _abort(context, error)
        if parts is None:
            return self._types.SplitReadStreamResponse()
        primary, remainder = ({"name": part.name} for part in parts)
        return self._types.SplitReadStreamResponse(primary_stream=primary, remainder_stream=remainder)

    def _meet(self, operation: str, target: str, context: grpc.ServicerContext) -> tuple[int, Any, str] | None:
        """Count the call, and inject a fault. Returns after how many rows the stream breaks, and with which error."""
        verdict = self._judge(f"bigquery.storage.{operation}", target)
        time.sleep(verdict.seconds)
        if verdict.status is None:
            return None
        broken = isinstance(verdict.status, str)
        code = grpc.StatusCode.UNAVAILABLE if broken else CODES.get(int(verdict.status), grpc.StatusCode.UNKNOWN)
        message = "Connection reset by peer" if broken else verdict.message or "Injected fault."
        if verdict.rows:
            return verdict.rows, code, message
        context.abort(code, message)
        return None

    def _session_request(self, request: Any) -> Any:
        from bqdump_local.bigquery.storage_read.sessions import SessionRequest

        session = request.read_session
        formats = self._types.DataFormat
        if session.data_format not in (formats.ARROW, formats.AVRO):
            raise invalid("request failed: data_format: ARROW or AVRO is required")
        options = session.read_options
        if options.response_compression_codec or options.sample_percentage:
            raise invalid("request failed: this stand-in does not support response compression or sampling")
        snapshot = session.table_modifiers.snapshot_time
        moment = snapshot.timestamp_pb().ToMilliseconds() if snapshot else None
        codec = self._codec(options.arrow_serialization_options)
        return SessionRequest(
            request.parent,
            session.table,
            moment,
            tuple(options.selected_fields),
            options.row_restriction,
            request.max_stream_count,
            request.preferred_min_stream_count,
            codec,
            session.data_format == formats.AVRO,
        )

    def _session(self, session: Session, requested: Any) -> Any:
        return self._types.ReadSession(
            name=session.name,
            expire_time=datetime.fromtimestamp(session.expires_ms / 1000, UTC),
            data_format=self._types.DataFormat.AVRO if session.avro else self._types.DataFormat.ARROW,
            **_schema(session),
            table=requested.table,
            table_modifiers=requested.table_modifiers,
            read_options=requested.read_options,
            streams=[{"name": stream.name} for stream in session.streams],
            estimated_total_bytes_scanned=session.bytes,
            estimated_row_count=session.rows,
            trace_id=requested.trace_id,
        )

    @staticmethod
    def _codec(options: Any) -> Codec | None:
        codecs: dict[int, Codec] = {1: "LZ4", 2: "ZSTD"}
        return codecs.get(int(options.buffer_compression))

    def _response(self, session: Session, batch: Any, codec: Codec | None, *, first: bool, done: int, rows: int) -> Any:
        from bqdump_local.bigquery.storage_read.arrow import batch_message

        if session.avro:
            sent = {"avro_rows": {"serialized_binary_rows": batch.message(), "row_count": batch.num_rows}}
        else:
            message = batch_message(batch, codec)
            sent = {"arrow_record_batch": {"serialized_record_batch": message, "row_count": batch.num_rows}}
        return self._types.ReadRowsResponse(
            **sent,
            **(_schema(session) if first else {}),
            row_count=batch.num_rows,
            stats={"progress": {"at_response_start": done / rows, "at_response_end": (done + batch.num_rows) / rows}},
        )


def _schema(session: Session) -> dict[str, Any]:
    from bqdump_local.bigquery.storage_read import arrow, avro_rows

    if session.avro:
        return {"avro_schema": {"schema": avro_rows.schema_message(session.fields)}}
    return {"arrow_schema": {"serialized_schema": arrow.schema_message(session.schema)}}


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    if context.code() is not None:
        # The call was aborted, for which grpc raises this.
        raise error
    known = error if isinstance(error, BigQueryError) else unexpected(error)
    context.abort(REASONS.get(known.reason) or CODES.get(known.status, grpc.StatusCode.UNKNOWN), known.message)
    raise error
