"""The reference pages that are made from the code: the settings, the commands, the types in files, JSON schemas.

`python -m bqdump.cli.reference` writes them anew; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bqdump.cli.arguments_module import arguments_module
from bqdump.cli.commands_page import commands, commands_page
from bqdump.core.documents.manifest import Latest, Manifest
from bqdump.core.settings.settings import REQUIRED, SETTINGS, Setting, Settings
from bqdump.render.types import type_tables

README = Path("README.md")
README_JA = Path("README.ja.md")
FORMATS = Path("docs/formats.md")
ARGUMENTS = Path("src/bqdump/arguments.py")
COMMANDS = Path("docs/commands.md")
SCHEMAS: dict[Path, type[msgspec.Struct]] = {
    Path("docs/manifest.schema.json"): Manifest,
    Path("docs/latest.schema.json"): Latest,
}


def documents() -> dict[Path, Any]:
    """Every document whose schema is published: those in the bucket, and those that commands print."""
    printed = {Path("docs", found.schema): found.json.document for found in commands() if found.json}
    return {**SCHEMAS, **printed}


def settings_table() -> str:
    """The settings as a Markdown table."""
    lines = ["| setting | environment | default | |", "|---|---|---|---|"]
    lines += [f"| {first} | {setting.help.removesuffix(' (required).')} |" for setting, first in _settings("required")]
    return "\n".join(lines)


def settings_table_ja(page: str) -> str:
    """The same in Japanese: what a setting means stands in the page itself, in English until somebody translates it."""
    rows = [row.split(" | ", 3) for row in page.splitlines() if row.startswith("| `--")]
    known = {row[0]: row[3].removesuffix(" |") for row in rows if len(row) == 4}
    lines = ["| 設定 | 環境変数 | 既定値 | |", "|---|---|---|---|"]
    for setting, first in _settings("必須"):
        lines.append(f"| {first} | {known.get(f'| `{setting.flag}`', setting.help)} |")
    return "\n".join(lines)


def _settings(required: str) -> Iterator[tuple[Setting, str]]:
    """Each setting with the columns of its row that no language changes."""
    defaults = Settings(project="", dataset="", bucket="")
    for setting in SETTINGS:
        default = getattr(defaults, setting.name)
        shown = (
            required
            if setting.name in REQUIRED
            else f"`{_shown(default)}`"
            if default not in (None, "", (), {})
            else ""
        )
        yield setting, f"`{setting.flag}` | `{setting.env}` | {shown}"


def with_settings(page: str) -> str:
    """The page with the table of settings between its two marks."""
    return _between(page, "settings", settings_table())


def with_settings_ja(page: str) -> str:
    """The Japanese page with its table of settings."""
    return _between(page, "settings", settings_table_ja(page))


def with_types(page: str) -> str:
    """The page with the tables of types between their two marks."""
    return _between(page, "types", type_tables())


def _between(page: str, what: str, made: str) -> str:
    start = f"<!-- {what}: made by `python -m bqdump.cli.reference`, compared in tests -->"
    end = f"<!-- end of {what} -->"
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{made}\n\n{end}{after}"


def schema(document: Any) -> str:
    """A document's JSON schema."""
    made = msgspec.json.schema(document, schema_hook=_raw)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **made}, indent=2) + "\n"


def _raw(kind: type) -> dict[str, Any]:
    if kind is msgspec.Raw:
        return {
            "type": ["object", "null"],
            "description": "The table's definition as BigQuery's tables.get returned it.",
        }
    raise TypeError(kind)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Write the pages."""
    README.write_text(with_settings(README.read_text()))
    README_JA.write_text(with_settings_ja(README_JA.read_text()))
    FORMATS.write_text(with_types(FORMATS.read_text()))
    ARGUMENTS.write_text(arguments_module())
    COMMANDS.write_text(commands_page(settings_table()))
    for path, document in documents().items():
        path.write_text(schema(document))


if __name__ == "__main__":
    main()
