"""LocalStack's S3 server on loopback, for `.venv/localstack/bin/python`, which has its packages.

Prints its address, and serves until its standard input ends. It has what it lacks of S3: If-Match of a deletion, which
LocalStack refuses.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

# Read once, when the packages are imported.
os.environ |= {
    "SERVICES": "s3",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "LS_LOG": "error",
}

from localstack.aws import spec
from localstack.aws.app import LocalstackAwsGateway
from rolo.gateway.wsgi import WsgiGateway
from werkzeug.serving import WSGIRequestHandler, make_server

# The first request would otherwise read the descriptions of all 400 services of AWS. While other tests run, that takes
# longer than clients wait for an answer.
spec.list_services = lambda: [spec.load_service("s3")]

REFUSED = b"<Error><Code>PreconditionFailed</Code><Message>another ETag</Message></Error>"


class Server:
    """The server (WSGI)."""

    def __init__(self) -> None:
        self._gateway = WsgiGateway(LocalstackAwsGateway())
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if environ["REQUEST_METHOD"] != "DELETE" or not (expected := environ.pop("HTTP_IF_MATCH", "")):
            answer: Iterable[bytes] = self._gateway(environ, start)
            return answer
        with self._lock:
            if self._etag(environ) != expected.strip('"'):
                start("412 Precondition Failed", [("Content-Type", "application/xml")])
                return [REFUSED]
            return list(self._gateway(environ, start))

    def _etag(self, environ: dict[str, Any]) -> str:
        found: dict[str, str] = {}

        def begin(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            found.update((name.lower(), value) for name, value in headers)

        list(self._gateway({**environ, "REQUEST_METHOD": "HEAD", "wsgi.input": io.BytesIO()}, begin))
        return found.get("etag", "").strip('"')


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """See WSGIRequestHandler."""


def main() -> None:
    """Serve."""
    server = make_server("127.0.0.1", 0, Server(), threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
