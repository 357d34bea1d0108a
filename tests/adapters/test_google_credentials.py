"""Invalid credentials: one sentence each, without the path of the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials

from bqdump.adapters.google.http import AUTHORITIES, SCOPES, credentials
from bqdump.core.errors import AccessError, UsageError

FILE = "GOOGLE_APPLICATION_CREDENTIALS"
KEY = {"type": "service_account", "client_email": "a@p", "token_uri": "https://oauth2.googleapis.com/token"}
FEDERATED = {
    "type": "external_account", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/p/providers/x",
    "token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": "/nowhere"},
}  # fmt: skip
USER = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without credentials."""
    for name in (FILE, "GOOGLE_CLOUD_UNIVERSE_DOMAIN", *AUTHORITIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True)


def refusal() -> str:
    with pytest.raises(AccessError) as caught:
        credentials("UNSET")
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, f"the file in {FILE} was not found"),
        ("no json", f"the file in {FILE} is not a valid json file"),
        ([], "invalid credentials file (AttributeError)"),
        ({"type": "x"}, f"the file in {FILE} does not have a valid type"),
        ({**KEY, "private_key": "no"}, f"Failed to load service account credentials from {FILE}"),
        ({**KEY, "private_key": 5}, f"Failed to load service account credentials from {FILE}"),
    ],
)
def test_a_file_without_credentials_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: object, cause: str
) -> None:
    file = tmp_path / "credentials.json"
    if content is not None:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.setenv(FILE, str(file))
    reported = refusal()
    assert reported.startswith(f"cannot sign in to Google Cloud: {cause}")
    assert reported.endswith(f"Check the file in {FILE}.")
    assert str(tmp_path) not in reported


def test_a_credentials_file_is_enough_and_no_project_is_looked_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(f"#!/bin/sh\necho asked > {tmp_path}/asked\n")
    gcloud.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    (tmp_path / "application_default_credentials.json").write_text(json.dumps(USER))
    assert type(credentials("UNSET")).__module__ == "google.oauth2.credentials"
    federated = tmp_path / "federated.json"
    federated.write_text(json.dumps(FEDERATED))
    monkeypatch.setenv(FILE, str(federated))
    # Any connection would arrive here.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    found = credentials("UNSET")
    assert (type(found).__module__, found.scopes) == ("google.auth.identity_pool", SCOPES)
    assert not (tmp_path / "asked").exists()


def test_a_folder_instead_of_a_credentials_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FILE, str(tmp_path))
    assert "invalid credentials file (IsADirectoryError)" in refusal()


def test_missing_credentials_are_reported_with_the_command_to_get_them() -> None:
    sentence = "cannot find credentials for Google Cloud: none in this environment"
    assert refusal() == f"{sentence}. Run: gcloud auth application-default login"


def test_another_universe_domain_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(USER))
    monkeypatch.setenv(FILE, str(file))
    assert credentials("UNSET")
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "else.example")
    assert "unsupported universe domain else.example; expected googleapis.com" in refusal()


@pytest.mark.parametrize("variable", AUTHORITIES)
def test_a_missing_file_of_certificate_authorities_is_an_invalid_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "/nowhere")
    with pytest.raises(UsageError, match=f"environment variable {variable}: no such file"):
        credentials("UNSET")
    monkeypatch.setenv("EMULATOR", "http://127.0.0.1:1")
    assert isinstance(credentials("EMULATOR"), AnonymousCredentials)
