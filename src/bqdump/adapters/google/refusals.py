"""Refusals of Google's services whose cure is not a role on the table, dataset or bucket of the request."""

from __future__ import annotations

import re
from typing import NamedTuple

from bqdump.core.errors import (
    AccessError,
    BqdumpError,
    DeniedError,
    JobsDeniedError,
    NotFoundError,
    PerimeterError,
    TargetError,
)

# https://cloud.google.com/vpc-service-controls/docs/troubleshooter
INGRESS = (
    "A service perimeter blocks this request, which no role allows. Whoever administers the perimeter finds the rule "
    "by the identifier above, and can allow this account there (ingress and egress rules)."
)
USER = "Requires roles/bigquery.jobUser on the project that runs the jobs."
ENABLE = "Enable the API, and wait some minutes: gcloud services enable {api} --project {project}"
PAYS = "Link an active billing account to the project: gcloud billing projects link PROJECT --billing-account ACCOUNT"
SCOPES = (
    "The credentials are limited to other OAuth scopes, which no role widens. Give them the scope "
    "https://www.googleapis.com/auth/cloud-platform."
)
TURN_OFF = "gcloud storage buckets update {bucket} --no-requester-pays"
NOBODY_PAYS = (
    f"Requester pays is on, and bqdump names no project to be billed. Use another bucket, or turn it off: {TURN_OFF}"
)
MAKE = "Check its name, or create it: gcloud storage buckets create {bucket}"
DISABLED = r"has not been used in project \S+ before or it is disabled"
OVERVIEW = r"/api/(?P<api>[\w.-]+)/overview\?project=(?P<project>[\w:.-]+)"


class Refusal(NamedTuple):
    """A pattern of the reason and message, the error, and its hint."""

    pattern: str
    kind: type[BqdumpError]
    hint: str = ""


# The services have no common reason for most of these.
REFUSALS = (
    Refusal(r"vpcServiceControlsUniqueIdentifier|prohibited by organization's policy", PerimeterError, INGRESS),
    Refusal(rf"^accessNotConfigured |{DISABLED}", AccessError, ENABLE),
    Refusal(r"^accountDisabled |billing account for the owning project is", AccessError, PAYS),
    # Only what the sandbox of BigQuery lacks, such as DML.
    Refusal(r"^billingNotEnabled |Billing has not been enabled", DeniedError, PAYS),
    Refusal(r"insufficient authentication scopes", AccessError, SCOPES),
    Refusal(r"requester pays bucket but no user project", TargetError, NOBODY_PAYS),
    Refusal(r"^retentionPolicyNotMet |^objectUnderActiveHold ", DeniedError),
    Refusal(r"bigquery\.jobs\.create", JobsDeniedError, USER),
    # Where a role is missing, these services deny access instead.
    Refusal(r"bucket does not exist", NotFoundError, MAKE),
    Refusal(r"^(?:notFound)? Not found: (?:Project|Dataset)", NotFoundError, "Check project and dataset."),
)


def refusal(operation: str, subject: str, message: str, reason: str = "") -> BqdumpError | None:
    """The error for one of these refusals; None for any other."""
    for pattern, kind, hint in REFUSALS:
        if re.search(pattern, f"{reason} {message}", re.IGNORECASE):
            disabled = re.search(OVERVIEW, message)
            at = disabled.groupdict() if disabled else {"api": "SERVICE", "project": "PROJECT"}
            return kind(operation, subject, message, hint.format(**at, bucket=_bucket_in(subject)))
    return None


def _bucket_in(subject: str) -> str:
    """The bucket that an error's subject names."""
    found = re.search(r"gs://[^/\s]+", subject)
    return found[0] if found else "gs://BUCKET"
