"""Listings of a bucket: objects, folders, and what has a delete marker or a version over it. They block."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

from bqdump.adapters.s3.errors import REQUIRED, translated
from bqdump.adapters.s3.requests import Requests, info_of, locked_until
from bqdump.core.errors import AnswerError, DeniedError, TargetError
from bqdump.core.times import rfc3339
from bqdump.ports.store import Hidden, ObjectInfo

# As the answers to listings have them.
Versions = Sequence[Mapping[str, Any]]
PAGE = 1000
# Pages that look for some files have room for so many objects for each.
BETWEEN = 2
# A command removes up to so many versions: thousands may be over one, and a line of the log has its limit.
SHOWN = 3
FIRST, AFTER_SURROGATES, BEFORE_SURROGATES = "\x21", "\ue000", "\ud7ff"
# Comes after every character that names have.
LAST = "\U0010fffd"


class Listing:
    """Lists what begins with a prefix."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._versioned = False
        # Whether files that arrive together are listed together.
        self._near = True
        self._ends: dict[tuple[str, str], int] = {}

    def pages(self, prefix: str, start: str) -> Iterator[list[ObjectInfo]]:
        """Pages of objects, sorted by name, from this name on. They have neither checksum nor origin."""
        begin, uncovered = start.encode(), self._uncovered(prefix)
        for page in self._answers(prefix, start=start):
            items = page.get("Contents") or ()
            infos = {item["Key"]: info_of(item["Key"], item, self._requests.subject(item["Key"])) for item in items}
            if uncovered:
                end = max(infos, default="") if page.get("IsTruncated") else LAST
                here = {name: info for name, info in uncovered.items() if name <= end}
                uncovered = {name: info for name, info in uncovered.items() if name > end}
                infos = dict(sorted((infos | here).items()))
            yield [info for info in infos.values() if info.name.encode() >= begin]

    def some(self, names: Collection[str]) -> dict[str, ObjectInfo]:
        """Those of these objects that are on one short page, by name. Nothing where such pages have few of them."""
        if not self._near:
            return {}
        first, most = min(names, key=str.encode), BETWEEN * len(names)
        page = next(self._answers(beginning_of(names), start=first, most=most))
        wanted, subject = set(names) - self._requests.uncovered.keys(), self._requests.subject
        items = ((item["Key"], item) for item in page.get("Contents") or () if item["Key"] in wanted)
        here = {name: info_of(name, item, subject(name)) for name, item in items}
        self._near = 2 * len(here) >= len(names)
        return here

    def _uncovered(self, prefix: str) -> dict[str, ObjectInfo]:
        hidden = self._requests.uncovered.values()
        return {object_.name: object_.info for object_ in hidden if object_.info and object_.name.startswith(prefix)}

    def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below the prefix."""
        names = [item["Prefix"] for page in self._answers(prefix, "/") for item in page.get("CommonPrefixes") or ()]
        names += [
            name[: name.index("/", len(prefix)) + 1] for name in self._uncovered(prefix) if "/" in name[len(prefix) :]
        ]
        return sorted({folder[len(prefix) : -1] for folder in names})

    def hidden(self, prefix: str, *, replaced: bool = False, wanted: Mapping[str, int] | None = None) -> list[Hidden]:
        """See Keeper: what is under a delete marker, or another version."""
        if not self._keeps_versions():
            return []
        markers, versions = dict[str, list[Mapping[str, Any]]](), dict[str, list[Mapping[str, Any]]]()
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        while True:
            with translated("list versions in", self._requests.subject(prefix)):
                answer: Mapping[str, Any] = self._requests.client.list_object_versions(**query)
            for some, kind in ((markers, "DeleteMarkers"), (versions, "Versions")):
                for version in answer.get(kind) or ():
                    # The newest comes first.
                    some.setdefault(version["Key"], []).append(version)
            if not answer.get("IsTruncated") or not answer.get("NextKeyMarker"):
                break
            query |= {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer.get("NextVersionIdMarker", "")}
        objects = (
            self._hidden(name, markers.get(name, []), kept, replaced, wanted)
            for name, kept in sorted(versions.items())
            if wanted is None or name in wanted
        )
        return [hidden for hidden in objects if hidden]

    def _keeps_versions(self) -> bool:
        """Whether the bucket has ever kept versions, or does not tell. Once it has, it stays a bucket of versions.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
        """
        if not self._versioned:
            with (
                suppress(DeniedError, AnswerError, TargetError),
                translated("read the settings of", f"s3://{self._requests.bucket}"),
            ):
                answer = self._requests.client.get_bucket_versioning(Bucket=self._requests.bucket)
                self._versioned = "Status" in answer
                return self._versioned
        return True

    def _hidden(
        self,
        name: str,
        markers: Versions,
        versions: Versions,
        replaced: bool,
        wanted: Mapping[str, int] | None,
    ) -> Hidden | None:
        """markers, versions: the newest first.
        replaced, wanted: see Keeper.
        """
        covered = any(marker.get("IsLatest") for marker in markers)
        if not covered and (not replaced or len(versions) == 1):
            return None
        infos = [info_of(name, entry, self._requests.subject(name)) for entry in versions]
        # The oldest that it may be: nothing is written twice.
        oldest = range(len(versions) - 1, -1, -1)
        if wanted is not None:
            kept = next((number for number in oldest if infos[number].generation == wanted[name]), None)
        else:
            kept = next((number for number in oldest if self._locked(name, versions[number])), 0) if replaced else 0
        if kept is None or not (covered or kept):
            return None
        since = versions[kept]["LastModified"]
        over = [entry for entry in (*markers, *versions[:kept]) if entry["LastModified"] >= since]
        if not replaced:
            over = [entry for entry in markers if entry.get("IsLatest")]
        over.sort(key=lambda entry: (entry["LastModified"], bool(entry.get("IsLatest"))), reverse=True)
        by = "hidden by a delete marker" if covered else "replaced by a version"
        when = rfc3339(int(over[0]["LastModified"].timestamp() * 1000))
        ids = tuple(entry["VersionId"] for entry in over)
        shown = ids if len(ids) <= SHOWN else ids[:1]
        back = " && ".join(self._removal(name, version) for version in shown)
        if wanted is not None and any(entry in versions and self._locked(name, entry) for entry in over[: len(shown)]):
            back = ""
        info = infos[kept]._replace(locked_until=self._locked(name, versions[kept]))
        more = len(ids) - len(shown)
        return Hidden(name, f"{by} of {when}", info.locked_until, back, info, versions[kept]["VersionId"], ids, more)

    def _locked(self, name: str, version: Mapping[str, Any]) -> int:
        """Until when a version is or was locked, 0 if never. One request, the first time."""
        which = name, version["VersionId"]
        if which not in self._ends:
            try:
                self._ends[which] = locked_until(self._requests.head(name, VersionId=version["VersionId"]) or {})
            except DeniedError:
                return 0
        return self._ends[which]

    def _removal(self, name: str, version: str) -> str:
        """The command that deletes a version, as a shell takes it."""
        words = ["aws", "s3api", "delete-object", "--bucket", self._requests.bucket, "--key", name]
        words += ["--version-id", version]
        service = str(self._requests.client.meta.endpoint_url)
        if ".amazonaws.com" not in service:
            words += ["--endpoint-url", service]
        return shlex.join(words)

    def _answers(
        self, prefix: str, delimiter: str = "", start: str = "", most: int = PAGE
    ) -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": most}
        if delimiter:
            query["Delimiter"] = delimiter
        if after := _name_before(start):
            query["StartAfter"] = after
        while True:
            with translated("list", self._requests.subject(prefix)):
                answer: Mapping[str, Any] = self._requests.client.list_objects_v2(**query)
            if "IsTruncated" not in answer:
                subject = self._requests.subject(prefix)
                raise AnswerError("list", subject, "the answer is not a listing", REQUIRED)
            yield answer
            if not answer.get("IsTruncated") or not answer.get("NextContinuationToken"):
                return
            query["ContinuationToken"] = answer["NextContinuationToken"]


def beginning_of(names: Collection[str]) -> str:
    """What all of these names begin with."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    return "".join(letter for letter, _ in same)


def _name_before(start: str) -> str:
    """A name before `start` with few names between them, since S3 lists what comes after a name; "" for none."""
    if not start:
        return ""
    head, last = start[:-1], start[-1]
    if last <= FIRST:
        return head
    return head + (BEFORE_SURROGATES if last == AFTER_SURROGATES else chr(ord(last) - 1)) + LAST
