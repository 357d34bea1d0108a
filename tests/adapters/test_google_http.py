"""Sessions of Google's clients: what they take from the environment, and how often they look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials

from bqdump.adapters.google.http import Session, session

URL = "https://storage.googleapis.com/storage/v1/b/exports"


@pytest.fixture
def opened() -> Session:
    return session(AnonymousCredentials())


def settings(opened: Session, url: str = URL, **given: Any) -> dict[str, Any]:
    """What a request of this session is sent with."""
    return opened.merge_environment_settings(
        url, given.get("proxies", {}), given.get("stream"), given.get("verify"), given.get("cert")
    )


def test_proxies_and_authorities_of_the_environment_are_used(opened: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "bigquery.googleapis.com")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/authorities.pem")
    found = settings(opened)
    assert (found["proxies"]["https"], found["verify"]) == ("http://proxy:3128", "/etc/authorities.pem")
    assert "https" not in settings(opened, "https://bigquery.googleapis.com/bigquery/v2/projects/p")["proxies"]


def test_what_a_request_asks_for_goes_first(opened: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/authorities.pem")
    found = settings(opened, proxies={"https": "http://other:1"}, stream=True, verify="/own.pem", cert="/cert.pem")
    assert found == {
        "proxies": {"https": "http://other:1"}, "stream": True, "verify": "/own.pem", "cert": "/cert.pem",
    }  # fmt: skip


def test_without_an_environment_the_defaults_of_requests_hold(opened: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with requests.Session() as plain:
        assert settings(opened) == plain.merge_environment_settings(URL, {}, None, None, None)


def test_the_environment_is_read_once_for_a_host(opened: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def proxies(url: str, no_proxy: str | None = None) -> dict[str, str]:
        read.append(url)
        return {}

    monkeypatch.setattr(requests.sessions, "get_environ_proxies", proxies)
    for _ in range(3):
        settings(opened)
        settings(opened, "http://127.0.0.1:9050/b")
    assert read == [URL, "http://127.0.0.1:9050/b"]


def test_a_password_in_a_netrc_file_does_not_replace_the_token(
    opened: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine storage.googleapis.com login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    prepared = opened.prepare_request(requests.Request("GET", URL, headers={"Authorization": "Bearer token"}))
    assert prepared.headers["Authorization"] == "Bearer token"
