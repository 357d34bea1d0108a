"""The part of a table that is exported: which columns, which of them masked, which rows, and with partition times."""

from __future__ import annotations

import msgspec

Constant = str | int | float | bool


class Mask(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The replacement for a column's values: NULL, a hash of them, or a constant.

    sha256: the name of the environment variable that holds the salt, never the salt itself.
    """

    null: bool = False
    sha256: str = ""
    constant: Constant | None = None


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a table that is exported. No columns: all of them. where: an expression in GoogleSQL.

    masks: by column. left_out: columns that are not exported, because the format cannot hold them, with the reason.
    texts: those that are exported as strings instead. partition_times: the name of one more column, the last one,
    which holds the partition time of each row of an ingestion-time partitioned table; "" without one.
    """

    columns: tuple[str, ...] = ()
    masks: dict[str, Mask] = {}
    where: str = ""
    left_out: dict[str, str] = {}
    texts: dict[str, str] = {}
    partition_times: str = ""

    @property
    def salts(self) -> dict[str, str]:
        """The environment variables that hold its salts, by query parameter."""
        variables = dict.fromkeys(mask.sha256 for mask in self.masks.values() if mask.sha256)
        return {f"salt_{number}": variable for number, variable in enumerate(variables)}

    @property
    def words(self) -> str:
        """How it differs from the complete table, in words; "" where it does not."""
        words: dict[str, object] = {
            "columns are chosen": self.columns,
            "columns are left out": self.left_out,
            "columns become strings": self.texts,
            "columns are masked": self.masks,
            "rows are filtered": self.where,
        }
        return " and ".join(word for word, value in words.items() if value)


WHOLE = Shape()
