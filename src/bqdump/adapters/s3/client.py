"""The client of S3: botocore, set up by the usual AWS variables, profiles and files."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session

from bqdump.adapters.s3.errors import translated
from bqdump.adapters.threads import THREADS
from bqdump.core.version import VERSION

CONNECT_SECONDS, READ_SECONDS = 10, 120


def service_at(endpoint: str) -> str:
    """The service in messages. endpoint: see open_client."""
    return f"S3 ({endpoint or os.environ.get('AWS_ENDPOINT_URL_S3') or 'AWS'})"


def open_client(endpoint: str = "") -> Any:
    """A client. endpoint: the address of a service with the API of S3 ("": as the environment says, else AWS).

    Raises AccessError for a profile or credentials that cannot be used.
    """
    with translated("sign in to", "S3"):
        session = Session()
        session.register_component("data_loader", _models())
        session.user_agent_name, session.user_agent_version = "bqdump", VERSION
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=THREADS,
            # Retrying is not the client's task: see adapters.retry.
            retries={"total_max_attempts": 1},
            # CRC32C is sent and compared by the adapter. What the client would add, other services may not know.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3=_addressing(session, endpoint),
        )
        return session.create_client("s3", endpoint_url=endpoint or None, config=config)


@cache
def _models() -> Any:
    """The descriptions of services that the client reads from its files: once for all clients of this process."""
    return Session().get_component("data_loader")


def _addressing(session: Any, endpoint: str) -> dict[str, str] | None:
    """The bucket in the path for other services, few of which have a host name for each, unless the profile says it."""
    chosen = session.get_scoped_config().get("s3")
    if not endpoint or (isinstance(chosen, dict) and chosen.get("addressing_style")):
        return None
    return {"addressing_style": "path"}
