"""Google's services that an export uses: their names, their addresses, and the variables that override these."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from msgspec import Struct


class Endpoint(Struct, frozen=True):
    """One of Google's services."""

    service: str
    variable: str
    google: str

    @property
    def address(self) -> str:
        """The address that requests go to."""
        return os.environ.get(self.variable) or self.google

    def __str__(self) -> str:
        led = f", set by {self.variable}" if os.environ.get(self.variable) else ""
        return f"{self.service} ({self.address}{led})"


STORAGE = Endpoint("Cloud Storage", "STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
BIGQUERY = Endpoint("BigQuery", "BIGQUERY_EMULATOR_HOST", "https://bigquery.googleapis.com")
STORAGE_READ = Endpoint("Storage Read API", "BIGQUERY_STORAGE_GRPC_ENDPOINT", "bigquerystorage.googleapis.com")
KMS = Endpoint("Cloud KMS", "CLOUD_KMS_EMULATOR_HOST", "https://cloudkms.googleapis.com")
# Services with a variable that overrides their address.
LED = (STORAGE, BIGQUERY, STORAGE_READ, KMS)


def emulator_at(url: str) -> Endpoint | None:
    """The service whose variable sets this address; None if the address is Google's."""
    for endpoint in LED:
        address = os.environ.get(endpoint.variable)
        if address and (url.startswith(address) or _place(url) == _place(address)):
            return endpoint
    return None


def _place(address: str) -> str:
    return urlsplit(address if "//" in address else f"//{address}").netloc
