"""`python dagster_once.py nightly|proofs [RUN]`: run a job with a process for each step; RUN: the failed run to resume.

Prints what Dagster has recorded of it, as JSON in the last line.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import dagster as dg

from engines import dagster_definitions


def main() -> None:
    """Run the job. Processes of steps import this file as well."""
    job = dg.reconstructable(getattr(dagster_definitions, sys.argv[1]))
    instance = dg.DagsterInstance.get()
    options = dg.ReexecutionOptions.from_failure(sys.argv[2], instance) if sys.argv[2:] else None
    materialized: list[dict[str, Any]] = []
    checked: list[dict[str, Any]] = []
    failures: list[str] = []
    with dg.execute_job(job, instance=instance, reexecution_options=options) as result:
        for event in result.all_events:
            if event.event_type_value == "ASSET_MATERIALIZATION":
                one = event.step_materialization_data.materialization
                facts = {name: value.value for name, value in one.metadata.items()}
                materialized.append({"asset": one.asset_key.to_user_string(), **facts})
            elif event.event_type_value == "ASSET_CHECK_EVALUATION":
                check = event.asset_check_evaluation_data
                key = check.asset_key.to_user_string()
                found = {"asset": key, "check": check.check_name, "passed": check.passed}
                checked.append(found | {"description": check.description or ""})
            elif event.is_failure:
                failures.append(event.message or "")
        recorded = {
            "run": result.run_id,
            "success": result.success,
            "materialized": materialized,
            "checked": checked,
            "failures": failures,
        }
    sys.stdout.write("\n" + json.dumps(recorded, default=str) + "\n")


if __name__ == "__main__":
    main()
