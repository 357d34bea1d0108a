"""Cloud KMS as its REST API describes it: public keys and signatures of Ed25519 keys, on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google_crc32c import value as crc32c

VERSION = "projects/p/locations/eu/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
OTHER = VERSION.replace("/k/", "/ecdsa/")
DENIED = VERSION.replace("/k/", "/denied/")


class Kms(ThreadingHTTPServer):
    """unavailable: how many of the next requests are answered with 503. damaged: how many signatures are."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = Ed25519PrivateKey.generate()
        self.unavailable = self.damaged = 0
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        if self.unavailable:
            self.unavailable -= 1
            return _error(503, "UNAVAILABLE", "The service is currently unavailable.")
        for version in (VERSION, OTHER, DENIED):
            if path == f"/v1/{version}/publicKey" and method == "GET":
                if version == DENIED:
                    what = "cloudkms.cryptoKeyVersions.viewPublicKey"
                    return _error(403, "PERMISSION_DENIED", f"Permission '{what}' denied on resource '{version}'")
                algorithm = "EC_SIGN_ED25519" if version == VERSION else "EC_SIGN_P256_SHA256"
                return 200, {"pem": self.pem.decode(), "algorithm": algorithm, "name": version,
                             "pemCrc32c": str(crc32c(self.pem)), "protectionLevel": "SOFTWARE"}  # fmt: skip
            if path == f"/v1/{version}:asymmetricSign" and method == "POST":
                return self._signed(version, body)
        return _error(404, "NOT_FOUND", f"CryptoKeyVersion {path.removeprefix('/v1/')} not found.")

    def _signed(self, version: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        data = base64.b64decode(body["data"])
        if int(body["dataCrc32c"]) != crc32c(data):
            return _error(
                400, "INVALID_ARGUMENT", "The checksum in field data_crc32c did not match the data in field data"
            )
        signature = self.key.sign(data)
        if self.damaged:
            self.damaged -= 1
            signature = bytes(64)
        return 200, {"signature": base64.b64encode(signature).decode(), "signatureCrc32c": str(crc32c(signature)),
                     "verifiedDataCrc32c": True, "name": version, "protectionLevel": "SOFTWARE"}  # fmt: skip


def _error(code: int, status: str, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"error": {"code": code, "message": message, "status": status}}


class _Handler(BaseHTTPRequestHandler):
    server: Kms

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        code, answer = self.server.answer(self.command, self.path, json.loads(body or b"{}"))
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815 (the names that the base class calls)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def kms_server() -> Iterator[Kms]:
    """A running server."""
    with Kms() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
