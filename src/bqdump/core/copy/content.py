"""What all copies of a run have in common, as one checksum: two runs of one id are told apart by it."""

from __future__ import annotations

import hashlib

import msgspec

from bqdump.core.documents.manifest import Manifest

ENCODER = msgspec.json.Encoder()


def content_of(manifest: Manifest) -> str:
    """A SHA-256 over the run: its dataset and time, and definition, sizes and checksums of each table's files.

    Where the files are does not count, so that a copy of a copy has the content of the export.
    """
    digest = hashlib.sha256()
    digest.update(
        ENCODER.encode((manifest.run, manifest.project, manifest.dataset, manifest.snapshot, manifest.status))
    )
    for entry in manifest.tables:
        files = [(file.size, file.crc32c) for file in entry.files]
        digest.update(ENCODER.encode((entry.table, files)))
        digest.update(hashlib.sha256(entry.definition).digest())
    return digest.hexdigest()
