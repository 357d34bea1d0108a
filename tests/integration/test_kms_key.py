"""Exports under a Cloud KMS key: what is written and copied names it, and what could not get it is refused."""

from __future__ import annotations

import pytest

from integration.stage import STATE, Stage

KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"


def keys(stage: Stage) -> dict[str, str]:
    """The key of every object in the bucket, without its version; "" for Google's own."""
    blobs = stage.store.list_blobs(stage.bucket)
    return {blob.name: (blob.kms_key_name or "").partition("/cryptoKeyVersions/")[0] for blob in blobs}


def with_default_key(stage: Stage) -> None:
    bucket = stage.store.get_bucket(stage.bucket)
    bucket.default_kms_key_name = KEY
    bucket.patch()


@pytest.mark.parametrize("route", ["extract", "read"])
def test_files_and_documents_get_the_key_that_is_set(stage: Stage, route: str) -> None:
    stage.table("a")
    ran = stage.run("--kms-key", KEY, "--route", route)
    assert ran.code == 0, ran.text
    found = keys(stage)
    assert "a/a_000000000000.csv" in found
    assert f"{STATE}latest.json" in found
    assert set(found.values()) == {KEY}
    assert stage.manifest().settings["kms_key"] == KEY


def test_a_later_export_replaces_files_under_the_key(stage: Stage) -> None:
    stage.table("a")
    assert stage.run().code == 0
    assert set(keys(stage).values()) == {""}
    assert stage.run("--kms-key", KEY).code == 0
    assert keys(stage)["a/a_000000000000.csv"] == KEY


def test_the_buckets_default_key_needs_no_setting(stage: Stage) -> None:
    with_default_key(stage)
    stage.table("a")
    assert stage.run().code == 0
    assert set(keys(stage).values()) == {KEY}


def test_files_that_bigquery_names_itself_would_lack_the_key_and_are_refused(stage: Stage) -> None:
    stage.table("a")
    kept = ("--path", "{run}/{table}_*.{ext}", "--kms-key", KEY)
    ran = stage.run(*kept)
    assert ran.code == 2
    assert "the default key of gs://" in ran.text
    assert stage.objects() == {}
    with_default_key(stage)
    assert stage.run(*kept).code == 0
    assert set(keys(stage).values()) == {KEY}
