"""No way to Google, one sentence: tokens that nobody gives, proxies, certificates, universes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.command import Called
from integration.googles_hosts import READ, REST, STORAGE, GooglesHosts, googles_hosts
from integration.googles_tokens import OAUTH
from integration.in_the_cloud import call, user_file
from integration.stage import Stage

FILE = "GOOGLE_APPLICATION_CREDENTIALS"
# Far below what a request that is repeated takes.
SECONDS = 60


@pytest.fixture
def google(stage: Stage, tmp_path: Path) -> Iterator[GooglesHosts]:
    """Google's hosts in front of the stage."""
    with googles_hosts(stage.stack, tmp_path) as made:
        yield made


def refused(stage: Stage, google: GooglesHosts, *arguments: str, **options: Any) -> tuple[int, str]:
    """The exit code and the only error of a command."""
    done = call(stage, google, *arguments, seconds=SECONDS, **options)
    reported = Called(done.returncode, done.stdout, done.stderr).errors
    assert "Traceback" not in done.stdout + done.stderr
    # gRPC's own lines, which no reader of logs can take.
    assert not re.search(r"(?m)^[EWI]\d{4} ", done.stderr), done.stderr
    errors = [line for line in reported if "cannot" in line or "environment variable" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    return done.returncode, errors[0].removeprefix("bqdump: ")


def test_credentials_that_give_no_token_are_no_missing_right(
    stage: Stage, google: GooglesHosts, tmp_path: Path
) -> None:
    google.tokens.statuses = {"/token": 400}
    user = user_file(tmp_path)
    for command in ("plan", "doctor"):
        reported = refused(stage, google, command, env=user)
        assert reported == (5, f"cannot sign in to Google Cloud: no. Check the file in {FILE}.")


@pytest.mark.parametrize("part", ["/token", "recursive=true"])
def test_a_metadata_server_without_a_service_account_is_reported(stage: Stage, google: GooglesHosts, part: str) -> None:
    google.tokens.statuses = {part: 404}
    code, reported = refused(stage, google, "status")
    assert code == 5
    assert reported.startswith(
        "cannot sign in to Google Cloud: the metadata server does not return instance/service-acc"
    )
    assert reported.endswith("Check the service account of this machine.")


def test_another_universe_is_reported(stage: Stage, google: GooglesHosts) -> None:
    google.tokens.universe = "else.example"
    sentence = "cannot sign in to Google Cloud: unsupported universe domain else.example; expected googleapis.com."
    assert refused(stage, google, "plan") == (5, sentence)


@pytest.mark.parametrize("host", [REST, READ, OAUTH])
def test_a_proxy_that_refuses_a_host_gets_no_second_request(
    stage: Stage, google: GooglesHosts, tmp_path: Path, host: str
) -> None:
    stage.table("first")
    google.refused = {host}
    code, reported = refused(stage, google, "run", "--route", "read", env=user_file(tmp_path))
    assert code == 5
    assert "the proxy refuses the connection: 403" in reported
    assert reported.endswith("Allow *.googleapis.com in the proxy, or add it to no_proxy.")
    # Where tokens come from Google's own client asks three times more, at once.
    assert google.connected[host] <= (4 if host == OAUTH else 2)


@pytest.mark.parametrize("host", [REST, STORAGE])
def test_dummy_data_is_not_waited_for_where_a_proxy_refuses(stage: Stage, google: GooglesHosts, host: str) -> None:
    google.refused = {host}
    place = ("--project", stage.project, "--dataset", "dummy", "--bucket", "dummy")
    code, reported = refused(stage, google, "local", "seed", "--cloud", "--yes", *place)
    assert code == 5
    assert "the proxy refuses the connection: 403" in reported


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"])
def test_a_certificate_that_is_not_trusted_is_reported(stage: Stage, google: GooglesHosts, variable: str) -> None:
    stage.table("first")
    code, reported = refused(stage, google, "run", "--route", "read", without=[variable])
    assert code == 5
    assert "the server's certificate is not trusted: self" in reported
    assert "If a proxy intercepts TLS, set REQUESTS_CA_BUNDLE and GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" in reported
    sentence = f"environment variable {variable}: no such file: /nowhere."
    assert refused(stage, google, "run", env={variable: "/nowhere"}) == (2, sentence)


def test_authorities_without_a_certificate_and_proxies_without_an_address_are_reported(
    stage: Stage, google: GooglesHosts, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    code, reported = refused(stage, google, "status", env={"REQUESTS_CA_BUNDLE": str(empty)})
    assert (code, reported.partition(": ")[2]) == (5, "the file in REQUESTS_CA_BUNDLE contains no certificate.")
    code, reported = refused(stage, google, "status", env={"https_proxy": "http://", "HTTPS_PROXY": "http://"})
    sentence = "invalid address (InvalidProxyURL). Check the variable https_proxy."
    assert (code, reported.partition(": ")[2]) == (5, sentence)
