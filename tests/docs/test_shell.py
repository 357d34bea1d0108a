"""Every command that a page or script names is one that its tool takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.shell import in_blocks, in_script, in_sentences, objection
from docs.walk import ROOT

# The reference is generated from the commands themselves.
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {ROOT / "docs/commands.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tools_take_every_command_of_a_page(page: Path) -> None:
    text = page.read_text()
    objections = [objection(command) for command in in_blocks(text)]
    objections += [objection(command, shortened=True) for command in in_sentences(text)]
    assert [one for one in objections if one] == []


def test_gcloud_and_bq_take_every_command_of_the_teardown() -> None:
    commands = [*in_script((ROOT / "deploy/teardown.sh").read_text())]
    assert len(commands) > 15
    assert [one for one in map(objection, commands) if one] == []


def test_the_runbook_has_commands() -> None:
    text = (ROOT / "docs/operate.md").read_text()
    tools = [command[0] for command in (*in_blocks(text), *in_sentences(text))]
    assert all(tools.count(tool) >= least for tool, least in (("gcloud", 20), ("bq", 2), ("bqdump", 20)))


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("gcloud run jobs execute bqdump --wait --tasks=3", ""),
        ("gcloud run jobs execute bqdump --weight", "gcloud run jobs execute has no weight"),
        ("gcloud run job execute bqdump", "gcloud run job execute bqdump: not a known command"),
        ("bq --project_id=p query --use_legacy_sql=false 'SELECT 1; -- two'", ""),
        ("bq --project=p cancel --nosync JOB", "bq cancel has no project"),
        ("if bqdump status --watch; then true; fi", ""),
        ("RUN=$(bqdump status --jsno | cat)", "No such option '--jsno'."),
        ('echo "$(bqdump rnu)" # bqdump no', "rnu: unknown command"),
        ("bqdump run \\\n  --dataset", "Option '--dataset' requires an argument."),
        ("bqdump render job --dataset d --bucket b", "Missing parameter: region"),
    ],
)
def test_a_command_that_its_tool_would_refuse_is_found(script: str, found: str) -> None:
    (command,) = in_script(script)
    assert objection(command).startswith(found) if found else objection(command) == ""
