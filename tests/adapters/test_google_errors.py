"""Errors of Google's clients become one sentence each, classified by what to do about them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import grpc
import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from bqdump.adapters.google.access import ALLOW, LONGEST_MESSAGE
from bqdump.adapters.google.errors import translate
from bqdump.adapters.read.reader import READER, of_rpc
from bqdump.core.errors import (
    AccessError,
    BqdumpError,
    ConflictError,
    DeniedError,
    JobFailedError,
    JobsDeniedError,
    NotFoundError,
    PerimeterError,
    QuotaError,
    TargetError,
    UnavailableError,
)

HINT = "Requires a role."


def answered(status: int, body: str | dict[str, object]) -> api.GoogleAPICallError:
    """The exception of Google's client for an answer."""
    response = requests.Response()
    response.status_code = status
    response._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    url = "https://bigquery.googleapis.com/bigquery/v2/projects/p/queries?prettyPrint=false"
    response.request = requests.Request("POST", url).prepare()
    error: api.GoogleAPICallError = api.from_http_response(response)
    return error


def refused(status: int, message: str, reason: str = "") -> api.GoogleAPICallError:
    errors = [{"message": message, "reason": reason}]
    return answered(status, {"error": {"code": status, "message": message, "errors": errors}})


def told(error: Exception) -> str:
    made = translate(error, "query", "table v", HINT)
    assert "\n" not in str(made)
    assert "https://bigquery" not in str(made)
    return made.cause


@pytest.mark.parametrize(
    ("status", "reason", "kind", "hint"),
    [
        (400, "invalidQuery", JobFailedError, ""), (401, "", AccessError, "Run: gcloud auth"),
        (403, "accessDenied", DeniedError, HINT), (403, "quotaExceeded", QuotaError, "Quotas are replenished"),
        (403, "rateLimitExceeded", UnavailableError, ""), (404, "notFound", NotFoundError, ""),
        (409, "duplicate", ConflictError, ""),
        (412, "conditionNotMet", ConflictError, ""), (412, "", ConflictError, ""),
        (412, "orgPolicyConstraintFailed", TargetError, "Whoever administers the policies"),
        (412, "kmsKeyNotUsable", TargetError, ""), (429, "", UnavailableError, ""),
        (500, "backendError", UnavailableError, ""), (503, "", UnavailableError, ""),
    ],
)  # fmt: skip
def test_errors_have_the_message_of_bigquery(status: int, reason: str, kind: type[BqdumpError], hint: str) -> None:
    made = translate(refused(status, "Something is wrong: at [1:7]", reason), "query", "table v", HINT)
    assert type(made) is kind
    assert made.cause == "Something is wrong: at [1:7]"
    assert made.hint.startswith(hint)
    assert bool(made.hint) == bool(hint)


def test_the_footer_that_the_client_adds_to_query_errors_is_removed() -> None:
    error = refused(400, "Unrecognized name: gone;\n  did you mean one? at [1:20]", "invalidQuery")
    error.message = f"{error.message}\n\nLocation: EU\nJob ID: 0f3a-11\n"
    assert told(error) == "Unrecognized name: gone; did you mean one? at [1:20]"
    error.message = "Unrecognized name: gone\n\nLocation: None\nJob ID: 0f3a-11\n\n"
    assert told(error) == "Unrecognized name: gone"


@pytest.mark.parametrize("body", ["<!DOCTYPE html>\n<html><title>Error 502</title></html>", "\n <html></html>"])
def test_an_html_page_is_reported_by_its_status(body: str) -> None:
    assert told(answered(502, body)) == "HTTP 502 Bad Gateway"


def test_a_failed_download_has_the_message_of_the_service() -> None:
    document = '{"error": {"code": 403, "message": "b@p does not have storage.objects.get access"}}'
    added = ": ('Request failed with status code', 403, 'Expected one of', <HTTPStatus.OK: 200>)"
    assert told(api.Forbidden(f"{document}{added}")) == "b@p does not have storage.objects.get access"
    assert told(api.Forbidden(f"Access denied.{added}")) == "Access denied."
    assert told(api.Forbidden(f"{{no document{added}")) == "{no document"


def test_an_error_without_a_message_is_reported_by_its_status() -> None:
    assert told(answered(503, "")) == "unknown error"
    assert told(api.ServiceUnavailable("")) == "HTTP 503 Service Unavailable"
    assert told(api.GoogleAPICallError("")) == "GoogleAPICallError"


def test_a_very_long_message_is_shortened() -> None:
    assert len(told(refused(400, "x " * LONGEST_MESSAGE))) == LONGEST_MESSAGE


