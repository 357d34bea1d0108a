"""BIGNUMERIC and INTERVAL as strings, from their bytes in Arrow, column by column.

Source of the string formats: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions#cast_as_string
"""

from __future__ import annotations

from math import ceil

import polars as pl

LIMBS, LIMB = 4, 1 << 64
# Decimal digits per step of the long division. A remainder of this many digits, times LIMB, takes 124 of 127 bits.
STEP, STEPS = 18, 5
# The bits of a positive number, and those that each step at least takes off.
BITS, STEP_BITS = 255, 59


def bignumeric_text(column: pl.Series, scale: int) -> pl.Series:
    """Digits without trailing zeros. column: decimals of 256 bits, in little-endian two's complement."""
    wide = pl.Int128
    limbs = [f"l{index}" for index in range(LIMBS)]
    words = [pl.nth(0).bin.slice(8 * index, 8) for index in range(LIMBS)]
    numbers = [word.bin.reinterpret(dtype=pl.UInt64, endianness="little").cast(wide) for word in words]
    frame = column.to_frame().select([number.alias(limb) for number, limb in zip(numbers, limbs, strict=True)])
    frame = frame.with_columns(negative=pl.col(limbs[-1]) >= LIMB // 2)
    frame = frame.with_columns(carry=pl.col("negative").cast(wide))
    for limb in limbs:
        turned = pl.when("negative").then(pl.lit(LIMB - 1, wide) - pl.col(limb)).otherwise(pl.col(limb))
        turned += pl.col("carry")
        frame = frame.with_columns((turned % pl.lit(LIMB, wide)).alias(limb), carry=turned // pl.lit(LIMB, wide))
    base = pl.lit(10**STEP, wide)
    for step in range(STEPS):
        rest = pl.lit(0, wide)
        for limb in reversed(limbs[: ceil((BITS - step * STEP_BITS) / 64)]):
            whole = rest * pl.lit(LIMB, wide) + pl.col(limb)
            frame = frame.with_columns((whole // base).alias(limb), rest=whole % base)
            rest = pl.col("rest")
        frame = frame.with_columns(pl.col("rest").cast(pl.String).str.zfill(STEP).alias(f"d{step}"))
    digits = pl.concat_str([pl.col(f"d{step}") for step in reversed(range(STEPS))])
    whole = digits.str.head(STEP * STEPS - scale).str.strip_chars_start("0")
    fraction = digits.str.tail(scale).str.strip_chars_end("0") if scale else pl.lit("")

    text = pl.concat_str(
        pl.when("negative").then(pl.lit("-")).otherwise(pl.lit("")),
        pl.when(whole == "").then(pl.lit("0")).otherwise(whole),
        pl.when(fraction == "").then(pl.lit("")).otherwise(pl.concat_str(pl.lit("."), fraction)),
    )
    return frame.select(pl.when(pl.col(limbs[0]).is_null()).then(None).otherwise(text).alias(column.name)).to_series()


def interval_text(column: pl.Series) -> pl.Series:
    """Strings such as 1-2 3 4:5:6.789. column: months, days (32 bits each) and nanoseconds (64 bits), little-endian."""
    value = pl.nth(0).bin
    frame = column.to_frame().select(
        months=value.slice(0, 4).bin.reinterpret(dtype=pl.Int32, endianness="little").cast(pl.Int64),
        days=value.slice(4, 4).bin.reinterpret(dtype=pl.Int32, endianness="little"),
        micros=value.slice(8, 8).bin.reinterpret(dtype=pl.Int64, endianness="little") // 1000,
    )
    months, micros = pl.col("months").abs(), pl.col("micros").abs()
    seconds, fraction = micros // 1_000_000, (micros % 1_000_000).cast(pl.String).str.zfill(6)
    has_fraction = micros % 1_000_000 != 0
    years = [_sign("months"), months // 12, pl.lit("-"), months % 12]
    time = [_sign("micros"), seconds // 3600, pl.lit(":"), seconds // 60 % 60, pl.lit(":"), seconds % 60]
    digits = pl.concat_str(pl.lit("."), fraction.str.strip_chars_end("0"))
    end = pl.when(has_fraction).then(digits).otherwise(pl.lit(""))
    text = pl.concat_str(*years, pl.lit(" "), pl.col("days"), pl.lit(" "), *time, end)
    return frame.select(text.alias(column.name)).to_series()


def _sign(name: str) -> pl.Expr:
    return pl.when(pl.col(name) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
