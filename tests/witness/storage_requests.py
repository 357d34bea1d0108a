"""Raw requests to Cloud Storage that two independent servers answer, and what of their answers is compared."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

import requests

DATA = b"0123456789"
UPLOAD = "/upload/storage/v1/b/{b}/o"
OBJECT = "/storage/v1/b/{b}/o/{o}"
LISTED = ("a", "a/1", "a/2", "b/", "b/x/1", "c", "d e", "ü")
# What a server must answer alike. Etags, times, links and generations are its own.
COMPARED = ("name", "bucket", "size", "contentType", "contentEncoding", "cacheControl", "metadata", "crc32c", "md5Hash",
            "metageneration", "prefixes", "done", "objectSize", "componentCount")  # fmt: skip


class Case(NamedTuple):
    """A request. `{b}`, `{o}`, `{g}` are its bucket, its object and the object's generation; `{g+}` is another one."""

    name: str
    method: str
    path: str
    params: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    body: Any = None


def cases() -> Iterator[Case]:
    """All requests. Each has an object of its own."""
    yield from _preconditions()
    for text in (
        "bytes=0-3",
        "bytes=2-",
        "bytes=-2",
        "bytes=0-100",
        "bytes=9-9",
        "bytes=10-20",
        "bytes=100-",
        "bytes=-0",
    ):
        yield Case(f"range {text}", "GET", OBJECT, {"alt": "media"}, {"Range": text})
    yield from _listings()
    yield from _missing()
    yield from _uploads()
    yield from _changes()


def _preconditions() -> Iterator[Case]:
    verbs: list[tuple[str, str, str, dict[str, str], Any]] = [
        ("get", "GET", OBJECT, {}, None),
        ("download", "GET", OBJECT, {"alt": "media"}, None),
        ("patch", "PATCH", OBJECT, {}, {"metadata": {"k": "v"}}),
        ("delete", "DELETE", OBJECT, {}, None),
        ("upload", "POST", UPLOAD, {"uploadType": "media", "name": "{o}"}, DATA),
        ("copy", "POST", "/storage/v1/b/{b}/o/source/copyTo/b/{b}/o/{o}", {}, {}),
        ("rewrite", "POST", "/storage/v1/b/{b}/o/source/rewriteTo/b/{b}/o/{o}", {}, {}),
        ("compose", "POST", OBJECT + "/compose", {}, {"sourceObjects": [{"name": "source"}], "destination": {}}),
    ]
    values = [("ifGenerationMatch", value) for value in ("{g}", "{g+}", "0")]
    values += [("ifMetagenerationMatch", value) for value in ("1", "2")]
    negated = [(name.replace("Match", "NotMatch"), value) for name, value in values]
    for verb, method, path, params, body in verbs:
        for name, value in values if verb == "compose" else values + negated:
            yield Case(f"{verb} {name}={value}", method, path, {**params, name: value}, {}, body)
    for kind in ("copyTo", "rewriteTo"):
        path = f"/storage/v1/b/{{b}}/o/{{o}}/{kind}/b/{{b}}/o/copied"
        for name in ("ifSourceGenerationMatch", "sourceGeneration"):
            for value in ("{g}", "{g+}"):
                yield Case(f"{kind} {name}={value}", "POST", path, {name: value}, {}, {})


def _listings() -> Iterator[Case]:
    for params in (
        {}, {"prefix": "a"}, {"prefix": "a/"}, {"prefix": "nothing"}, {"delimiter": "/"},
        {"prefix": "a/", "delimiter": "/"}, {"prefix": "b/", "delimiter": "/"},
        {"delimiter": "/", "includeTrailingDelimiter": "true"}, {"startOffset": "b"},
        {"endOffset": "b"}, {"startOffset": "a/", "endOffset": "c"}, {"maxResults": "3"}, {"maxResults": "0"},
        {"delimiter": "x"}, {"prefix": "ü"}, {"prefix": "d "}, {"matchGlob": "a/*"}, {"matchGlob": "**"},
        {"matchGlob": "{a,c}"}, {"versions": "true", "prefix": "c"}, {"projection": "full", "prefix": "c"},
        {"fields": "items(name)"}, {"maxResults": "2", "delimiter": "/"},
    ):  # fmt: skip
        yield Case(f"list {json.dumps(params)}", "GET", "/storage/v1/b/listed-{b}/o", params)


