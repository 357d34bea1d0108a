"""Types of fields that the documents share.

Sizes are bytes, counts are rows or files, times are milliseconds since 1970 UTC, or strings in RFC 3339.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

FORMAT_VERSION = 1
# The folder of bqdump's own documents.
STATE = "_bqdump"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# The largest documents in bytes; larger ones are not read.
LARGEST = 512 << 20
# The counts of BigQuery and Cloud Storage are signed 64-bit integers.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Attempt = Annotated[int, Meta(ge=0, le=999)]
# Up to the end of the year 9999, the last that RFC 3339 can express.
Time = Annotated[int, Meta(ge=0, lt=253_402_300_800_000)]
# In Python, $ also matches before a trailing line break.
RunId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$(?!\n)")]
UnitId = Annotated[str, Meta(pattern=r"^[0-9]{5,9}-[0-9]{5,9}$(?!\n)")]
Nonce = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,32}$(?!\n)")]
# Whether an export replaces the files of the one before, or each run keeps a folder of its own.
Mode = Literal["replace", "keep"]
# When a table is read: at the plan's snapshot time, or when its job runs (views, for example, have no time travel).
ReadAt = Literal["snapshot", "job"]
