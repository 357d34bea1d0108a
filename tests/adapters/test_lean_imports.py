"""What a task imports before its first request, seen in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

OPEN = """
import asyncio, sys
import bqdump.cli.run
from bqdump.adapters.lean_imports import import_lean
import_lean()
from bqdump.adapters.bigquery import BigQueryWarehouse
from bqdump.adapters.gcs import CloudStore

async def main():
    store, warehouse = CloudStore("bbb", "p-1"), BigQueryWarehouse("p-1")
    for request in (store.stat("x"), warehouse.dataset("p-1", "d")):
        try:
            await request
        except Exception as error:
            print(type(error).__name__)
    await store.close()
    await warehouse.close()

asyncio.run(main())
for name in ("pandas", "pyarrow", "polars", "grpc", "duckdb", "rich", "cryptography", "tomllib", "difflib"):
    if sys.modules.get(name):
        print(name)
"""


def run_python(code: str, environ: dict[str, str]) -> str:
    ran = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_task_imports_nothing_that_its_export_does_not_use(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    environ = {"BIGQUERY_EMULATOR_HOST": nobody, "STORAGE_EMULATOR_HOST": nobody, "HOME": str(tmp_path)}
    assert run_python(OPEN, environ) == "UnavailableError\nUnavailableError\n"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path / "key.json"
    file.write_text(json.dumps({
        "type": "service_account", "project_id": "p-1", "private_key_id": "k", "private_key": pem.decode(),
        "client_email": "a@p-1.iam.gserviceaccount.com", "client_id": "1", "token_uri": "http://127.0.0.1:9/token",
    }))  # fmt: skip
    return file


def test_the_key_of_a_service_account_signs_although_its_modules_are_put_off(key_file: Path) -> None:
    code = (
        "from bqdump.adapters.lean_imports import import_lean; import_lean()\n"
        "from bqdump.adapters.google_http import credentials\n"
        "found = credentials('BIGQUERY_EMULATOR_HOST')\n"
        "print(len(found.sign_bytes(b'x')))\n"
        "import sys, types\n"
        "print(all(type(sys.modules[name]) is types.ModuleType for name in ('google.auth.crypt', 'google.auth.jwt')))"
    )
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}
    assert run_python(code, environ) == "256\nTrue\n"
