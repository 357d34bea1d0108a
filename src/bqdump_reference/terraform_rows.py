"""What the Terraform module takes from the code: the commands with their alerts, and the values of settings.

Terraform has no parsers, only regular expressions. Each refuses what the parser of a setting refuses for its form; what
takes more than that, such as two settings that exclude each other, is refused by the job.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from bqdump.cli import command
from bqdump.cli.options import OTHER_VARIABLES
from bqdump.core.copy.plan import RULES
from bqdump.core.documents.path_template import FIELDS
from bqdump.core.formats.formats import ALIASES
from bqdump.core.restore.request import DRILL_SETTINGS, RESTORE_SETTINGS
from bqdump.core.settings import amounts
from bqdump.core.settings import values as parse
from bqdump.core.settings.settings import BY_NAME, CODECS, KMS_KEY, LOCATION, PROJECT, SETTINGS, Setting
from bqdump.core.settings.table_settings import parse_tables
from bqdump.core.settings.target import parse_datasets
from bqdump.render import commands
from bqdump.render.alerts import CANCELLATIONS, of_events
from bqdump.render.commands import COMMANDS, COPY, RUN, Alert, Proof, Row
from bqdump.render.deployment import NOT_DEPLOYED

# A copy to a service with the API of S3 takes its address.
REFUSED = tuple(name for name in NOT_DEPLOYED if name != "endpoint")

# Flags that a job has anyway, or has no use for.
OF_A_TERMINAL = ("as_json", "config", "dry_run", "log_format", "planning", "quiet", "verbose", "yes", "tables_from")
SIZE = r"[0-9]+(\.[0-9]+)?\s*([KMGTPkmgtp]?[iI]?[bB])?"
TIME = r"[0-9]{1,9}\s*[smhdSMHD]|0+"
KEY = r"env:[A-Za-z_][A-Za-z0-9_]*"
TAG = r"[A-Za-z0-9][A-Za-z0-9._-]{0,29}"
LOWER = r"[\p{Ll}\p{Lo}\p{N}_-]"
BY_LABEL = rf"label:[\p{{Ll}}\p{{Lo}}]{LOWER}{{0,62}}(!?={LOWER}{{0,63}})?"
OBJECT = rf"\s*([^,:]*|{BY_LABEL})\s*"
DATASET = rf"\s*([\p{{L}}\p{{N}}_*?]+|{BY_LABEL})\s*"
LABEL = r"\s*[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}\s*=\s*[\p{Ll}\p{Lo}\p{N}_-]{0,63}\s*"
# By the parser of a row: the expression that complete values match, and what is expected. Spaces around are allowed.
PATTERNS: dict[Callable[[Any], Any], tuple[str, str]] = {
    parse.flag: (r"(?i:1|true|yes|on|0|false|no|off)", "true or false"),
    parse.delimiter: (r"tab|\\t|[^\x00\r\n\"\x{80}-\x{10FFFF}]", "one ASCII character, or tab"),
    parse.null_marker: (r"[^\x00\r\n\"]*", "a string without quotes and line breaks"),
    parse.endpoint: (r"(https?://[^/\s?#@]+/?)?", "an address such as https://minio.example.com:9000"),
    parse.signing_key: (f"({KEY}|gcpkms://{parse.KMS_VERSION})?", "env:VARIABLE or gcpkms://KEY/cryptoKeyVersions/N"),
    parse.key_files: (rf"\s*({KEY}(\s*,\s*{KEY})*)?\s*", "env:VARIABLE: the container has no files"),
    parse.prefix: (r"/*([^/*#?\[\]{}\x00-\x1f\x7f]+(/[^/*#?\[\]{}\x00-\x1f\x7f]+)*)?/*", "FOLDER, or FOLDER/FOLDER"),
    parse.bucket: (r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", "the name of a bucket, without gs://"),
    parse.labels: (rf"({LABEL}(,{LABEL})*)?", "key=value, in lowercase"),
    parse.tags: (rf"(\s*{TAG}\s*(,\s*{TAG}\s*)*)?", "tags of up to 30 letters and digits"),
    parse.patterns: (r"[\s\S]*", ""),
    parse.object_patterns: (rf"({OBJECT}(,{OBJECT})*)?", "names, patterns and label:KEY=VALUE"),
    amounts.count: (r"[1-9][0-9]{0,2}|1000", "an integer from 1 to 1000"),
    amounts.kept: (r"[0-9]+", "a number of runs"),
    amounts.rows: (r"[0-9]+", "a number of rows"),
    amounts.size: (SIZE, "a size such as 10GB"),
    amounts.file_size: (SIZE, "a size such as 256MB"),
    amounts.memory: (SIZE, "a size such as 256MB"),
    amounts.duration: (rf"({TIME})?", "a duration such as 15m"),
    amounts.period: (rf"({TIME})?", "a duration such as 30d"),
    amounts.age: (rf"({TIME})?", "a duration such as 7d"),
    amounts.objective: (rf"({TIME})?", "a duration such as 26h"),
    amounts.price: (r"([0-9]+(\.[0-9]+)?)?", "a price such as 6.25"),
    parse_datasets: (
        rf"[,\s]*{DATASET}(,({DATASET}|\s*))*",
        "ids and patterns (or label:KEY), without the project",
    ),
    parse_tables: (r"\{[\s\S]*\}", "a JSON object"),
    PROJECT: (r"([A-Za-z0-9][A-Za-z0-9.-]{1,100}:)?[A-Za-z0-9][A-Za-z0-9_-]{1,100}", "a project id"),
    LOCATION: (r"([A-Za-z0-9-]+)?", "a location such as EU"),
    KMS_KEY: (r"(projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+)?", "projects/…/cryptoKeys/K"),
}
FIELD = "|".join(FIELDS)
PATH_PART = rf"([^/*#?\[\]{{}}\x00-\x1f\x7f]|\{{({FIELD})\}})"
PATH = rf"({PATH_PART}+/)*{PATH_PART}*\*{PATH_PART}*"


def pattern_of(setting: Setting) -> tuple[str, str]:
    """The expression that complete values of a setting match, and what is expected."""
    if setting.name == "path":
        return PATH, "a template with {table} and one *"
    if setting.choices:
        words = (*setting.choices, *(ALIASES if setting.name == "format" else ()))
        words = CODECS if setting.name == "compression" else words
        any_word = "|".join(words)
        listed = rf"(\s*({any_word})\s*(,\s*({any_word})\s*)*,?)?" if setting.repeated else f"(?i:{any_word})"
        return listed, ", ".join(words)
    return PATTERNS[setting.parse]


def _alert(alert: Alert) -> dict[str, str]:
    return {"title": alert.title, "advice": alert.advice, "help": alert.help}


def _proof(proof: Proof | None) -> dict[str, Any] | None:
    if proof is None:
        return None
    return {
        "metric": proof.metric,
        "event": proof.event,
        "counts": proof.counts,
        "missing": _alert(proof.missing),
    }


def _flags(name: str) -> dict[str, bool]:
    """The flags that a job of the command may have, and whether each takes no value. Settings are variables."""
    rules = RULES if name == COPY else ()
    options = [one for one in command(name).params if isinstance(one, click.Option) and one.name not in OF_A_TERMINAL]
    return {
        one.opts[0].removeprefix("--"): one.is_flag for one in options if one.name in rules or one.name not in BY_NAME
    }


def _row(name: str, row: Row) -> dict[str, Any]:
    return {
        "job": "" if name == RUN else f"-{name}",
        "alone": row.alone,
        "memory": row.memory,
        "account": row.account,
        "failed": _alert(row.failed),
        "proof": _proof(row.proof),
        "flags": {} if name == RUN else dict(sorted(_flags(name).items())),
    }


def rows() -> str:
    """The rows as JSON."""
    events = {"event": "EXTRACT(jsonPayload.event)", "dataset": "EXTRACT(labels.dataset)"}
    known = {setting.env for setting in (*SETTINGS, *RESTORE_SETTINGS, *DRILL_SETTINGS)}
    document = {
        "commands": {name: _row(name, row) for name, row in COMMANDS.items()},
        "order": list(COMMANDS),
        "workflow_failed": _alert(commands.WORKFLOW_FAILED),
        "hanging": _alert(commands.HANGING),
        "billed": _alert(commands.BILLED) | {"labels": events},
        "logged": {
            "cancelled": _alert(commands.CANCELLED) | {"filter": CANCELLATIONS, "labels": {}},
            "warning": _alert(commands.WARNED) | {"filter": of_events(commands.WARNINGS), "labels": events},
            "untrusted": _alert(commands.NOT_TRUSTED)
            | {"filter": of_events(commands.UNTRUSTED_EVENTS), "labels": events},
        },
        "settings": {
            setting.env: {"name": setting.name} | dict(zip(("pattern", "expected"), pattern_of(setting), strict=True))
            for setting in SETTINGS
            if setting.name not in REFUSED
        },
        "variables": sorted({*known, *OTHER_VARIABLES} - {s.env for s in SETTINGS if s.name in REFUSED}),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
