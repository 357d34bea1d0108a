"""The body of a Cloud Scheduler job that starts the Cloud Run job, or the workflow.

Source: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

from __future__ import annotations

import base64
import json
from typing import Any

from bqdump.render.deployment import CLOUD_PLATFORM, Deployment
from bqdump.render.workflow import workflow_input


def scheduler_job(deployment: Deployment, target: str) -> dict[str, Any]:
    """The schedule of a target: "job" or "workflow"."""
    if target == "job":
        name, what = deployment.name, f"Cloud Run job {deployment.name}"
        uri = f"https://run.googleapis.com/v2/{deployment.parent}/jobs/{deployment.name}:run"
        body: dict[str, Any] = {}
    else:
        name, what = f"{deployment.name}-workflow", f"workflow {deployment.name}"
        uri = f"https://workflowexecutions.googleapis.com/v1/{deployment.parent}/workflows/{deployment.name}/executions"
        body = {"argument": json.dumps(workflow_input(deployment))}
    return {
        "name": f"{deployment.parent}/jobs/{name}",
        "description": f"Starts the {what}",
        "schedule": deployment.schedule,
        "timeZone": deployment.time_zone,
        "attemptDeadline": "180s",
        "retryConfig": {"retryCount": 3, "minBackoffDuration": "30s"},
        "httpTarget": {
            "uri": uri,
            "httpMethod": "POST",
            "headers": {"Content-Type": "application/json"},
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "oauthToken": {"serviceAccountEmail": deployment.scheduler_account, "scope": CLOUD_PLATFORM},
        },
    }
