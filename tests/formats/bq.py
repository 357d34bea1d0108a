"""What `bq` does with the words that the commands of docs/restore.md give it, by Google's client on the local stack."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from google.cloud import bigquery

from local.bigquery_server import finish

FLAG = {"action": "store_true"}
FLAGS: dict[str, dict[str, dict[str, Any]]] = {
    "mk": {"--table": FLAG},
    "load": {
        "--source_format": {}, "--skip_leading_rows": {"type": int}, "--field_delimiter": {},
        "--allow_quoted_newlines": FLAG, "--preserve_ascii_control_characters": FLAG, "--use_avro_logical_types": FLAG,
        "--decimal_target_types": {"action": "append"}, "--parquet_enable_list_inference": FLAG,
    },
    "query": {"--use_legacy_sql": {"choices": ["false"], "required": True}},
    "rm": {"-f": FLAG, "-t": FLAG},
}  # fmt: skip


def run(client: Any, words: list[str], folder: Path) -> None:
    """Do one command, as called in a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--project_id", required=True)
    for flag, options in FLAGS[words[0]].items():
        parser.add_argument(flag, **options)
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args(words[1:])
    assert given.project_id == client.project
    COMMANDS[words[0]](client, given, folder)


def _make(client: Any, given: Any, folder: Path) -> None:
    assert given.table
    table, schema = given.rest
    client.create_table(bigquery.Table(_reference(table), schema=client.schema_from_json(folder / schema)))


def _load(client: Any, given: Any, folder: Path) -> None:
    table, files, schema = given.rest
    load: dict[str, Any] = {
        "sourceFormat": given.source_format,
        "skipLeadingRows": given.skip_leading_rows or 0,
        "allowQuotedNewlines": given.allow_quoted_newlines,
        "preserveAsciiControlCharacters": given.preserve_ascii_control_characters,
        "useAvroLogicalTypes": given.use_avro_logical_types,
        "decimalTargetTypes": given.decimal_target_types or [],
        "parquetOptions": {"enableListInference": given.parquet_enable_list_inference},
        "schema": {"fields": json.loads((folder / schema).read_text())},
        **({"fieldDelimiter": given.field_delimiter} if given.field_delimiter else {}),
    }
    config = bigquery.LoadJobConfig.from_api_repr({"load": load})
    finish(client.load_table_from_uri(files.split(","), _reference(table), job_config=config))


def _query(client: Any, given: Any, folder: Path) -> None:
    (text,) = given.rest
    client.query_and_wait(text)


def _remove(client: Any, given: Any, folder: Path) -> None:
    assert given.f
    assert given.t
    client.delete_table(_reference(*given.rest))


def _reference(text: str) -> str:
    return text.replace(":", ".", 1)


COMMANDS = {"mk": _make, "load": _load, "query": _query, "rm": _remove}
