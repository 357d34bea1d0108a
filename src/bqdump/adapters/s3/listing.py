"""Listings of a bucket, which block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bqdump.adapters.s3.errors import translated
from bqdump.adapters.s3.objects import info_of
from bqdump.adapters.s3.requests import Requests
from bqdump.ports.store import ObjectInfo

PAGE = 1000
FIRST, AFTER_SURROGATES, BEFORE_SURROGATES = "\x21", "\ue000", "\ud7ff"
# Comes after every character that names have.
LAST = "\U0010fffd"


class Listing:
    """Lists what begins with a prefix."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def pages(self, prefix: str, start: str) -> Iterator[list[ObjectInfo]]:
        """Pages of objects, sorted by name, from this name on. They have neither checksum nor origin."""
        begin = start.encode()
        for page in self._answers(prefix, start=start):
            found = page.get("Contents") or ()
            infos = [info_of(one["Key"], one, self._requests.subject(one["Key"])) for one in found]
            yield [info for info in infos if info.name.encode() >= begin]

    def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below the prefix."""
        found = [one["Prefix"] for page in self._answers(prefix, "/") for one in page.get("CommonPrefixes") or ()]
        return sorted(folder[len(prefix) : -1] for folder in found)

    def _answers(self, prefix: str, delimiter: str = "", start: str = "") -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        if delimiter:
            query["Delimiter"] = delimiter
        if after := _before(start):
            query["StartAfter"] = after
        while True:
            with translated("list", self._requests.subject(prefix)):
                answer: Mapping[str, Any] = self._requests.client.list_objects_v2(**query)
            yield answer
            if not answer.get("IsTruncated") or not answer.get("NextContinuationToken"):
                return
            query["ContinuationToken"] = answer["NextContinuationToken"]


def _before(start: str) -> str:
    """A name before `start` with few names between them, since S3 lists what comes after a name; "" for none."""
    if not start:
        return ""
    head, last = start[:-1], start[-1]
    if last <= FIRST:
        return head
    return head + (BEFORE_SURROGATES if last == AFTER_SURROGATES else chr(ord(last) - 1)) + LAST
