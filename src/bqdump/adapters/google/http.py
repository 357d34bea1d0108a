"""Connections to Google's JSON APIs, for both clients: credentials and a connection pool."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import google.auth
import requests
from google.auth._cloud_sdk import get_application_default_credentials_path
from google.auth.credentials import AnonymousCredentials, Credentials, with_scopes_if_required
from google.auth.transport import DEFAULT_REFRESH_STATUS_CODES
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter

from bqdump.adapters.google.access import FILE, SIGN_IN, not_signed_in, remedy
from bqdump.adapters.lean_imports import load_rare
from bqdump.adapters.threads import THREADS
from bqdump.core.errors import AccessError, UsageError, open_files_error, out_of_files

CONNECT_SECONDS, READ_SECONDS = 10.0, 120.0
# Variables from which requests and gRPC read certificate authorities.
AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
UNIVERSE = "googleapis.com"
TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)


def credentials(emulator_variable: str) -> Credentials:
    """Anonymous credentials for an emulator, application default credentials otherwise.

    Raises AccessError if there are none, UsageError if a file of certificate authorities does not exist.
    """
    if os.environ.get(emulator_variable):
        return AnonymousCredentials()
    for variable in AUTHORITIES:
        if (path := os.environ.get(variable)) and not Path(path).exists():
            raise UsageError("connect to Google", f"environment variable {variable}", f"no such file: {path}")
    try:
        default = _default_credentials()
        universes = {default.universe_domain, os.environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN") or UNIVERSE}
    except google.auth.exceptions.GoogleAuthError as error:
        raise not_signed_in(error) from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        if out_of_files(error):
            raise open_files_error(*SIGN_IN) from None
        # Google's parser does not validate the file.
        cause = f"invalid credentials file ({type(error).__name__})"
        raise AccessError(*SIGN_IN, cause, remedy()) from None
    if other := universes - {UNIVERSE}:
        raise AccessError(*SIGN_IN, f"unsupported universe domain {other.pop()}; expected {UNIVERSE}")
    if type(default).__module__ != "google.auth.compute_engine.credentials":
        # All others than those of the metadata server may have to sign something, in any thread.
        load_rare()
    return default


def _default_credentials() -> Credentials:
    """The application default credentials, without a project.

    To find a project, google.auth.default would run gcloud, which takes a second, or call another service.
    """
    file = os.environ.get(FILE) or get_application_default_credentials_path()
    if not os.environ.get(FILE) and not Path(file).is_file():
        return google.auth.default(scopes=SCOPES)[0]
    with warnings.catch_warnings():
        # It warns about files of unknown origin; this file is the user's own.
        warnings.simplefilter("ignore", DeprecationWarning)
        default, _ = google.auth.load_credentials_from_file(file)
    return with_scopes_if_required(default, SCOPES)


class Session(AuthorizedSession):  # type: ignore[misc]  # google-auth has no types.
    """A session that reads the environment once for each host; requests searches all of it with every request.

    Proxies and certificate authorities are those of the environment. Passwords in a .netrc file are not used.
    """

    def __init__(self, granted: Credentials) -> None:
        # Without credentials there is no token to refresh, so an error keeps the service's message.
        anonymous = isinstance(granted, AnonymousCredentials)
        super().__init__(granted, refresh_status_codes=() if anonymous else DEFAULT_REFRESH_STATUS_CODES)
        self.trust_env = False
        self._environment: dict[str, Mapping[str, Any]] = {}

    def merge_environment_settings(
        self, url: str, proxies: Any, stream: bool | None, verify: Any, cert: Any
    ) -> dict[str, Any]:
        """See requests.Session."""
        host = url.split("/", 3)[2]
        if host not in self._environment:
            with requests.Session() as trusting:
                self._environment[host] = trusting.merge_environment_settings(url, {}, None, None, None)
        outside = self._environment[host]
        return {
            "proxies": {**outside["proxies"], **(proxies or {})},
            "stream": bool(stream),
            "verify": outside["verify"] if verify in (None, True) else verify,
            "cert": cert,
        }


class EmptyAnswerError(requests.exceptions.RequestException):
    """An answer without the document that it should have, as of a proxy or a load balancer that has lost it."""


def _refuse_empty(answer: requests.Response, **_: Any) -> None:
    """Raise EmptyAnswerError. Google's clients would pass the empty body on as the document, and it is not retried."""
    request = answer.request
    url, method = str(request.url), request.method
    # What may be empty: an object, and the answer that begins an upload.
    may_be = method == "DELETE" or "alt=media" in url or "/upload/" in url
    if answer.status_code == HTTPStatus.OK and not may_be and not answer.content:
        raise EmptyAnswerError(request=request, response=answer)


def session(granted: Credentials) -> Session:
    """A session with a connection pool for all threads."""
    pooled = Session(granted)
    pooled.hooks["response"].append(_refuse_empty)
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=THREADS)
    pooled.mount("https://", adapter)
    pooled.mount("http://", adapter)
    return pooled
