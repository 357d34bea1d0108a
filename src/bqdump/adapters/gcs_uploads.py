"""Uploads to Cloud Storage, part by part. Google's client retries each part."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import from_http_response
from google.api_core.retry import Retry
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from bqdump.adapters.google_access import one_line
from bqdump.adapters.google_errors import BROKEN, translate
from bqdump.adapters.google_http import TIMEOUT
from bqdump.adapters.patience import Patience
from bqdump.core.errors import DamagedError
from bqdump.core.progress.log_events import LogEvent

log = logging.getLogger(__name__)

# The part size of an upload. A smaller object is uploaded with a single request.
PART = 8 << 20
NOT_AS_SENT = "the stored object differs from what was sent"
ON_THE_WAY = "Something between Cloud Storage and this machine changes data, such as a proxy."


def retry_policy(patience: Patience) -> Any:
    """A retry policy of Google's client for the errors that bqdump retries."""

    def retryable(error: Exception) -> bool:
        if isinstance(error, InvalidResponse):
            error = from_http_response(error.response)
        return isinstance(error, BROKEN) and translate(error, "write", "").retryable

    def warn(error: Exception) -> None:
        retried = LogEvent.REQUEST_RETRIED.extra()
        log.warning("An upload to %s failed (%s). Retrying.", patience.service, one_line(str(error)), extra=retried)

    pauses = {"initial": patience.first_pause, "maximum": patience.longest_pause}
    return Retry(predicate=retryable, on_error=warn, timeout=patience.seconds, **pauses)


class Upload:
    """An object being uploaded. A resumable upload starts with the second part, since most objects have only one."""

    def __init__(self, blob: Any, expect: int | None, retry: Any) -> None:
        self._blob, self._waiting, self._writer = blob, bytearray(), None
        self._options: dict[str, Any] = {
            "content_type": "application/octet-stream",
            "if_generation_match": expect,
            "checksum": "crc32c",
            "retry": retry,
        }

    _writer: Any

    def write(self, data: bytes) -> None:
        """Add bytes, and send them once they fill a part."""
        if self._writer is not None:
            self._send(lambda: self._writer.write(data))
            return
        self._waiting += data
        if len(self._waiting) > PART:
            # The client passes these arguments on, and None is not valid there.
            options = {name: value for name, value in self._options.items() if value is not None}
            self._writer = self._blob.open("wb", chunk_size=PART, ignore_flush=True, **options)
            self._send(lambda: self._writer.write(bytes(self._waiting)))
            self._waiting.clear()

    def finish(self) -> None:
        """Send the last part, which creates the object."""
        if self._writer is None:
            self._blob.upload_from_string(bytes(self._waiting), timeout=TIMEOUT, **self._options)
        else:
            self._send(self._writer.close)

    def _send(self, request: Callable[[], Any]) -> None:
        try:
            request()
        except InvalidResponse as error:
            # The layer that sends parts has its own exceptions.
            raise from_http_response(error.response) from error
        except DataCorruption as error:
            raise DamagedError("write", self._blob.name, NOT_AS_SENT, ON_THE_WAY) from error

    def abort(self) -> None:
        """Discard the upload."""
        if self._writer is not None:
            # Errors do not matter: an unfinished upload creates no object.
            with suppress(Exception):
                self._writer.terminate()
