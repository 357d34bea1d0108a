"""The modules that a task imports before its first request, observed in separate processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bqdump.adapters.lean_imports import HIDDEN
from bqdump.cli.options import finish

OPEN = """
import asyncio, sys
import bqdump.cli.commands.run
from bqdump.adapters.lean_imports import import_lean
import_lean()
from bqdump.adapters.bigquery.warehouse import BigQueryWarehouse
from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.gcs.store import CloudStore

async def main():
    store, warehouse = CloudStore("bbb", "p-1"), BigQueryWarehouse("p-1", Gate())
    for request in (store.stat("x"), warehouse.dataset("p-1", "d")):
        try:
            await request
        except Exception as error:
            print(type(error).__name__)
    await store.close()
    await warehouse.close()

asyncio.run(main())
for name in ("pandas", "pyarrow", "polars", "grpc", "duckdb", "rich", "cryptography", "tomllib", "difflib",
             "charset_normalizer"):
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
    assert run_python(OPEN, environ) == "AccessError\nAccessError\n"


FIRST_REQUEST = """
import os, socket, sys
def connect(*_):
    late = ("bqdump.core.restore", "bqdump.export.act", "bqdump.export.planning", "bqdump.export.publish",
            "bqdump.export.work", "email.headerregistry", "typing_extensions")
    print([name for name in late if name in sys.modules], flush=True)
    os._exit(0)
socket.socket.connect = connect
sys.argv = ["bqdump", "run"]
from bqdump.__main__ import main
main()
"""


@pytest.mark.parametrize("task", ["0", "1"])
def test_a_task_sends_its_first_request_before_it_imports_what_plans_and_exports(task: str, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    environ = {
        "BIGQUERY_EMULATOR_HOST": nobody,
        "STORAGE_EMULATOR_HOST": nobody,
        "HOME": str(tmp_path),
        "PROJECT_ID": "p-1",
        "SOURCE_DATASET": "d",
        "DESTINATION_BUCKET": "bbb",
        "CLOUD_RUN_EXECUTION": "e",
        "CLOUD_RUN_TASK_INDEX": task,
        "CLOUD_RUN_TASK_COUNT": "2",
    }
    assert run_python(FIRST_REQUEST, environ) == "[]\n"


def test_an_answer_without_a_charset_is_utf_8_and_no_module_guesses() -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from bqdump.adapters.lean_imports import import_lean; import_lean()\n"
        "import io, requests\n"
        "answer = requests.Response()\n"
        "answer.raw = io.BytesIO(b'caf\\xc3\\xa9 \\xff')\n"
        "print(ascii(answer.text))"
    )
    assert run_python(code, {}) == "'caf\\xe9 \\ufffd'\n"


HIDING = """
from bqdump.adapters.lean_imports import allow, import_lean
import_lean()
import importlib.util, sys
for name in ("grpc", "pandas", "pyarrow"):
    print(importlib.util.find_spec(name), name in sys.modules)
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error.name)
allow("pyarrow")
import pyarrow
print(pyarrow.schema([("a", pyarrow.int64())]).empty_table().num_rows)
import duckdb
print(duckdb.sql("SELECT 1").fetchall(), sys.modules.get("pandas", "not imported"))
"""


def test_a_hidden_package_is_one_that_is_not_installed_also_to_packages_that_look_for_it() -> None:
    """With pandas and numpy installed, as in the environments of most users."""
    environ = {"PYTHONPATH": str(Path(sys.executable).parent.with_name("readers"))}
    hidden = "".join(f"None False\n{name}\n" for name in ("grpc", "pandas", "pyarrow"))
    assert run_python(HIDING, environ) == f"{hidden}0\n[(1,)] not imported\n"


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


def test_a_service_account_key_signs_although_its_modules_are_deferred(key_file: Path) -> None:
    code = (
        "from bqdump.adapters.lean_imports import import_lean; import_lean()\n"
        "from bqdump.adapters.google.http import credentials\n"
        "found = credentials('BIGQUERY_EMULATOR_HOST')\n"
        "print(len(found.sign_bytes(b'x')))\n"
        "import sys, types\n"
        "print(all(type(sys.modules[name]) is types.ModuleType for name in ('google.auth.crypt', 'google.auth.jwt')))"
    )
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}
    assert run_python(code, environ) == "256\nTrue\n"


