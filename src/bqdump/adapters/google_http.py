"""Connections to Google's JSON APIs, shared by both clients: credentials, a pool of the right size, threads."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import google.auth
from google.auth._cloud_sdk import get_application_default_credentials_path
from google.auth.credentials import AnonymousCredentials, Credentials, with_scopes_if_required
from google.auth.transport import DEFAULT_REFRESH_STATUS_CODES
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter

from bqdump.adapters.google_access import FILE, SIGN_IN, not_signed_in, remedy
from bqdump.adapters.lean_imports import load_rare
from bqdump.core.errors import AccessError, UsageError

Result = TypeVar("Result")

# Requests under way at once, per API: 100 a second at 200 ms each, of two methods while planning.
THREADS = 40
CONNECT_SECONDS, READ_SECONDS = 10.0, 120.0
# Variables by which requests and gRPC find authorities of TLS.
AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
UNIVERSE = "googleapis.com"
TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)


def credentials(emulator_variable: str) -> Credentials:
    """Anonymous credentials for an emulator, else the application default ones.

    Raises AccessError without any, UsageError for authorities of TLS that are not there.
    """
    if os.environ.get(emulator_variable):
        return AnonymousCredentials()
    for variable in AUTHORITIES:
        if (path := os.environ.get(variable)) and not Path(path).exists():
            raise UsageError("connect to Google", f"environment variable {variable}", "it names no file")
    try:
        found = _found()
        universes = {found.universe_domain, os.environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN") or UNIVERSE}
    except google.auth.exceptions.GoogleAuthError as error:
        raise not_signed_in(error) from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        # Google's reader expects a file to be one of its own.
        cause = f"the file of the credentials cannot be read ({type(error).__name__})"
        raise AccessError(*SIGN_IN, cause, remedy()) from None
    if other := universes - {UNIVERSE}:
        raise AccessError(*SIGN_IN, f"the universe is {other.pop()}, and bqdump knows {UNIVERSE} alone")
    if type(found).__module__ != "google.auth.compute_engine.credentials":
        # Theirs come from the metadata server; all others may have to sign something, and from any thread.
        load_rare()
    return found


def _found() -> Credentials:
    """The application default credentials, without a project.

    For that alone google.auth.default would run gcloud, a second each time, or ask a service that nobody else needs.
    """
    file = os.environ.get(FILE) or get_application_default_credentials_path()
    if not os.environ.get(FILE) and not Path(file).is_file():
        return google.auth.default(scopes=SCOPES)[0]
    with warnings.catch_warnings():
        # It warns of files of unknown origin; these are the user's own.
        warnings.simplefilter("ignore", DeprecationWarning)
        found, _ = google.auth.load_credentials_from_file(file)
    return with_scopes_if_required(found, SCOPES)


def session(granted: Credentials) -> AuthorizedSession:
    """A session whose pool fits the threads."""
    # Without credentials there are none to renew, so that a refusal stays what the service has said.
    anonymous = isinstance(granted, AnonymousCredentials)
    made = AuthorizedSession(granted, refresh_status_codes=() if anonymous else DEFAULT_REFRESH_STATUS_CODES)
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=THREADS)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


class Threads:
    """Runs a client's blocking calls beside the event loop. Threads start as they are needed."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    async def call(self, function: Callable[[], Result]) -> Result:
        """The function's result; its exceptions pass through."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def start(self, function: Callable[[], Result]) -> Future[Result]:
        """Start it now, for whoever asks for its result."""
        return self._pool.submit(function)

    def close(self) -> None:
        """Start nothing more, and wait for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)
