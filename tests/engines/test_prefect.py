"""Real Prefect runs the flow of docs/engines.md: a table fails, and the retry exports that table only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

from docs.samples import example
from engines.conftest import PAGE, TABLES
from integration.stage import Stage


def test_a_failed_attempt_of_the_flows_task_is_resumed_by_the_next(stage: Stage, tmp_path: Path) -> None:
    code = example(PAGE, "Prefect", "python")
    for named, own in (("my-project", stage.project), ("sales", stage.dataset), ("my-exports", stage.bucket)):
        assert f'"{named}"' in code
        code = code.replace(f'"{named}"', f'"{own}"')
    (tmp_path / "nightly.py").write_text(f"{code}\n\nif __name__ == '__main__':\n    nightly()\n")
    stage.stack.jobs(faults=[{"at": "run", "table": "^t_05@", "reason": "invalid", "times": 1}])
    env = {
        "PREFECT_HOME": str(tmp_path / "home"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "200",
    }
    ran = subprocess.run(
        [f"{sys.prefix}/prefect/bin/python", "nightly.py"], cwd=tmp_path,
        env=os.environ | stage.stack.variables() | env,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert stage.faults_left() == 0
    assert stage.extracted() == Counter([*TABLES, "t_05"])
    assert re.search(r"is failed|t_05", ran.stderr)
    assert uuid.UUID(stage.manifest().run)
