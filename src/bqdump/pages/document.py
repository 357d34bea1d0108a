"""A self-contained page: it loads nothing, and only its own script may run."""

from __future__ import annotations

from typing import Any

from bqdump.pages.assets import source_hash, style, tables_script
from bqdump.pages.templating import environment


def document(template: str, dataset: str, **values: Any) -> bytes:
    """A page about an export of this dataset (project.name)."""
    # The policy allows the page's own style and script only: nothing in a name can run.
    own_style, own_script = source_hash(style()), source_hash(tables_script())
    policy = f"default-src 'none'; style-src {own_style}; script-src {own_script}; base-uri 'none'"
    page = environment().get_template(template)
    return page.render(dataset=dataset, policy=policy, style=style(), script=tables_script(), **values).encode()
