"""The risks of an export: what would be lost, or be elsewhere, without notice."""

from __future__ import annotations

import enum
import re

from bqdump.core.results import public

# What a risk of another release can be called.
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


@public
class Risk(enum.StrEnum):
    """What an export could lose without notice, or have elsewhere. The values are those of the setting `allow`."""

    ROW_POLICIES = "row-policies"
    UNSEEN_ROW_POLICIES = "unseen-row-policies"
    MASKED_COLUMNS = "masked-columns"
    STREAMING_BUFFER = "streaming-buffer"
    SKIPPED = "skipped"
    CREATED_LATER = "created-later"
    UNAPPLIED_CHANGES = "unapplied-changes"
    UNSEEN_CHANGES = "unseen-changes"
    PSEUDO_COLUMNS = "pseudo-columns"
    UNSEEN_COLUMNS = "unseen-columns"
    REMOVED_TABLES = "removed-tables"
    LOST_SECTIONS = "lost-sections"
    LIFECYCLE_RULES = "lifecycle-rules"
    DROPPED_TABLES = "dropped-tables"
    REMOVED_PARTITIONS = "removed-partitions"
    DROPPED_PARTITIONS = "dropped-partitions"
    LEFT_OUT_COLUMNS = "left-out-columns"
    COLUMNS_AS_TEXT = "columns-as-text"
    ALTERED_VALUES = "altered-values"
    UNREAD_DEFINITIONS = "unread-definitions"
    MODELS = "models"
    OTHER_LOCATION = "other-location"

    @classmethod
    def _missing_(cls, value: object) -> Risk | None:
        """A risk that another release has found: documents with it are read, and show its name."""
        if not isinstance(value, str) or not NAME.fullmatch(value):
            return None
        risk = str.__new__(cls, value)
        risk._name_ = risk._value_ = value
        return risk

    @property
    def known(self) -> bool:
        """Whether this release has it."""
        return self in KNOWN

    @property
    def hides(self) -> bool:
        """Whether the files of a table may hold less than the table, or other values. Of an unknown one, they may."""
        return self in HIDING or not self.known


KNOWN = frozenset(Risk)

# Risks that lose nothing, or that another setting has accepted: reported, never refused.
REPORTED = (
    Risk.DROPPED_TABLES,
    Risk.DROPPED_PARTITIONS,
    Risk.COLUMNS_AS_TEXT,
    Risk.UNREAD_DEFINITIONS,
    Risk.MODELS,
    Risk.OTHER_LOCATION,
)
# Risks that refuse a run only with the setting `strict`: the chosen format does not bring columns back as they are.
STRICT = (Risk.LEFT_OUT_COLUMNS, Risk.ALTERED_VALUES)
# Risks that refuse a run unless the setting `allow` names them.
REFUSED = tuple(risk for risk in Risk if risk not in REPORTED)
# Risks with which the files of a table may hold less than the table, or other values.
HIDING = (
    Risk.ROW_POLICIES,
    Risk.UNSEEN_ROW_POLICIES,
    Risk.MASKED_COLUMNS,
    Risk.STREAMING_BUFFER,
    Risk.UNAPPLIED_CHANGES,
    Risk.UNSEEN_COLUMNS,
)
