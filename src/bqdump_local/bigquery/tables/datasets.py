"""Datasets, as the catalog holds them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

DATASET_ID = re.compile(r"\w{1,1024}", re.ASCII)


@dataclass
class Dataset:
    """A dataset with its properties. Times are milliseconds since 1970 UTC."""

    project: str
    dataset_id: str
    location: str
    properties: dict[str, Any]
    created_ms: int
    modified_ms: int

    @property
    def name(self) -> str:
        """`project:dataset`, as in messages."""
        return f"{self.project}:{self.dataset_id}"
