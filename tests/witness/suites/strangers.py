"""A pytest plugin for the suites: Google's clients get no credentials and the addresses of the local stack.

It writes the outcome of each case to the file in WITNESS_RESULTS.

It runs in the suites' own environment, which has neither bqdump nor this project's tests.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import google.auth
import google.auth.crypt
import google.cloud.storage.client
import google.oauth2.service_account
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "witness-project"


def _itself(self: Any, *_: Any, **__: Any) -> Any:
    return self


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _signer() -> Any:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return google.auth.crypt.RSASigner.from_string(pem)


# A service account, which some cases need, with a key of its own. Its requests carry no token.
WITHOUT = ("scopes", "quota_project", "universe_domain", "always_use_jwt_access", "subject", "claims", "token_uri")
NOBODY: Any = type(
    "Nobody",
    (google.oauth2.service_account.Credentials,),
    {
        "token": "none",
        "quota_project_id": None,
        "requires_scopes": False,
        "valid": True,
        "expired": False,
        "refresh": _nothing,
        "before_request": _nothing,
        # Processes of a transfer get those of their own.
        "__reduce__": lambda _: (nobody, ()),
        **{f"with_{part}": _itself for part in WITHOUT},
    },
)(_signer(), f"witness@{PROJECT}.iam.gserviceaccount.com", "http://127.0.0.1:1/token", project_id=PROJECT)


def nobody() -> Any:
    """The service account of this process."""
    return NOBODY


def _default(*_: Any, **__: Any) -> tuple[Any, str]:
    return NOBODY, PROJECT


google.auth.default = _default
# With the address of an emulator, this client makes its own.
google.cloud.storage.client.AnonymousCredentials = lambda: NOBODY
NAMES = ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_TESTS_USER_PROJECT", "GBQ_PROJECT_ID", "PROJECT_ID")
os.environ |= dict.fromkeys(NAMES, PROJECT)


# Reads go to the stack's server, which has no certificate.
def _channel(*_: Any, **__: Any) -> Any:
    import grpc

    return grpc.insecure_channel(os.environ["BIGQUERY_STORAGE_GRPC_ENDPOINT"])


# dbt's environment has no client for reads.
for version in ("v1", "v1beta2") if importlib.util.find_spec("google.cloud.bigquery_storage_v1") else ():
    reads = importlib.import_module(f"google.cloud.bigquery_storage_{version}.services.big_query_read.transports.grpc")
    reads.BigQueryReadGrpcTransport.create_channel = classmethod(lambda cls, *a, **k: _channel(*a, **k))


OUTCOMES: dict[str, str] = {}


def pytest_runtest_logreport(report: Any) -> None:
    """A case fails if it fails itself, or what it needs."""
    known = OUTCOMES.get(report.nodeid)
    if report.failed:
        OUTCOMES[report.nodeid] = "failed"
    elif known is None or (report.skipped and known != "failed"):
        OUTCOMES[report.nodeid] = "skipped" if report.skipped else "passed"


def pytest_sessionfinish() -> None:
    """Write the outcomes."""
    Path(os.environ["WITNESS_RESULTS"]).write_text(json.dumps(OUTCOMES), encoding="utf-8")
