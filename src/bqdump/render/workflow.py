"""The workflow that exports a list of datasets: its source, the body that creates it, and its input."""

from __future__ import annotations

from importlib import resources
from typing import Any

from bqdump.core.settings.settings import SETTINGS
from bqdump.render.deployment import NOT_DEPLOYED, Deployment, environment


def workflow_source() -> str:
    """The workflow's source. It reads the job's name from the variable BQDUMP_JOB, and the exports from its input."""
    return resources.files("bqdump.render").joinpath("workflow.yaml").read_text(encoding="utf-8")


def workflow(deployment: Deployment) -> dict[str, Any]:
    """The body that creates or updates the workflow.

    Source: https://cloud.google.com/workflows/docs/reference/rest/v1/projects.locations.workflows
    """
    return {
        "name": f"{deployment.parent}/workflows/{deployment.name}",
        "description": f"Exports a list of datasets with the Cloud Run job {deployment.name}",
        "labels": {"app": "bqdump"},
        "serviceAccount": deployment.workflow_account,
        "sourceContents": workflow_source(),
        "callLogLevel": "LOG_ERRORS_ONLY",
        "userEnvVars": {"BQDUMP_JOB": deployment.name},
    }


def workflow_input(deployment: Deployment) -> dict[str, Any]:
    """An input that exports what the settings name: a list of one item, as a template for others."""
    values = environment(deployment.settings)
    item = {
        setting.name: values[setting.env]
        for setting in SETTINGS
        if setting.env in values and setting.name not in NOT_DEPLOYED
    }
    return {"exports": [item | {"tasks": deployment.tasks}]}
