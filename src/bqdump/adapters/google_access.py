"""Why Google could not be asked at all: credentials, proxies, certificates. No repetition helps against any of it."""

from __future__ import annotations

import os
import re

import requests
from google.auth import exceptions as auth

from bqdump.adapters.endpoints import LED, Endpoint, emulator_at
from bqdump.core.errors import AccessError, BqdumpError, UnavailableError

SIGN_IN = ("sign in to", "Google Cloud")
FILE = "GOOGLE_APPLICATION_CREDENTIALS"
LOGIN = "Run: gcloud auth application-default login"
ALLOW = "Let the proxy pass *.googleapis.com, or name them in no_proxy."
TRUST = (
    "A proxy that opens TLS has a certificate of its own: name its authority in REQUESTS_CA_BUNDLE and "
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH."
)
START = "Start it (bqdump local up), or unset the variable."
MOST_TOLD = 2000
UNUSABLE = (
    requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL, requests.exceptions.MissingSchema,
)  # fmt: skip
# As requests and gRPC have it. What a proxy answers from 500 on passes by itself.
UNTRUSTED = re.compile(r"(?:certificate verify failed|CERTIFICATE_VERIFY_FAILED): ([^:(]+)")
REFUSED = re.compile(r"(?:Tunnel connection failed:|HTTP proxy returned response code) (4\d\d[\w -]*)")
METADATA = re.compile(
    r"Failed to retrieve \S+/computeMetadata/v1/([^\s?]+)\S* from the \S+ \S+ \S+ metadata service\. "
)
EMPTY = "NO_CERTIFICATE_OR_CRL_FOUND"
NOBODY = "Your default credentials were not found"


def blocked(told: str, operation: str, subject: str) -> AccessError | None:
    """The error for a connection that nothing passes, by what was told of it; None where it may pass later."""
    if found := UNTRUSTED.search(told):
        return AccessError(operation, subject, f"the certificate shown is not trusted: {found[1].strip()}", TRUST)
    if EMPTY in told:
        return AccessError(operation, subject, "the file of REQUESTS_CA_BUNDLE has no certificate")
    if found := REFUSED.search(told):
        return AccessError(operation, subject, f"the proxy refuses the connection: {found[1].strip()}", ALLOW)
    return None


def broken(error: Exception, operation: str, subject: str) -> BqdumpError:
    """The error for a connection that broke, or never came about."""
    request = getattr(error, "request", None)
    led = emulator_at(request.url) if request is not None and request.url else None
    if isinstance(error, UNUSABLE):
        cause = f"the address cannot be used ({type(error).__name__})"
        return AccessError(operation, subject, cause, _look(str(error)))
    if led and not isinstance(error, requests.exceptions.ProxyError) and _refused(error):
        return nothing_there(led, operation, subject)
    what = "the proxy does not connect" if isinstance(error, requests.exceptions.ProxyError) else "the connection broke"
    cause = f"{what} ({type(error).__name__})"
    return blocked(str(error), operation, subject) or UnavailableError(operation, subject, cause)


def nothing_there(led: Endpoint, operation: str, subject: str) -> AccessError:
    """The error for an address of somebody's own at which no server is: waiting for one would help nobody."""
    return AccessError(operation, subject, f"nothing listens on {led.address}, which {led.variable} names", START)


def _look(told: str) -> str:
    """Where an address comes from that cannot be one, by what was told of it."""
    led = next((endpoint for endpoint in LED if os.environ.get(endpoint.variable) and endpoint.address in told), None)
    if led is None:
        return "Look at the variable https_proxy."
    return f"{led.variable} is {led.address!r}; an address such as http://127.0.0.1:9050 is expected."


def _refused(error: BaseException) -> bool:
    """Whether the machine at the address has refused the connection, as far as any layer below noted it."""
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
    """The error for credentials that are not there, or give no token. Google's client has repeated what may pass."""
    inner: Exception = error
    while inner.args and isinstance(inner.args[0], Exception):
        inner = inner.args[0]
        if isinstance(inner, requests.exceptions.RequestException):
            return broken(inner, *SIGN_IN)
    told = one_line(str(inner.args[0] if inner.args else inner))
    if told.startswith(NOBODY):
        return AccessError("find credentials for", "Google Cloud", "there are none in this environment", LOGIN)
    served = METADATA.sub(r"the metadata server does not tell \1: ", told)
    if served != told:
        return AccessError(*SIGN_IN, served, "Look at the service account that this runs as.")
    if error.retryable or isinstance(error, auth.TransportError):
        return UnavailableError(*SIGN_IN, told)
    return AccessError(*SIGN_IN, told.replace(os.environ.get(FILE) or FILE, FILE), remedy())


def remedy() -> str:
    """Where to look when credentials are refused."""
    return f"Look at the file that {FILE} names." if os.environ.get(FILE) else LOGIN


def one_line(message: str) -> str:
    """The message without line breaks, shortened. Halves of surrogate pairs, which no log takes, are replaced."""
    return " ".join(message.encode("utf-8", "replace").decode().split())[:MOST_TOLD]