def _missing() -> Iterator[Case]:
    body = {"sourceObjects": [{"name": "absent"}], "destination": {}}
    for bucket in ("{b}", "absent-{b}"):
        base = f"/storage/v1/b/{bucket}/o/absent"
        yield Case(f"get absent in {bucket}", "GET", base)
        yield Case(f"download absent in {bucket}", "GET", base, {"alt": "media"})
        yield Case(f"patch absent in {bucket}", "PATCH", base, {}, {}, {"metadata": {"k": "v"}})
        yield Case(f"delete absent in {bucket}", "DELETE", base)
        yield Case(f"copy absent in {bucket}", "POST", f"{base}/copyTo/b/{{b}}/o/x", {}, {}, {})
        yield Case(f"rewrite absent in {bucket}", "POST", f"{base}/rewriteTo/b/{{b}}/o/x", {}, {}, {})
        yield Case(f"compose absent in {bucket}", "POST", f"/storage/v1/b/{bucket}/o/x/compose", {}, {}, body)
    yield Case("list of an absent bucket", "GET", "/storage/v1/b/absent-{b}/o")
    yield Case("absent bucket", "GET", "/storage/v1/b/absent-{b}")
    yield Case("delete of an absent bucket", "DELETE", "/storage/v1/b/absent-{b}")
    yield Case("upload to an absent bucket", "POST", "/upload/storage/v1/b/absent-{b}/o",
               {"uploadType": "media", "name": "x"}, {}, DATA)  # fmt: skip
    for generation in ("{g}", "{g+}"):
        yield Case(f"get generation={generation}", "GET", OBJECT, {"generation": generation})
        yield Case(f"download generation={generation}", "GET", OBJECT, {"alt": "media", "generation": generation})
        yield Case(f"delete generation={generation}", "DELETE", OBJECT, {"generation": generation})


def _uploads() -> Iterator[Case]:
    names = ("plain", "with space", "a/b/c", "ünïcode", "per%cent", "plus+plus", "a?b", "a#b", "a&b=c", "dot.",
             "x" * 1024, "x" * 1025, "..", ".", "[brackets]", "star*")  # fmt: skip
    for name in names:
        label = name if len(name) < 99 else f"{len(name)} letters"
        yield Case(f"upload named {label}", "POST", UPLOAD, {"uploadType": "media", "name": name}, {}, DATA)
    yield Case("upload of nothing", "POST", UPLOAD, {"uploadType": "media", "name": "empty"}, {}, b"")
    yield Case("upload without a name", "POST", UPLOAD, {"uploadType": "media"}, {}, DATA)
    yield Case(
        "upload with a type", "POST", UPLOAD, {"uploadType": "media", "name": "t"}, {"content-type": "text/csv"}, DATA
    )
    for label, resource in {
        "metadata": {"name": "m", "metadata": {"k": "v"}, "contentType": "text/plain"},
        "right checksums": {"name": "m", "md5Hash": "eB5eJF1ptWaXm4bijSPyxw==", "crc32c": "KAwGng=="},
        "a wrong md5Hash": {"name": "m", "md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="},
        "a wrong crc32c": {"name": "m", "crc32c": "AAAAAA=="},
        "cacheControl": {"name": "m", "cacheControl": "no-store"},
    }.items():
        yield Case(f"multipart upload with {label}", "POST", UPLOAD, {"uploadType": "multipart"}, {}, resource)
    yield Case("start of a resumable upload", "POST", UPLOAD, {"uploadType": "resumable", "name": "r"}, {}, {})


