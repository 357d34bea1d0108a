"""Google's client for Cloud Storage. STORAGE_EMULATOR_HOST points it to a local stand-in."""

from __future__ import annotations

import os
from typing import Any

from google.cloud import storage

from bqdump.adapters.endpoints import STORAGE
from bqdump.adapters.google_http import credentials, session


def open_client(project: str) -> Any:
    """Google's client, with its own pool of connections."""
    # Otherwise the client requests the metadata of every bucket once, for tracing only.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    granted = credentials(STORAGE.variable)
    options = {"api_endpoint": host} if (host := os.environ.get(STORAGE.variable)) else None
    client = storage.Client(project=project, credentials=granted, _http=session(granted), client_options=options)
    # Serves tracing only, and requests the bucket in a separate thread whenever an object is not found.
    client._bucket_metadata_cache = None
    return client
