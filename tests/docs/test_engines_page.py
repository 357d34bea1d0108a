"""Kestra's recipe does what it says; tests/engines and tests/deploy run the other examples of the page."""

from __future__ import annotations

from pathlib import Path

import yaml

from bqdump_local.stack import running
from docs.samples import example
from docs.walk import ROOT, seed_few, shell

PAGE = (ROOT / "docs/engines.md").read_text()
EXECUTION = "5vz4IlOVyHzw8qf9bFbOcS"


def test_kestras_task_exports_and_its_repetition_exports_nothing(tmp_path: Path) -> None:
    flow = yaml.safe_load(example(PAGE, "Kestra", "yaml"))
    (task,) = flow["tasks"]
    assert task["type"] == "io.kestra.plugin.scripts.shell.Commands"
    env = {name: value.replace("{{ execution.id }}", EXECUTION) for name, value in task["env"].items()}
    assert "{{" not in str(env)
    with running(root=tmp_path) as stack:
        seed_few(stack)
        first, again = (shell("\n".join(task["commands"]), tmp_path, stack.variables() | env) for _ in range(2))
    assert f"published run {EXECUTION}" in first
    assert f"nothing was exported: run {EXECUTION} was published already" in again
