"""Google's hosts as clients see them, with names, TLS and tokens: a proxy in front of the local stack.

Clients that are led by no emulator variable connect to bigquery.googleapis.com and its like through this proxy, which
answers as those hosts, under a certificate of its own.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bqdump_local.stack import Stack
from integration.googles_tokens import IAM, OAUTH, TOKEN, Tokens, closing

REST, STORAGE, READ = "bigquery.googleapis.com", "storage.googleapis.com", "bigquerystorage.googleapis.com"
PIECE = 1 << 16


class GooglesHosts:
    """connected: how often each host was asked for. unsigned: requests of REST that came without a token.

    refused: hosts that the proxy does not let anybody talk to.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.connected: Counter[str] = Counter()
        self.refused: set[str] = set()
        self.unsigned: list[bytes] = []
        self.tokens = Tokens()
        self._upstream = {
            host: url.removeprefix("http://").rsplit(":", 1)
            for host, url in ((REST, stack.bigquery), (STORAGE, stack.storage), (READ, stack.storage_read))
        }
        hosts = (*self._upstream, OAUTH, IAM)
        self.certificate, self._key = _certificate(folder, hosts)
        self._contexts = {host: self._context("h2" if host == READ else "http/1.1") for host in hosts}
        self.proxy = self.metadata = ""

    def variables(self) -> dict[str, str]:
        """The environment in which these hosts are Google's, and this machine is one of theirs."""
        return {
            "https_proxy": f"http://{self.proxy}", "HTTPS_PROXY": f"http://{self.proxy}", "no_proxy": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self.certificate), "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(self.certificate),
            "GCE_METADATA_HOST": self.metadata, "GCE_METADATA_IP": self.metadata,
        }  # fmt: skip

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Serve until stopped."""
        proxy = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        metadata = await asyncio.start_server(self.tokens.tell, "127.0.0.1", 0)
        self.proxy, self.metadata = (_address(server) for server in (proxy, metadata))
        self._upstream |= {host: self.metadata.split(":") for host in (OAUTH, IAM)}
        ready.set()
        async with proxy, metadata:
            await stop.wait()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """CONNECT, then TLS as the host, then whatever the local stack says."""
        async with closing(writer):
            wish = re.match(rb"CONNECT ([^:]+):443 ", await reader.readuntil(b"\r\n\r\n"))
            host = wish[1].decode() if wish else "?"
            self.connected[host] += 1
            if host in self.refused or host not in self._upstream:
                writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                await writer.start_tls(self._contexts[host])
            except (ssl.SSLError, ConnectionError):
                # A client that does not trust this certificate.
                return
            address, port = self._upstream[host]
            there, to_there = await asyncio.open_connection(address, int(port))
            async with closing(to_there):
                requests = asyncio.create_task(self._requests(host, reader, to_there))
                answers = asyncio.create_task(self._answers(host, there, writer))
                await asyncio.wait((requests, answers), return_when=asyncio.FIRST_COMPLETED)
                requests.cancel()
                answers.cancel()

    async def _requests(self, host: str, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Pass on requests, to the name by which the local stack serves."""
        ours = ":".join(self._upstream[host])
        while piece := await source.read(PIECE):
            if host in (REST, STORAGE):
                if re.match(rb"(GET|POST|PUT|DELETE) /", piece) and TOKEN.encode() not in piece:
                    self.unsigned.append(piece.partition(b"\r\n")[0])
                piece = piece.replace(f"\r\nHost: {host}\r\n".encode(), f"\r\nHost: {ours}\r\n".encode())
            target.write(piece)
            await target.drain()

    async def _answers(self, host: str, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Pass on answers. The local stack does not serve TLS, so its addresses are replaced by the host's."""
        ours = re.escape(":".join(self._upstream[host])).encode()
        while piece := await source.read(PIECE):
            target.write(re.sub(rb"(?i)(\r\nlocation: )http://" + ours, rb"\1https://" + host.encode(), piece))
            await target.drain()

    def _context(self, protocol: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.certificate, self._key)
        made.set_alpn_protocols([protocol])
        return made


@contextmanager
def googles_hosts(stack: Stack, folder: Path) -> Iterator[GooglesHosts]:
    """Serve in a thread of its own."""
    made = GooglesHosts(stack, folder)
    ready, stop = threading.Event(), asyncio.Event()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=lambda: runner.run(made.serve(ready, stop)))
        thread.start()
        try:
            assert ready.wait(10)
            yield made
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()


def _address(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()
    return f"{host}:{port}"


def _certificate(folder: Path, hosts: tuple[str, ...]) -> tuple[Path, Path]:
    """One for these hosts that is its own authority, and its key: the files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Google, as far as this test goes")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    encoding: Any = serialization.Encoding.PEM
    certificate.write_bytes(made.public_bytes(encoding))
    secret.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate, secret