def _changes() -> Iterator[Case]:
    for label, body in {
        "metadata": {"metadata": {"a": "1"}},
        "contentType": {"contentType": "text/html"},
        "cacheControl": {"cacheControl": "private"},
        "null": {"contentType": None},
        "nothing": {},
    }.items():
        for method in ("PATCH", "PUT"):
            yield Case(f"{method} of {label}", method, OBJECT, {}, {}, body)
    for label, sources in {
        "no source": [], "one": ["source"], "two": ["source", "{o}"], "itself": ["{o}"], "33": ["source"] * 33,
        "32": ["source"] * 32,
    }.items():  # fmt: skip
        body = {"sourceObjects": [{"name": name} for name in sources], "destination": {"contentType": "text/x"}}
        yield Case(f"compose of {label}", "POST", "/storage/v1/b/{b}/o/composed/compose", {}, {}, body)
    yield Case("a bucket that exists", "POST", "/storage/v1/b", {"project": "p"}, {}, {"name": "{b}"})
    yield Case("a bucket", "GET", "/storage/v1/b/{b}", {"fields": "name"})
    yield Case("delete of a bucket that is not empty", "DELETE", "/storage/v1/b/{b}")
    yield Case("metadata of an object", "GET", OBJECT, {"fields": "name,size"})
    yield Case("copy with another type", "POST", "/storage/v1/b/{b}/o/source/copyTo/b/{b}/o/{o}", {}, {},
               {"contentType": "text/y"})  # fmt: skip
    yield Case("rewrite with metadata", "POST", "/storage/v1/b/{b}/o/source/rewriteTo/b/{b}/o/{o}", {}, {},
               {"metadata": {"x": "y"}})  # fmt: skip


class Server:
    """A server with a bucket for the cases, and one whose objects are listed."""

    def __init__(self, address: str) -> None:
        self._address, self._session = address, requests.Session()
        self._session.trust_env = False
        self._bucket = "bucket"
        for bucket, names in (("bucket", ("source",)), ("listed-bucket", LISTED)):
            self._call("POST", "/storage/v1/b", {"project": "p"}, json={"name": bucket}).raise_for_status()
            for name in names:
                self._upload(bucket, name)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def answer(self, case: Case) -> dict[str, Any]:
        """What is compared of the answer."""
        name = uuid.uuid4().hex
        generation = self._upload("bucket", name)["generation"]
        known = {"{b}": "bucket", "{o}": name, "{g}": generation, "{g+}": str(int(generation) + 1)}

        def filled(value: Any) -> Any:
            if isinstance(value, str):
                for mark, text in known.items():
                    value = value.replace(mark, text)
            if isinstance(value, Mapping):
                return {key: filled(item) for key, item in value.items()}
            return [filled(item) for item in value] if isinstance(value, list) else value

        params, body = filled(case.params), filled(case.body)
        if params.get("uploadType") == "multipart":
            content = _multipart(body)
            headers = {"content-type": "multipart/related; boundary=mark"}
            response = self._call(case.method, filled(case.path), params, data=content, headers=headers)
        elif isinstance(body, bytes):
            response = self._call(
                case.method,
                filled(case.path),
                params,
                data=body,
                headers={"content-type": "text/plain", **case.headers},
            )
        else:
            response = self._call(case.method, filled(case.path), params, json=body, headers=case.headers)
        return _compared(response, name)

    def _upload(self, bucket: str, name: str) -> dict[str, Any]:
        path = f"/upload/storage/v1/b/{bucket}/o"
        typed = {"content-type": "text/plain"}
        response = self._call("POST", path, {"uploadType": "media", "name": name}, data=DATA, headers=typed)
        response.raise_for_status()
        made: dict[str, Any] = response.json()
        return made

    def _call(self, method: str, path: str, params: Mapping[str, str], **options: Any) -> requests.Response:
        response = self._session.request(method, self._address + path, params=params, timeout=30, **options)
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # fake-gcs-server then closes the connection without saying so, perhaps while the next request is sent.
            self._session.close()
        return response


def _multipart(resource: dict[str, Any]) -> bytes:
    head = f"--mark\r\ncontent-type: application/json\r\n\r\n{json.dumps(resource)}\r\n--mark\r\n"
    return head.encode() + b"content-type: text/plain\r\n\r\n" + DATA + b"\r\n--mark--"


def _compared(response: requests.Response, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"status": response.status_code}
    of_json = response.headers.get("content-type", "").startswith("application/json")
    if response.status_code in (200, 206) and not of_json:
        found["bytes"] = response.content
        found["content-range"] = response.headers.get("content-range")
    elif response.ok and response.content and (whole := response.json()):
        body = whole.get("resource", whole)
        found |= {key: body[key] for key in COMPARED if key in body}
        found |= {key: whole[key] for key in ("done",) if key in whole}
        if "items" in whole:
            found["items"] = [item["name"] for item in whole["items"]]
        found["next"] = "nextPageToken" in whole
    text = json.dumps(found, default=bytes.decode).replace(name, "{o}")
    compared: dict[str, Any] = json.loads(text)
    return compared
