"""One stand-in as a process: `python -m bqdump_local.serve storage|bigquery|cloud-run …`.

It prints its address on the first line (BigQuery: followed by a space and the address of the Storage Read API), or why
it cannot start: `["cause", "hint"]`. Connections wait until it has imported what it serves with. It ends when its
standard input is closed, and so does not outlive the process that started it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from bqdump.core.errors import BqdumpError
from bqdump_local.listening import GrpcPort, listen

if TYPE_CHECKING:
    import uvicorn

    from bqdump_local.control import Control


def main() -> None:
    """Serve until standard input is closed or a signal arrives."""
    parser = argparse.ArgumentParser(prog="bqdump_local.serve")
    parser.add_argument("service", choices=("storage", "bigquery", "cloud-run"))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--read-port", type=int, default=0, help="bigquery: port of the Storage Read API")
    parser.add_argument("--root", type=Path, help="storage: folder for the buckets (default: a temporary folder)")
    parser.add_argument("--persist", action="store_true", help="storage: store metadata next to the files")
    parser.add_argument("--storage", help="bigquery, cloud-run: address of the storage server")
    parser.add_argument("--bigquery", help="cloud-run: address of the BigQuery server")
    parser.add_argument("--storage-read", default="", help="cloud-run: address of the Storage Read API")
    parser.add_argument("--data-dir", type=Path, help="bigquery: folder for tables (default: in memory)")
    parser.add_argument("--clock", type=Path, help="a file that holds the clock of a stack (default: one of its own)")
    parser.add_argument("--detached", action="store_true", help="keep running after standard input is closed")
    arguments = parser.parse_args()
    # Without a folder that another stack may hold, nothing else can keep it from serving.
    at_once = arguments.root is None and arguments.data_dir is None
    if arguments.clock:
        from bqdump_local import clock

        clock.share(arguments.clock)
    try:
        listener = listen(arguments.port)
        addresses = [f"http://127.0.0.1:{listener.getsockname()[1]}"]
        reads = GrpcPort(arguments.read_port) if arguments.service == "bigquery" else None
        if reads is not None:
            addresses.append(reads.address)
        if at_once:
            _announce(addresses)
        app = _app(arguments, reads)
    except BqdumpError as error:
        sys.stdout.write(json.dumps([error.cause, error.hint]) + "\n")
        sys.exit(1)
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        loop="auto",
        http="httptools",
        ws="none",
        proxy_headers=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=120,
    )
    server = uvicorn.Server(config)
    # Requests that are cut off when it is stopped are no errors.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not server.should_exit)
    if not arguments.detached:
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    if not at_once:
        _announce(addresses)
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        server.run(sockets=[listener])


def _announce(addresses: list[str]) -> None:
    sys.stdout.write(" ".join(addresses) + "\n")
    sys.stdout.flush()


def _app(arguments: argparse.Namespace, reads: GrpcPort | None) -> Control:
    from bqdump_local.control import Control
    from bqdump_local.operations import bigquery_operation, cloud_run_operation, storage_operation

    if arguments.service == "storage":
        from bqdump_local.storage.app import create_app as storage_app

        app = storage_app(arguments.root, persist=arguments.persist)
        return Control(app, service="storage", name=storage_operation)
    if arguments.service == "bigquery":
        from bqdump_local.bigquery.app import create_app as bigquery_app
        from bqdump_local.bigquery.storage_read.server import serve

        app = bigquery_app(storage=arguments.storage, data_dir=arguments.data_dir)
        control = Control(app, service="bigquery", name=bigquery_operation)
        serve(app.state.catalog, control.meet, reads)
        return control
    from bqdump_local.cloud_run.app import create_app as cloud_run_app
    from bqdump_local.stack import Stack

    stack = Stack(arguments.storage, arguments.bigquery, storage_read=arguments.storage_read)
    return Control(cloud_run_app(environ=stack.variables()), service="cloud-run", name=cloud_run_operation)


def _end_with_input(server: uvicorn.Server) -> None:
    while os.read(0, 4096):
        pass
    server.should_exit = True


if __name__ == "__main__":
    main()
