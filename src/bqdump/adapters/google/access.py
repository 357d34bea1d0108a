"""Errors that prevent any request to Google: credentials, proxies, certificates. Retrying does not help."""

from __future__ import annotations

import os
import re

import requests
from google.auth import exceptions as auth

from bqdump.adapters.google.endpoints import LED, Endpoint, emulator_at
from bqdump.core.errors import AccessError, BqdumpError, UnavailableError

SIGN_IN = ("sign in to", "Google Cloud")
FILE = "GOOGLE_APPLICATION_CREDENTIALS"
LOGIN = "Run: gcloud auth application-default login"
ALLOW = "Allow *.googleapis.com in the proxy, or add it to no_proxy."
TRUST = (
    "If a proxy intercepts TLS, set REQUESTS_CA_BUNDLE and GRPC_DEFAULT_SSL_ROOTS_FILE_PATH to the certificate of its "
    "authority."
)
START = "Start the server (`bqdump local up`), or unset the variable."
LONGEST_MESSAGE = 2000
UNUSABLE = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)
# Messages of requests and gRPC. A proxy's answers from 500 on are temporary.
UNTRUSTED = r"(?:certificate verify failed|CERTIFICATE_VERIFY_FAILED): ([^:(]+)"
REFUSED = r"(?:Tunnel connection failed:|HTTP proxy returned response code) (4\d\d[\w -]*)"
METADATA = r"Failed to retrieve \S+/computeMetadata/v1/([^\s?]+)\S* from the \S+ \S+ \S+ metadata service\. "
EMPTY = "NO_CERTIFICATE_OR_CRL_FOUND"
NO_CREDENTIALS = "Your default credentials were not found"


def blocked(message: str, operation: str, subject: str) -> AccessError | None:
    """The error for a message about a connection that can never succeed; None if it may succeed later."""
    if match := re.search(UNTRUSTED, message):
        return AccessError(operation, subject, f"the server's certificate is not trusted: {match[1].strip()}", TRUST)
    if EMPTY in message:
        return AccessError(operation, subject, "the file in REQUESTS_CA_BUNDLE contains no certificate")
    if match := re.search(REFUSED, message):
        return AccessError(operation, subject, f"the proxy refuses the connection: {match[1].strip()}", ALLOW)
    return None


def broken(error: Exception, operation: str, subject: str) -> BqdumpError:
    """The error for a connection that failed or broke."""
    request = getattr(error, "request", None)
    emulator = emulator_at(request.url) if request is not None and request.url else None
    if isinstance(error, UNUSABLE):
        cause = f"invalid address ({type(error).__name__})"
        return AccessError(operation, subject, cause, _invalid_address_hint(str(error)))
    by_proxy = isinstance(error, requests.exceptions.ProxyError)
    if emulator and not by_proxy and _refused(error):
        return nothing_there(emulator, operation, subject)
    cause = f"{'cannot connect to the proxy' if by_proxy else 'the connection broke'} ({type(error).__name__})"
    return blocked(str(error), operation, subject) or UnavailableError(operation, subject, cause)


def nothing_there(emulator: Endpoint, operation: str, subject: str) -> AccessError:
    """The error for an emulator that is not running, which is not worth waiting for."""
    cause = f"no server at {emulator.address}, the address in {emulator.variable}"
    return AccessError(operation, subject, cause, START)


def _invalid_address_hint(message: str) -> str:
    """The setting that an invalid address comes from."""
    overridden = (endpoint for endpoint in LED if os.environ.get(endpoint.variable))
    emulator = next((endpoint for endpoint in overridden if endpoint.address in message), None)
    if emulator is None:
        return "Check the variable https_proxy."
    return f"{emulator.variable} is {emulator.address!r}; expected an address such as http://127.0.0.1:9050."


def _refused(error: BaseException) -> bool:
    """Whether the connection was refused, according to any exception in the chain."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ConnectionRefusedError):
            return True
        inner = next(
            (item for item in (*seen.args, getattr(seen, "reason", None)) if isinstance(item, Exception)), None
        )
        seen = inner or seen.__cause__ or seen.__context__
    return False


def not_signed_in(error: auth.GoogleAuthError) -> BqdumpError:
    """The error for credentials that are missing or yield no token. Google's client has retried temporary errors."""
    inner: Exception = error
    while inner.args and isinstance(inner.args[0], Exception):
        inner = inner.args[0]
        if isinstance(inner, requests.exceptions.RequestException):
            return broken(inner, *SIGN_IN)
    message = one_line(str(inner.args[0] if inner.args else inner))
    if message.startswith(NO_CREDENTIALS):
        return AccessError("find credentials for", "Google Cloud", "none in this environment", LOGIN)
    served = re.sub(METADATA, r"the metadata server does not return \1: ", message)
    if served != message:
        return AccessError(*SIGN_IN, served, "Check the service account of this machine.")
    if error.retryable or isinstance(error, auth.TransportError):
        return UnavailableError(*SIGN_IN, message)
    # What the variable holds is not printed: it may be a key by mistake.
    hidden = message.replace(os.environ.get(FILE) or FILE, FILE)
    return AccessError(*SIGN_IN, re.sub(rf"(The f|F)ile {FILE}", f"the file in {FILE}", hidden), remedy())


def remedy() -> str:
    """The hint for refused credentials."""
    return f"Check the file in {FILE}." if os.environ.get(FILE) else LOGIN


def one_line(message: str) -> str:
    """The message without line breaks, shortened. Lone surrogates, which cannot be logged, are replaced."""
    return " ".join(message.encode("utf-8", "replace").decode().split())[:LONGEST_MESSAGE]
