"""Listings of a bucket: objects, folders, and what has a delete marker or a version over it. They block."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from bqdump.adapters.s3.errors import REQUIRED, translated
from bqdump.adapters.s3.requests import Requests, info_of, locked_until
from bqdump.core.errors import AnswerError, DeniedError, TargetError
from bqdump.core.times import rfc3339
from bqdump.ports.store import Hidden, ObjectInfo

PAGE = 1000
FIRST, AFTER_SURROGATES, BEFORE_SURROGATES = "\x21", "\ue000", "\ud7ff"
# Comes after every character that names have.
LAST = "\U0010fffd"


class Listing:
    """Lists what begins with a prefix."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._versioned = False

    def pages(self, prefix: str, start: str) -> Iterator[list[ObjectInfo]]:
        """Pages of objects, sorted by name, from this name on. They have neither checksum nor origin."""
        begin, uncovered = start.encode(), self._uncovered(prefix)
        for page in self._answers(prefix, start=start):
            found = page.get("Contents") or ()
            infos = {one["Key"]: info_of(one["Key"], one, self._requests.subject(one["Key"])) for one in found}
            if uncovered:
                end = max(infos, default="") if page.get("IsTruncated") else LAST
                here = {name: info for name, info in uncovered.items() if name <= end}
                uncovered = {name: info for name, info in uncovered.items() if name > end}
                infos = dict(sorted((infos | here).items()))
            yield [info for info in infos.values() if info.name.encode() >= begin]

    def _uncovered(self, prefix: str) -> dict[str, ObjectInfo]:
        hidden = self._requests.uncovered.values()
        return {one.name: one.info for one in hidden if one.info and one.name.startswith(prefix)}

    def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below the prefix."""
        found = [one["Prefix"] for page in self._answers(prefix, "/") for one in page.get("CommonPrefixes") or ()]
        found += [
            name[: name.index("/", len(prefix)) + 1] for name in self._uncovered(prefix) if "/" in name[len(prefix) :]
        ]
        return sorted({folder[len(prefix) : -1] for folder in found})

    def hidden(self, prefix: str, *, replaced: bool = False, wanted: Collection[int] = ()) -> list[Hidden]:
        """See Keeper: what is under a delete marker."""
        if not self._keeps_versions():
            return []
        markers, versions = dict[str, list[Mapping[str, Any]]](), dict[str, list[Mapping[str, Any]]]()
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        while True:
            with translated("list versions in", self._requests.subject(prefix)):
                answer: Mapping[str, Any] = self._requests.client.list_object_versions(**query)
            for some, kind in ((markers, "DeleteMarkers"), (versions, "Versions")):
                for one in answer.get(kind) or ():
                    # The newest comes first.
                    some.setdefault(one["Key"], []).append(one)
            if not answer.get("IsTruncated") or not answer.get("NextKeyMarker"):
                break
            query |= {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer.get("NextVersionIdMarker", "")}
        found = (
            self._hidden(name, markers.get(name, []), kept, wanted if replaced else None)
            for name, kept in sorted(versions.items())
        )
        return [hidden for hidden in found if hidden]

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
        markers: list[Mapping[str, Any]],
        versions: list[Mapping[str, Any]],
        wanted: Collection[int] | None,
    ) -> Hidden | None:
        """wanted: see Keeper; None: only what is under a delete marker counts. versions: the newest first."""
        over = [marker for marker in markers if marker.get("IsLatest")]
        by = "hidden by a delete marker" if over else "replaced by a version"
        if not over and (wanted is None or len(versions) == 1):
            return None
        subject = self._requests.subject(name)
        infos = [info_of(name, one, subject) for one in versions]
        first = 0 if wanted is None else len(versions) - 1
        kept = next((number for number, info in enumerate(infos) if info.generation in (wanted or ())), first)
        until = self._locked(name, versions[kept])
        if not over and not kept:
            return None
        if wanted is not None and (until or infos[kept].generation in wanted):
            over += [one for one in (*markers, *versions[:kept]) if one not in over]
        if not over:
            return None
        when = rfc3339(int(max(one["LastModified"] for one in over).timestamp() * 1000))
        ids = tuple(one["VersionId"] for one in over)
        back = " && ".join(self._removal(name, version) for version in ids)
        info, version = infos[kept]._replace(locked_until=until), versions[kept]["VersionId"]
        return Hidden(name, f"{by} of {when}", until, back, info, version, ids)

    def _locked(self, name: str, version: Mapping[str, Any]) -> int:
        with suppress(DeniedError):
            return locked_until(self._requests.head(name, VersionId=version["VersionId"]) or {})
        return 0

    def _removal(self, name: str, version: str) -> str:
        """The command that deletes a version, as a shell takes it."""
        words = ["aws", "s3api", "delete-object", "--bucket", self._requests.bucket, "--key", name]
        words += ["--version-id", version]
        service = str(self._requests.client.meta.endpoint_url)
        if ".amazonaws.com" not in service:
            words += ["--endpoint-url", service]
        return shlex.join(words)

    def _answers(self, prefix: str, delimiter: str = "", start: str = "") -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        if delimiter:
            query["Delimiter"] = delimiter
        if after := _before(start):
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


def _before(start: str) -> str:
    """A name before `start` with few names between them, since S3 lists what comes after a name; "" for none."""
    if not start:
        return ""
    head, last = start[:-1], start[-1]
    if last <= FIRST:
        return head
    return head + (BEFORE_SURROGATES if last == AFTER_SURROGATES else chr(ord(last) - 1)) + LAST
