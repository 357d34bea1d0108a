"""A storage server for tests: the real application with uvicorn in a thread, and official clients."""

from __future__ import annotations

import email.message
import json
import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests
import uvicorn
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from bqdump_local.control import Control
from bqdump_local.operations import storage_operation
from bqdump_local.storage.app import create_app
from googles_apis import Validated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp


# No test sees the variable itself.
VALIDATE = bool(os.environ.get("BQDUMP_VALIDATE"))


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Run an application on a free port. Yields its address, and waits for its shutdown.

    With BQDUMP_VALIDATE, requests of Google's clients, and all answers, must be valid by the APIs' descriptions.
    """
    checked = Validated(app) if VALIDATE else None
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        checked or app,
        log_level="error",
        access_log=False,
        loop="uvloop",
        http="httptools",
        ws="none",
        # A connection that is closed while a client sends its next request is reset, which happens on a busy machine.
        timeout_keep_alive=120,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    # The listener accepts connections from the start, so clients need not wait for the server.
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        assert checked is None or not checked.problems, "\n".join(sorted(set(checked.problems)))


@contextmanager
def storage_server(root: Path | None = None, *, persist: bool = False) -> Iterator[str]:
    """The storage stand-in with its control layer. Yields its address."""
    app = Control(create_app(root, persist=persist), service="storage", name=storage_operation)
    with serving(app) as address:
        yield address


def storage_client(address: str) -> Any:
    """An official client of a storage server. Close it after use."""
    # Otherwise a thread of the client reads each bucket once, which changes the counts.
    os.environ["DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"] = "true"
    anonymous: Any = AnonymousCredentials
    return storage.Client(project="test", credentials=anonymous(), client_options=ClientOptions(api_endpoint=address))


class Http:
    """Plain HTTP requests to a storage server, for what the official client hides."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = requests.Session()
        # It would look for proxies and passwords with each request.
        self.session.trust_env = False

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request below `/storage/v1`, or to an absolute path or address."""
        if path.startswith("/"):
            path = self.address + path
        elif not path.startswith("http"):
            path = f"{self.address}/storage/v1/{path}"
        return self.session.request(method, path, **options)

    def bucket(self, name: str, **resource: Any) -> str:
        """A new bucket."""
        self.call("POST", "b", json={"name": name, **resource}).raise_for_status()
        return name

    def put(self, bucket: str, name: str, data: bytes = b"data", **params: Any) -> dict[str, Any]:
        """Upload an object. Returns its resource."""
        response = self.upload(bucket, name, data, **params)
        response.raise_for_status()
        resource: dict[str, Any] = response.json()
        return resource

    def upload(self, bucket: str, name: str, data: bytes = b"data", **params: Any) -> requests.Response:
        """Upload an object with a media upload."""
        params = {"uploadType": "media", "name": name, **params}
        return self.call("POST", f"/upload/storage/v1/b/{bucket}/o", params=params, data=data)

    def upload_multipart(
        self, bucket: str, resource: dict[str, Any], data: bytes = b"data", **params: Any
    ) -> requests.Response:
        """Upload an object together with its metadata."""
        head = f"--mark\r\ncontent-type: application/json\r\n\r\n{json.dumps(resource)}\r\n--mark\r\n"
        return self.call(
            "POST",
            f"/upload/storage/v1/b/{bucket}/o",
            params={"uploadType": "multipart", **params},
            headers={"content-type": "multipart/related; boundary=mark"},
            data=head.encode() + b"content-type: text/csv\r\n\r\n" + data + b"\r\n--mark--",
        )

    def start_resumable(self, bucket: str, name: str, **params: Any) -> requests.Response:
        """Start a resumable upload. The bytes go to the answer's Location."""
        params = {"uploadType": "resumable", "name": name, **params}
        return self.call("POST", f"/upload/storage/v1/b/{bucket}/o", params=params)

    def batch(self, calls: list[tuple[str, str, dict[str, Any] | None]]) -> requests.Response:
        """Several calls in one request."""
        parts = []
        for number, (method, path, body) in enumerate(calls):
            text = json.dumps(body) if body is not None else ""
            parts.append(
                f"--mark\r\nContent-Type: application/http\r\nContent-ID: <call-{number}>\r\n\r\n"
                f"{method} /storage/v1/{path} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{text}\r\n"
            )
        headers = {"content-type": "multipart/mixed; boundary=mark"}
        return self.call("POST", "/batch/storage/v1", data="".join(parts) + "--mark--", headers=headers)


def batch_answers(response: requests.Response) -> list[tuple[int, dict[str, Any]]]:
    """Status and resource of every call of a batch."""
    response.raise_for_status()
    text = f"Content-Type: {response.headers['content-type']}\r\n\r\n{response.text}"
    answers = []
    for part in email.message_from_string(text).get_payload():
        assert isinstance(part, email.message.Message)
        line, _, rest = str(part.get_payload()).partition("\n")
        body = email.message_from_string(rest).get_payload()
        answers.append((int(line.split()[1]), json.loads(str(body)) if str(body).strip() else {}))
    return answers


def path_of(bucket: str, name: str) -> str:
    """The path of an object below `/storage/v1`."""
    return f"b/{bucket}/o/{quote(name, safe='')}"
