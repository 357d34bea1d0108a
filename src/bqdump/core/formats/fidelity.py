"""How each type looks in each format: the form in the file, what is lost, and how a load job brings it back.

The code uses this table, and docs/formats.md is generated from it. If a cell is not `sure`, neither Google's pages nor
files that BigQuery wrote confirm it. In either case BigQuery writes the column or refuses the job by name.

Files that BigQuery wrote, in public repositories: GoogleCloudPlatform/training-data-analyst (CSV), googleapis/
python-bigquery-dataframes (JSON), broadinstitute/gatk (Avro), GoogleCloudPlatform/bigquery-utils (Parquet).
Pages, all below https://cloud.google.com/bigquery/docs/: exporting-data (Avro and Parquet export details),
loading-data-cloud-storage-csv, -json, -avro, -parquet (how files load), geospatial-data#exporting_spatial_data,
reference/standard-sql/json_functions#json_encodings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct


class Back(Struct, frozen=True):
    """How a load job brings a type back; by default, the schema is enough.

    options: of the job, as in JobConfigurationLoad.
    cast: GoogleSQL for a type that load jobs cannot read: it loads as a STRING ({value}), which becomes its type
        ({type}).
    words: anything else to know, for a person.
        https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload
    """

    options: Mapping[str, object] = {}
    cast: str = ""
    words: str = ""


BY_SCHEMA = Back()


class Cell(Struct, frozen=True):
    """One type in one format. `file` is empty if the format cannot hold the type; `lost` then has the reason.

    back: how it loads.
    sure: False if no part is confirmed.
    open: the part of `file` that is not confirmed, if the rest is.
    null: GoogleSQL of the value that files have, or load jobs may take, like NULL: a REQUIRED column, which has no
        NULL, gets it back.
    altered: the value that a restore brings back as another one, and as which; of `null` only where NULL is possible.
    """

    file: str
    lost: str = ""
    back: Back = BY_SCHEMA
    sure: bool = True
    open: str = ""
    null: str = ""
    altered: str = ""

    @property
    def holds(self) -> Verdict:
        """Whether a column of this type can be exported, and whether it loses anything."""
        return "no" if not self.file else "lossy" if self.lost else "yes"


Verdict = Literal["yes", "lossy", "no"]
FLOAT_DIGITS = "15 digits if they read back as the same number, otherwise 17; whole numbers have no point: 2"
NESTED = "CSV has no nested or repeated values"

CAST = "CAST({value} AS {type})"
# Numbers are rounded as they were when the JSON value was made, instead of being refused.
PARSE_JSON = "PARSE_JSON({value}, wide_number_mode => 'round')"
TEXT = {"allowQuotedNewlines": True, "preserveAsciiControlCharacters": True}
DECIMAL = Back({"decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"]})
LOGICAL = Back({"useAvroLogicalTypes": True})
LISTS = Back({"parquetOptions": {"enableListInference": True}})
SPHERICAL = Back(words="by schema; edges stay spherical")
OTHERWISE_STRING = Back(words="only with its schema, otherwise as STRING")

# Why the read route cannot write a column: it is no matter of the column.
NO_AVRO = "the read route writes no Avro files"
# The server-side routes (extract and query). BigQuery writes both in the same form, because bqdump sets every option.
SERVER: dict[str, dict[str, Cell]] = {
    "csv": {
        "STRING": Cell(
            "the text, quoted if needed",
            'NULL and "" are both an empty field',
            Back(TEXT, words='both as NULL, as "" into REQUIRED columns'),
            sure=False,
            null="''",
            altered='"" becomes NULL',
        ),
        "BYTES": Cell(
            "base64",
            "NULL and b'' are both an empty field",
            Back(words="both as NULL, as b'' into REQUIRED columns"),
            sure=False,
            null="b''",
            altered="b'' becomes NULL",
        ),
        "INT64": Cell("digits"),
        "FLOAT64": Cell(FLOAT_DIGITS, open="Infinity, -Infinity, NaN, -0 and exponents such as 1e-05"),
        "NUMERIC": Cell("digits, without trailing zeros", sure=False),
        "BIGNUMERIC": Cell("digits, without trailing zeros", sure=False),
        "BOOL": Cell("true, false"),
        "DATE": Cell("2026-01-31"),
        "TIME": Cell("23:59:59.999999", sure=False),
        "DATETIME": Cell("2026-01-31T23:59:59.999999", sure=False),
        "TIMESTAMP": Cell("2026-01-31 23:59:59.999999 UTC, without trailing zeros of the fraction"),
        "JSON": Cell("JSON text", sure=False),
        "GEOGRAPHY": Cell("WKT", back=SPHERICAL),
        "INTERVAL": Cell("1-2 3 4:5:6.789", sure=False),
        "RANGE": Cell("[2026-01-01, UNBOUNDED)", sure=False),
        "STRUCT": Cell("", NESTED),
        "ARRAY": Cell("", NESTED),
    },
    "json": {
        "STRING": Cell("text; <, > and & as \\u003c, \\u003e and \\u0026"),
        "BYTES": Cell("base64", sure=False),
        "INT64": Cell("a string of digits"),
        "FLOAT64": Cell(
            f"a number: {FLOAT_DIGITS}",
            open='"Infinity", "-Infinity" and "NaN" as strings, -0 and exponents such as 1e-05',
            altered="-0.0 becomes 0.0",
        ),
        "NUMERIC": Cell("a string of digits, without trailing zeros", sure=False),
        "BIGNUMERIC": Cell("a string of digits, without trailing zeros", sure=False),
        "BOOL": Cell("true, false"),
        "DATE": Cell('"2026-01-31"'),
        "TIME": Cell('"23:59:59.999999"', sure=False),
        "DATETIME": Cell('"2026-01-31T23:59:59.999999"', sure=False),
        "TIMESTAMP": Cell('"2026-01-31 23:59:59.999999 UTC"'),
        "JSON": Cell(
            "the value itself",
            "a JSON null reads like NULL",
            Back(words="by schema; `PARSE_JSON` if it was written as a string; null as JSON null where no NULL is"),
            sure=False,
            null="JSON 'null'",
            altered="a JSON null becomes NULL",
        ),
        "GEOGRAPHY": Cell("WKT in a string", back=SPHERICAL),
        "INTERVAL": Cell('"1-2 3 4:5:6.789"', back=Back(cast=CAST, words="load jobs expect ISO 8601"), sure=False),
        "RANGE": Cell(
            '"[2026-01-01, UNBOUNDED)"',
            back=Back(cast=CAST, words="load jobs are reported to fail on RANGE"),
            sure=False,
        ),
        "STRUCT": Cell("an object without its NULL members"),
        "ARRAY": Cell("an array, also if empty"),
    },
    "avro": {
        "STRING": Cell("string"),
        "BYTES": Cell("bytes"),
        "INT64": Cell("long"),
        "FLOAT64": Cell("double"),
        "NUMERIC": Cell("bytes, logical type decimal(38, 9), or (P, S)", back=DECIMAL),
        "BIGNUMERIC": Cell("bytes, logical type decimal(77, 38), or (P, S)", back=DECIMAL),
        "BOOL": Cell("boolean"),
        "DATE": Cell("int, logical type date", back=LOGICAL),
        "TIME": Cell("long, logical type time-micros", back=LOGICAL),
        "DATETIME": Cell(
            "string with BigQuery's own logical type datetime",
            back=Back(cast=CAST, words="load jobs read it as STRING"),
        ),
        "TIMESTAMP": Cell("long, logical type timestamp-micros", back=LOGICAL),
        "JSON": Cell("string with sqlType JSON", sure=False),
        "GEOGRAPHY": Cell("WKT in a string", open="with sqlType GEOGRAPHY"),
        "INTERVAL": Cell("string with sqlType INTERVAL", back=Back(cast=CAST), sure=False),
        "RANGE": Cell("", "Avro exports have no RANGE"),
        "STRUCT": Cell(
            "record, in the namespace `root`; its name is the column's in title case: Order_Lines",
            open="records within it are in the namespace `root.order_lines`",
        ),
        "ARRAY": Cell("array, also if empty"),
    },
    "parquet": {
        "STRING": Cell("BYTE_ARRAY, STRING"),
        "BYTES": Cell("BYTE_ARRAY"),
        "INT64": Cell("INT64"),
        "FLOAT64": Cell("DOUBLE (Google's page says FLOAT)"),
        "NUMERIC": Cell("FIXED_LEN_BYTE_ARRAY, DECIMAL(38, 9), or (P, S)"),
        "BIGNUMERIC": Cell(
            "FIXED_LEN_BYTE_ARRAY, DECIMAL(76, 38), or (P, S)",
            "values of 77 digits do not fit: the job fails",
            sure=False,
        ),
        "BOOL": Cell("BOOLEAN"),
        "DATE": Cell("INT32, DATE"),
        "TIME": Cell("INT64, TIME(MICROS, isAdjustedToUTC = true)"),
        "DATETIME": Cell(
            "INT64, TIMESTAMP(MICROS, isAdjustedToUTC = false)",
            back=Back(words="only with its schema, otherwise as TIMESTAMP"),
        ),
        "TIMESTAMP": Cell(
            "INT64, TIMESTAMP(MICROS, isAdjustedToUTC = false)", "the UTC flag: readers treat it as local time"
        ),
        "JSON": Cell("BYTE_ARRAY, STRING", back=OTHERWISE_STRING),
        "GEOGRAPHY": Cell("BYTE_ARRAY with WKB, described by GeoParquet metadata", sure=False),
        "INTERVAL": Cell("", "Google's table of Parquet types has no INTERVAL", sure=False),
        "RANGE": Cell("", "Google's table of Parquet types has no RANGE", sure=False),
        "STRUCT": Cell("group"),
        "ARRAY": Cell("required LIST of required elements, also if empty", back=LISTS),
    },
}

# The read route: this process writes the files.
READ: dict[str, dict[str, Cell]] = {
    "csv": SERVER["csv"]
    | {
        "STRING": Cell(
            'the text, quoted if needed; "" is quoted, NULL is the null marker',
            back=Back(TEXT),
            null="''",
        ),
        "BYTES": Cell("base64; b'' is \"\", NULL the null marker", null="b''"),
        "FLOAT64": Cell(
            "the shortest digits that read back as the same number, with a point: 2.0; inf, -inf, NaN, -0.0"
        ),
        "NUMERIC": Cell("digits, with all decimal places of the type"),
        "BIGNUMERIC": Cell("digits, without trailing zeros"),
        "TIME": Cell("23:59:59.999999, always six decimal places"),
        "DATETIME": Cell("2026-01-31T23:59:59.999999, always six decimal places"),
        "TIMESTAMP": Cell("2026-01-31 23:59:59.999999 UTC, always six decimal places"),
        "JSON": Cell("JSON text"),
        "INTERVAL": Cell("1-2 3 4:5:6.789", "more than 2,562,047 hours exceed what the API can send", sure=False),
        "RANGE": Cell("[2026-01-01, UNBOUNDED)"),
    },
    "json": {
        "STRING": Cell("text"),
        "BYTES": Cell("base64"),
        "INT64": Cell("a string of digits"),
        "FLOAT64": Cell('a string: the shortest digits that read back as the same number, "2.0", "inf", "-inf", "NaN"'),
        "NUMERIC": Cell("a string of digits, with all decimal places of the type"),
        "BIGNUMERIC": Cell("a string of digits, without trailing zeros"),
        "BOOL": Cell("true, false"),
        "DATE": Cell('"2026-01-31"'),
        "TIME": Cell('"23:59:59.999999", always six decimal places'),
        "DATETIME": Cell('"2026-01-31T23:59:59.999999", always six decimal places'),
        "TIMESTAMP": Cell('"2026-01-31 23:59:59.999999 UTC", always six decimal places'),
        "JSON": Cell("its text in a string", back=Back(cast=PARSE_JSON)),
        "GEOGRAPHY": Cell("WKT in a string", back=SPHERICAL),
        "INTERVAL": Cell(
            '"1-2 3 4:5:6.789"',
            "more than 2,562,047 hours exceed what the API can send",
            back=Back(cast=CAST),
            sure=False,
        ),
        "RANGE": Cell('"[2026-01-01, UNBOUNDED)"', back=Back(cast=CAST)),
        "STRUCT": Cell("an object; NULL is null"),
        "ARRAY": Cell("an array, also if empty"),
    },
    "avro": {type_: Cell("", NO_AVRO) for type_ in SERVER["avro"]},
    "parquet": SERVER["parquet"]
    | {
        "ARRAY": Cell("LIST of optional elements, also if empty", back=LISTS),
        "FLOAT64": Cell("DOUBLE"),
        "BIGNUMERIC": Cell("BYTE_ARRAY, STRING with its digits", back=Back(cast=CAST)),
        "TIME": Cell("INT64, TIME(MICROS)"),
        "TIMESTAMP": Cell("INT64, TIMESTAMP(MICROS, isAdjustedToUTC = true)"),
        "GEOGRAPHY": Cell("BYTE_ARRAY, STRING with WKT", back=OTHERWISE_STRING),
        "INTERVAL": Cell(
            "BYTE_ARRAY, STRING such as 1-2 3 4:5:6.789",
            "more than 2,562,047 hours exceed what the API can send",
            back=Back(cast=CAST),
            sure=False,
        ),
        "RANGE": Cell("BYTE_ARRAY, STRING such as [2026-01-01, UNBOUNDED)", back=Back(cast=CAST)),
    },
}
CELLS: dict[str, dict[str, dict[str, Cell]]] = {"extract": SERVER, "query": SERVER, "read": READ}
UNKNOWN = Cell("as BigQuery writes it: this release does not know the type", sure=False)


def cell(format_: str, route: str, type_: str) -> Cell:
    """How a type looks in a format with a route."""
    return CELLS.get(route, SERVER)[format_].get(type_, UNKNOWN)
