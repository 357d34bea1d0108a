"""The small documents of a target that are about no single run: whose it is, and which runs there are."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bqdump.core.documents.fields import FORMAT_VERSION, RunId, Time

# In place of a dataset's name: all datasets of the project that are exported as a set, below this prefix.
SET = "*"


class PrefixOwner(msgspec.Struct, frozen=True):
    """The dataset, or the set, that a prefix belongs to, which run claimed it, and when by that machine's clock.

    released: nothing was planned, so the next dataset may have the prefix.
    """

    project: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,100}$(?!\n)")]
    dataset: Annotated[str, Meta(pattern=r"^(?:\w{1,1024}|\*)$(?!\n)")]
    run: RunId
    claimed: Time
    released: bool = False
    format_version: int = FORMAT_VERSION

    @property
    def source(self) -> tuple[str, str]:
        """Project and dataset."""
        return self.project, self.dataset

    @property
    def owns(self) -> str:
        """The owner in words."""
        several = f"a set of datasets of {self.project}"
        return several if self.dataset == SET else f"{self.project}.{self.dataset}"


class Newest(msgspec.Struct, frozen=True):
    """The run that was planned last."""

    run: RunId
    format_version: int = FORMAT_VERSION


class Stages(msgspec.Struct, frozen=True):
    """A run that may have staged files: written before its plan, removed when its staging is known to be empty."""

    run: RunId