BESIDE = """
import importlib.machinery, sys, threading
# Threads take turns as often as Python can: what one of them may do next to another, it does.
sys.setswitchinterval(1e-6)
from bqdump.adapters import lean_imports
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.services.opening import LazyReadRoute
import bqdump.cli.commands.run
lean_imports.import_lean()
from bqdump.adapters.bigquery import warehouse
from bqdump.adapters.gcs import store
from bqdump.adapters.google import http

# Set when the other thread waits for this one, is done, or runs next to it.
other = threading.Event()
reported, seen = [], []

class Watched:
    "The lock, which tells when somebody waits for it."
    def __init__(self):
        self.lock = threading.RLock()
    def __enter__(self):
        if not self.lock.acquire(blocking=False):
            other.set()
            self.lock.acquire()
    def __exit__(self, *_):
        self.lock.release()

lean_imports.IMPORTS = Watched()

def report(call):
    try:
        call()
    except Exception as error:
        reported.append(f"{type(error).__name__}: {error}")
    finally:
        other.set()

def import_client():
    report(lambda: warehouse.bigquery.Client)

def open_read_route():
    report(LazyReadRoute(Settings(project="p", dataset="d", target=Target("gs", "b"))).open)

importing_client = []

def beside(name, call):
    "Run the other call in a thread as soon as this module is being run, and wait for it there."
    run = importlib.machinery.SourceFileLoader.exec_module
    def exec_module(self, module):
        if module.__name__ == "google.cloud.bigquery":
            # It ends while the lock is still held, and so before the other thread can go on.
            importing_client.append(module)
            try:
                watched(self, module)
            finally:
                importing_client.clear()
        else:
            watched(self, module)
    def watched(self, module):
        if module.__name__ == name and not started:
            started.append(threading.Thread(target=call))
            started[0].start()
            other.wait()
            seen.append("google.cloud.bigquery" in sys.modules)
        run(self, module)
    started = []
    importlib.machinery.SourceFileLoader.exec_module = exec_module
    return started
"""
ENDED = """
started[0].join()
print(*reported, sep="\\n")
rare = [sys.modules[name] for name in lean_imports.RARE if name in sys.modules]
print({type(module).__name__ for module in rare}, sys.modules.get("grpc") is not None)
"""


@pytest.mark.parametrize("name", ["google.protobuf.timestamp_pb2", "google.rpc.error_details_pb2", "google.auth.jwt"])
def test_bigquery_s_client_is_not_imported_while_deferred_modules_load(name: str) -> None:
    code = f"{BESIDE}\nstarted = beside({name!r}, import_client)\nopen_read_route()\n{ENDED}print(seen)"
    environ = {"BIGQUERY_STORAGE_GRPC_ENDPOINT": "127.0.0.1:9"}
    assert run_python(code, environ) == "\n{'module'} True\n[False]\n"


@pytest.mark.parametrize("name", ["google.cloud.bigquery", "google.cloud.bigquery.client"])
def test_the_reader_is_not_imported_at_the_same_time_as_bigquery_s_client(name: str) -> None:
    watch = (
        "next_to_it = []\n"
        "allow = lean_imports.allow\n"
        "def watched(name):\n"
        "    if importing_client:\n"
        "        next_to_it.append(name)\n"
        "        other.set()\n"
        "    allow(name)\n"
        "lean_imports.allow = watched\n"
    )
    code = f"{BESIDE}\n{watch}started = beside({name!r}, open_read_route)\nimport_client()\n{ENDED}print(next_to_it)"
    environ = {"BIGQUERY_STORAGE_GRPC_ENDPOINT": "127.0.0.1:9"}
    assert run_python(code, environ).endswith("[]\n")


def test_a_command_that_a_test_calls_leaves_the_imports_of_its_process_alone() -> None:
    """Servers in threads of that process import what an export does not use."""

    async def nothing() -> None:
        pass

    finish(nothing())
    assert set() == HIDDEN
