"""The policy by label that a page shows is short, and is what the program reads."""

from __future__ import annotations

import tomllib

from bqdump.core.settings.table_settings import parse_tables
from bqdump.core.settings.target import parse_datasets
from docs.walk import ROOT


def test_a_backup_policy_by_label_has_at_most_20_lines_and_loads() -> None:
    page = (ROOT / "docs/coming-from.md").read_text()
    text = page.partition("## From bq-backup-manager")[2].partition("```toml\n")[2].partition("```")[0]
    assert len(text.splitlines()) <= 20
    written = tomllib.loads(text)
    assert parse_datasets(written["dataset"]) == "label:backup=six-hourly"
    [section] = parse_tables(written["tables"])
    assert section.matches("people", {"pii": "true"})
    assert not section.matches("people", {"pii": "false"})