def test_expired_credentials_are_reported_in_one_line() -> None:
    error = auth.RefreshError("invalid_grant:\nBad Request", {"error": "invalid_grant"})
    made = translate(error, "query", "table v")
    assert str(made) == (
        "cannot sign in to Google Cloud: invalid_grant: Bad Request. Run: gcloud auth application-default login"
    )
    assert isinstance(made, AccessError)
    assert isinstance(translate(auth.TransportError("no\nway"), "query", "table v"), UnavailableError)


# As Google's services answer: https://cloud.google.com/bigquery/docs/error-messages,
# https://cloud.google.com/storage/docs/json_api/v1/status-codes
DISABLED = (
    "BigQuery API has not been used in project 123456 before or it is disabled. Enable it by visiting "
    "https://console.developers.google.com/apis/api/bigquery.googleapis.com/overview?project=123456 then retry. If you "
    "enabled this API recently, wait a few minutes for the action to propagate to our systems and retry."
)
CURES = [
    (403, "accessDenied", ("VPC Service Controls: Request is prohibited by organization's policy. "
     "vpcServiceControlsUniqueIdentifier: zvW4mQKV6irg5"), PerimeterError, "A service perimeter blocks this request"),
    (403, "forbidden", "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: zvW4",
     PerimeterError, "A service perimeter blocks this request"),
    (403, "accessNotConfigured", DISABLED, AccessError,
     "Enable the API, and wait some minutes: gcloud services enable bigquery.googleapis.com --project 123456"),
    (403, "accountDisabled", "The billing account for the owning project is disabled in state absent", AccessError,
     "Link an active billing account"),
    (403, "billingNotEnabled", "Billing has not been enabled for this project. DML queries are not allowed.",
     DeniedError, "Link an active billing account"),
    (403, "insufficientPermissions", "Request had insufficient authentication scopes.", AccessError,
     "The credentials are limited to other OAuth scopes"),
    (400, "required", "Bucket is a requester pays bucket but no user project provided.", TargetError,
     ("Requester pays is on, and bqdump names no project to be billed. Use another bucket, or turn it off: "
      "gcloud storage buckets update gs://b --no-requester-pays")),
    (403, "retentionPolicyNotMet", ("Object 'b/o' is subject to bucket's retention policy or object retention and "
     "cannot be deleted or overwritten until 2027-01-01T00:00:00Z"), DeniedError, ""),
    (404, "notFound", "The specified bucket does not exist.", NotFoundError,
     "Check its name, or create it: gcloud storage buckets create gs://b"),
    (404, "notFound", "Not found: Dataset p:sales", NotFoundError, "Check project and dataset."),
    (403, "accessDenied", "Access Denied: Project p: User does not have bigquery.jobs.create permission in project p.",
     JobsDeniedError, "Requires roles/bigquery.jobUser on the project that runs the jobs."),
    (403, "accessDenied", ("Access Denied: Table p:d.t: User does not have permission to query table p:d.t, or perhaps "
     "it does not exist."), DeniedError, HINT),
]  # fmt: skip


@pytest.mark.parametrize(("status", "reason", "message", "kind", "hint"), CURES)
def test_a_role_is_advised_only_where_it_is_the_cure(
    status: int, reason: str, message: str, kind: type[BqdumpError], hint: str
) -> None:
    made = translate(refused(status, message, reason), "write", "gs://b/a/o", HINT)
    assert type(made) is kind
    assert made.cause == message
    assert made.hint.startswith(hint)
    assert bool(made.hint) == bool(hint)
    assert (HINT in made.hint) == (hint == HINT)


@pytest.mark.parametrize(
    ("code", "message", "kind", "hint"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, DISABLED, AccessError, "Enable the API, and wait some minutes: "),
        (grpc.StatusCode.PERMISSION_DENIED, CURES[0][2], PerimeterError, "A service perimeter blocks this request"),
        (grpc.StatusCode.PERMISSION_DENIED, "Permission 'bigquery.readsessions.create' denied", DeniedError, READER),
        (grpc.StatusCode.NOT_FOUND, "Not found: Table p:d.t", NotFoundError, ""),
        (grpc.StatusCode.UNAVAILABLE, "HTTP proxy returned response code 403", AccessError, ALLOW),
    ],
)
def test_so_it_is_where_rows_are_read(code: grpc.StatusCode, message: str, kind: type[BqdumpError], hint: str) -> None:
    error = SimpleNamespace(code=lambda: code, details=lambda: message)
    made = of_rpc(error, "read", "table t")
    assert type(made) is kind
    assert made.hint.startswith(hint)
    assert bool(made.hint) == bool(hint)
