"""A pytest plugin for the suites: Google's clients get no credentials and the addresses of the local stack.

It writes the outcome of each case to the file in WITNESS_RESULTS.

It runs in the suites' own environment, which has neither bqdump nor this project's tests.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import google.auth
import google.auth.credentials
import google.cloud.bigquery_storage_v1.services.big_query_read.transports.grpc as reads
import grpc

PROJECT = "witness-project"


def _itself(self: Any, *_: Any, **__: Any) -> Any:
    return self


# Credentials without a token that can be scoped and are never refreshed.
NOBODY: Any = type(
    "Nobody",
    (google.auth.credentials.AnonymousCredentials, google.auth.credentials.Scoped),
    {
        "token": "none",
        "quota_project_id": None,
        "requires_scopes": False,
        **dict.fromkeys(("with_scopes", "with_quota_project", "with_universe_domain"), _itself),
    },
)


def _default(*_: Any, **__: Any) -> tuple[Any, str]:
    return NOBODY(), PROJECT


google.auth.default = _default
os.environ |= {"GOOGLE_CLOUD_PROJECT": PROJECT, "PROJECT_ID": PROJECT, "GBQ_PROJECT_ID": PROJECT}
# Reads go to the stack's server, which has no certificate.
_made = reads.BigQueryReadGrpcTransport.create_channel


def _channel(_host: str = "", *_: Any, **__: Any) -> grpc.Channel:
    return grpc.insecure_channel(os.environ["BIGQUERY_STORAGE_GRPC_ENDPOINT"])


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
