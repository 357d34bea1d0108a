"""What of a table is exported where it is not everything: which columns, which of them masked, which rows."""

from __future__ import annotations

from typing import Literal

import msgspec

Constant = str | int | float | bool


class Mask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands in the place of a column's values.

    salt: for sha256, the name of the environment variable that holds it, never the salt itself. value: the constant.
    """

    kind: Literal["null", "sha256", "constant"]
    salt: str = ""
    value: Constant = ""


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a table that is exported. No columns: all of them. `where` is an expression of GoogleSQL.

    left_out, texts: columns that the format cannot hold, with the reason: those that are not exported, and those that
    are exported as text instead.
    """

    columns: tuple[str, ...] = ()
    masks: dict[str, Mask] = {}
    where: str = ""
    left_out: dict[str, str] = {}
    texts: dict[str, str] = {}

    @property
    def words(self) -> str:
        """How it differs from the whole table, for a sentence; "" where it does not."""
        words: dict[str, object] = {
            "columns are chosen": self.columns,
            "columns are left out": self.left_out,
            "columns become text": self.texts,
            "columns are masked": self.masks,
            "rows are filtered": self.where,
        }
        return " and ".join(word for word, asked in words.items() if asked)


WHOLE = Shape()
