"""A local server of the Storage Read API, in a separate process, which sends prebuilt Arrow batches."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.read_route_tables import STREAMS, table

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
SESSION = "projects/p/locations/us/sessions/s"


def serve(name: str, rows: int, repeat: int, batch_rows: int) -> None:
    """Serve until standard input is closed. Prints the port, the bytes of Arrow, and the rows."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from google.cloud.bigquery_storage_v1 import types

    made = table(name, rows)
    schema = made.schema.serialize().to_pybytes()
    answers, size = [], 0
    for number, batch in enumerate(made.combine_chunks().to_batches(max_chunksize=batch_rows)):
        message = batch.serialize().to_pybytes()
        size += len(message)
        answer = types.ReadRowsResponse(
            arrow_record_batch={"serialized_record_batch": message, "row_count": batch.num_rows},
            row_count=batch.num_rows,
            arrow_schema={"serialized_schema": schema} if number < STREAMS else None,
        )
        answers.append(types.ReadRowsResponse.serialize(answer))
    del made

    def create(_request: Any, _: Any) -> Any:
        streams = [{"name": f"{SESSION}/streams/{n}"} for n in range(STREAMS)]
        return types.ReadSession(
            name=SESSION, data_format="ARROW", arrow_schema={"serialized_schema": schema}, streams=streams
        )

    def read(request: Any, _: Any) -> Iterator[bytes]:
        mine = answers[int(request.read_stream.rpartition("/")[2]) :: STREAMS]
        for _ in range(repeat):
            yield from mine

    handlers = {
        "CreateReadSession": grpc.unary_unary_rpc_method_handler(
            create, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
        ),
        "ReadRows": grpc.unary_stream_rpc_method_handler(read, types.ReadRowsRequest.deserialize, None),
    }
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port} {size * repeat} {rows * repeat}\n")
    sys.stdout.flush()
    sys.stdin.read()


@contextmanager
def serving(name: str, rows: int, repeat: int = 1, batch_rows: int = 1_000) -> Iterator[tuple[str, int, int]]:
    """A server in a separate process: its address, bytes of Arrow, and rows."""
    command = [sys.executable, "-m", "benchmarks.read_route_server", name, *map(str, (rows, repeat, batch_rows))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin
        assert process.stdout
        port, size, count = map(int, process.stdout.readline().split())
        yield f"127.0.0.1:{port}", size, count
    finally:
        process.communicate()


if __name__ == "__main__":
    serve(sys.argv[1], *map(int, sys.argv[2:5]))
