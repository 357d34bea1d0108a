"""A page that is kept as a file: it needs nothing else, and lets nothing run but its own script."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from bqdump.pages.assets import style, tables_script
from bqdump.pages.elements import code, source_hash, visible


def document(dataset: str, parts: Iterable[Markup]) -> bytes:
    """The page about an export of this dataset (project.name)."""
    # The page allows itself its own style and script and nothing else: whatever a name holds, it cannot run.
    own_style, own_script = source_hash(style()), source_hash(tables_script())
    policy = f"default-src 'none'; style-src {own_style}; script-src {own_script}; base-uri 'none'"
    page = Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="{}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<title>Export of {}</title><style>{}</style></head>\n<body><main>\n"
        "<h1>Export of {}</h1>\n{}\n</main><script>{}</script></body></html>\n"
    ).format(
        policy, visible(dataset), style(), code(dataset), Markup("\n").join(filter(None, parts)),
        tables_script(),
    )  # fmt: skip
    return page.encode()
