"""Executions of a Cloud Run job: start one, look at one."""

from __future__ import annotations

from typing import Any

import google.auth
import requests
from google.auth.transport.requests import AuthorizedSession

CLOUD_RUN = "https://run.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SECONDS = 60
# A load balancer's and a quota's answers: look again later.
LATER = (429, 500, 502, 503, 504)


def start(endpoint: str, job: str, run: str, tasks: int | None) -> str:
    """Start an execution whose tasks export this run; returns its name.

    job: projects/PROJECT/locations/REGION/jobs/JOB. tasks: their number, None for the job's own.
    Raises requests.RequestException.
    """
    overrides: dict[str, Any] = {"containerOverrides": [{"env": [{"name": "BQDUMP_RUN_ID", "value": run}]}]}
    if tasks:
        overrides["taskCount"] = tasks
    with _session(endpoint) as session:
        answer = session.post(f"{endpoint}/v2/{job}:run", json={"overrides": overrides}, timeout=SECONDS)
        answer.raise_for_status()
        name: str = answer.json()["metadata"]["name"]
        return name


def ended(endpoint: str, execution: str) -> dict[str, str] | None:
    """How an execution has ended: its `problem` ("" for none) and its `log`; None while it runs or is not known.

    Raises requests.HTTPError for an answer that waiting does not change.
    """
    with _session(endpoint) as session:
        try:
            answer = session.get(f"{endpoint}/v2/{execution}", timeout=SECONDS)
        except (requests.ConnectionError, requests.Timeout):
            return None
        if answer.status_code in LATER:
            return None
        answer.raise_for_status()
        body = answer.json()
    if "completionTime" not in body:
        return None
    problems = [part.get("message", "") for part in body.get("conditions", ()) if part["state"] == "CONDITION_FAILED"]
    return {"problem": "; ".join(problems), "log": body.get("logUri", "")}


def _session(endpoint: str) -> requests.Session:
    # A stand-in on this machine gets no credentials.
    if endpoint.startswith("http://"):
        return requests.Session()
    session: requests.Session = AuthorizedSession(google.auth.default(scopes=[SCOPE])[0])
    return session
