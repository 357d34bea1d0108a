"""Preconditions hold on every verb, alone and in batches, and decide races."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed

from local.storage_server import Http, batch_answers, path_of, storage_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    Verb = Callable[[Http, dict[str, Any]], requests.Response]

BUCKET = "conditions"


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        for name in ("object", "new"):
            http.call("DELETE", path_of(BUCKET, name))
        http.put(BUCKET, "source")
        yield http


def resumable(http: Http, params: dict[str, Any]) -> requests.Response:
    start = http.start_resumable(BUCKET, "object", **params)
    return http.call("PUT", start.headers["location"], data=b"new") if start.status_code == 200 else start


COMPOSE = {"sourceObjects": [{"name": "source"}, {"name": "source"}]}
OBJECT = path_of(BUCKET, "object")
SOURCE = path_of(BUCKET, "source")
# Calls that may be part of a batch: method, path, body.
CALLS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "get": ("GET", OBJECT, None),
    "patch": ("PATCH", OBJECT, {"metadata": {"a": "b"}}),
    "update": ("PUT", OBJECT, {"contentType": "text/csv"}),
    "delete": ("DELETE", OBJECT, None),
    "copy": ("POST", f"{SOURCE}/copyTo/{OBJECT}", None),
    "rewrite": ("POST", f"{SOURCE}/rewriteTo/{OBJECT}", None),
    "compose": ("POST", f"{OBJECT}/compose", COMPOSE),
    "move": ("POST", f"{SOURCE}/moveTo/o/object", None),
}
UPLOADS: dict[str, Verb] = {
    "media": lambda http, params: http.upload(BUCKET, "object", b"new", **params),
    "multipart": lambda http, params: http.upload_multipart(BUCKET, {"name": "object"}, b"new", **params),
    "resumable": resumable,
}
CREATING = ["media", "multipart", "resumable", "copy", "rewrite", "compose", "move"]
VERBS = [*UPLOADS, "download", *CALLS]


def send(http: Http, verb: str, params: dict[str, Any]) -> requests.Response:
    if verb in UPLOADS:
        return UPLOADS[verb](http, params)
    if verb == "download":
        return http.call("GET", OBJECT, params={"alt": "media", **params})
    method, path, body = CALLS[verb]
    return http.call(method, path, params=params, json=body)


def conditions(generation: int, metageneration: int) -> dict[str, tuple[dict[str, int], int]]:
    """Preconditions on a present object, and the resulting status; 200 means success."""
    return {
        "generation": ({"ifGenerationMatch": generation}, 200),
        "other generation": ({"ifGenerationMatch": generation + 1}, 412),
        "absent": ({"ifGenerationMatch": 0}, 412),
        "metageneration": ({"ifMetagenerationMatch": metageneration}, 200),
        "other metageneration": ({"ifMetagenerationMatch": metageneration + 1}, 412),
        "not generation": ({"ifGenerationNotMatch": generation}, 304),
        "not other generation": ({"ifGenerationNotMatch": generation + 1}, 200),
        "not absent": ({"ifGenerationNotMatch": 0}, 200),
        "not metageneration": ({"ifMetagenerationNotMatch": metageneration}, 304),
        "not other metageneration": ({"ifMetagenerationNotMatch": metageneration + 1}, 200),
        "one of two": ({"ifGenerationMatch": generation, "ifMetagenerationMatch": metageneration + 1}, 412),
    }


@pytest.mark.parametrize("case", conditions(1, 1))
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_honours_every_precondition(http: Http, verb: str, case: str) -> None:
    before = http.put(BUCKET, "object")
    params, expected = conditions(int(before["generation"]), 1)[case]
    response = send(http, verb, params)
    assert (200 if response.status_code == 204 else response.status_code) == expected
    if expected == 412 and verb != "download":
        assert response.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    if expected != 200:
        assert http.call("GET", OBJECT).json() == before
        assert http.call("GET", SOURCE).ok


@pytest.mark.parametrize("case", conditions(1, 1))
@pytest.mark.parametrize("verb", CALLS)
def test_preconditions_hold_inside_batches(http: Http, verb: str, case: str) -> None:
    before = http.put(BUCKET, "object")
    params, expected = conditions(int(before["generation"]), 1)[case]
    method, path, body = CALLS[verb]
    query = "&".join(f"{key}={value}" for key, value in params.items())
    [(status, _), (other, _)] = batch_answers(http.batch([(method, f"{path}?{query}", body), ("GET", SOURCE, None)]))
    assert (200 if status in {200, 204} else status) == expected
    if expected != 200:
        assert http.call("GET", OBJECT).json() == before
        assert other == 200


@pytest.mark.parametrize("verb", CREATING)
def test_create_only_writes_require_an_absent_object(http: Http, verb: str) -> None:
    assert send(http, verb, {"ifGenerationMatch": 0}).ok
    assert http.call("GET", OBJECT).ok


@pytest.mark.parametrize(
    "params", [{"ifGenerationMatch": 7}, {"ifMetagenerationMatch": 1}, {"ifGenerationNotMatch": 0}], ids=str
)
@pytest.mark.parametrize("verb", CREATING)
def test_conditions_on_an_absent_object_fail_a_write(http: Http, verb: str, params: dict[str, int]) -> None:
    assert send(http, verb, params).status_code in {304, 412}
    assert http.call("GET", OBJECT).status_code == 404


@pytest.mark.parametrize("params", [{}, {"ifGenerationMatch": 7}, {"ifGenerationMatch": 0}], ids=str)
@pytest.mark.parametrize("verb", ["get", "download", "patch", "update", "delete"])
def test_an_absent_object_is_not_found(http: Http, verb: str, params: dict[str, int]) -> None:
    assert send(http, verb, params).status_code == 404


@pytest.mark.parametrize("verb", ["copy", "rewrite", "move"])
def test_sources_also_have_preconditions(http: Http, verb: str) -> None:
    generation = int(http.call("GET", SOURCE).json()["generation"])
    assert send(http, verb, {"ifSourceGenerationMatch": generation + 1}).status_code == 412
    assert send(http, verb, {"ifSourceMetagenerationMatch": 2}).status_code == 412
    assert send(http, verb, {"ifSourceGenerationNotMatch": generation}).status_code == 304
    assert http.call("GET", OBJECT).status_code == 404
    assert send(http, verb, {"ifSourceGenerationMatch": generation, "ifSourceMetagenerationMatch": 1}).ok


@pytest.mark.parametrize("verb", ["copy", "rewrite"])
def test_a_copy_of_a_deleted_generation_is_not_found(http: Http, verb: str) -> None:
    generation = int(http.call("GET", SOURCE).json()["generation"])
    http.put(BUCKET, "source", b"newer")
    assert send(http, verb, {"sourceGeneration": generation}).status_code == 404


def test_compose_checks_the_generation_of_each_source(http: Http) -> None:
    generation = int(http.call("GET", SOURCE).json()["generation"])

    def compose(required: int, key: str) -> int:
        source: dict[str, Any] = {"name": "source"}
        source |= {"generation": required} if key == "generation" else {"objectPreconditions": {key: required}}
        return http.call("POST", f"{OBJECT}/compose", json={"sourceObjects": [source]}).status_code

    assert compose(generation + 1, "ifGenerationMatch") == 412
    assert compose(generation + 1, "generation") == 404
    assert compose(generation, "ifGenerationMatch") == 200


@pytest.mark.parametrize("verb", ["get", "download", "patch", "delete"])
def test_a_generation_that_is_not_live_is_not_found(http: Http, verb: str) -> None:
    old = http.put(BUCKET, "object")
    new = http.put(BUCKET, "object", b"newer")
    assert send(http, verb, {"generation": old["generation"]}).status_code == 404
    assert send(http, verb, {"generation": new["generation"]}).ok


def test_a_precondition_that_is_not_a_number_is_refused(http: Http) -> None:
    assert http.upload(BUCKET, "object", ifGenerationMatch="many").status_code == 400


def test_a_resumable_upload_checks_again_when_it_completes(http: Http) -> None:
    start = http.start_resumable(BUCKET, "object", ifGenerationMatch=0)
    http.put(BUCKET, "object", b"faster")
    assert http.call("PUT", start.headers["location"], data=b"slower").status_code == 412
    assert http.call("GET", OBJECT, params={"alt": "media"}).content == b"faster"


def test_the_official_client_gets_the_same_results(address: str, http: Http) -> None:
    client = storage_client(address)
    blob = client.bucket(BUCKET).blob("object")
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(PreconditionFailed, match="the pre-conditions you specified did not hold"):
        blob.upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.delete(if_generation_match=blob.generation + 1)
    with pytest.raises(PreconditionFailed):
        client.bucket(BUCKET).copy_blob(
            client.bucket(BUCKET).blob("source"), client.bucket(BUCKET), "object", if_generation_match=0
        )
    blob.delete(if_generation_match=blob.generation)
    with pytest.raises(NotFound):
        blob.delete(if_generation_match=blob.generation)
    client.close()


def race(address: str, writers: int, send_one: Callable[[Http, int], int]) -> Counter[int]:
    """The statuses of writers that start at the same time."""
    barrier = threading.Barrier(writers)

    def write(number: int) -> int:
        with Http(address) as http:
            barrier.wait()
            return send_one(http, number)

    with ThreadPoolExecutor(writers) as pool:
        return Counter(pool.map(write, range(writers)))


def test_of_30_create_only_writers_exactly_one_wins(address: str, http: Http) -> None:
    def create(http: Http, number: int) -> int:
        return http.upload(BUCKET, "object", b"%d" % number, ifGenerationMatch=0).status_code

    assert race(address, 30, create) == {200: 1, 412: 29}


def test_of_30_overwriters_of_one_generation_exactly_one_wins(address: str, http: Http) -> None:
    generation = http.put(BUCKET, "object")["generation"]

    def overwrite(http: Http, number: int) -> int:
        resource = {"name": "object", "metadata": {"writer": str(number)}}
        return http.upload_multipart(BUCKET, resource, b"x" * 1000, ifGenerationMatch=generation).status_code

    assert race(address, 30, overwrite) == {200: 1, 412: 29}


def test_generations_grow_across_all_objects(http: Http) -> None:
    generations = [int(http.put(BUCKET, f"g/{number % 3}")["generation"]) for number in range(30)]
    assert generations == sorted(set(generations))
