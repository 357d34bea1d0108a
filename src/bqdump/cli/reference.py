"""The reference pages that are made from the code: the settings, the types in files, the documents' JSON schemas.

`python -m bqdump.cli.reference` writes them anew; a test compares them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from bqdump.cli.doctor import Diagnosis
from bqdump.core.documents import Latest, Manifest
from bqdump.core.settings import REQUIRED, SETTINGS, Settings
from bqdump.flow.verify import Verified
from bqdump.render.types import type_tables

README = Path("README.md")
FORMATS = Path("docs/formats.md")
SCHEMAS: dict[Path, type[msgspec.Struct]] = {
    Path("docs/manifest.schema.json"): Manifest,
    Path("docs/latest.schema.json"): Latest,
    Path("docs/verified.schema.json"): Verified,
    Path("docs/doctor.schema.json"): Diagnosis,
}


def settings_table() -> str:
    """The settings as a Markdown table."""
    defaults = Settings(project="", dataset="", bucket="")
    lines = ["| setting | environment | default | |", "|---|---|---|---|"]
    for setting in SETTINGS:
        default = getattr(defaults, setting.name)
        shown = (
            "required" if setting.name in REQUIRED else f"`{_shown(default)}`" if default not in ("", (), {}) else ""
        )
        lines.append(f"| `{setting.flag}` | `{setting.env}` | {shown} | {setting.help.removesuffix(' (required).')} |")
    return "\n".join(lines)


def with_settings(page: str) -> str:
    """The page with the table of settings between its two marks."""
    return _between(page, "settings", settings_table())


def with_types(page: str) -> str:
    """The page with the tables of types between their two marks."""
    return _between(page, "types", type_tables())


def _between(page: str, what: str, made: str) -> str:
    start = f"<!-- {what}: made by `python -m bqdump.cli.reference`, compared in tests -->"
    end = f"<!-- end of {what} -->"
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{made}\n\n{end}{after}"


def schema(document: type[msgspec.Struct]) -> str:
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
    FORMATS.write_text(with_types(FORMATS.read_text()))
    for path, document in SCHEMAS.items():
        path.write_text(schema(document))


if __name__ == "__main__":
    main()
