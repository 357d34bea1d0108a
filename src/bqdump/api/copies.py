"""Copying, as a function of the Python API."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Unpack

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.api.calls import finish, python_words, settings_of
from bqdump.api.signatures import OF_TARGET, with_settings
from bqdump.core.copy.result import RULES, Copied, requested_copy
from bqdump.core.documents.run import Owner


@with_settings((*OF_TARGET, *RULES, "kms_key"))
def copy(
    dest: str,
    runs: str | Sequence[str] = (),
    *,
    every: bool = False,
    storage_class: str = "",
    digest: bool = False,
    dry_run: bool = False,
    **options: Unpack[Options],
) -> Copied:
    """Copy runs (default: the published run) to another place, where each is a complete export with its own folder.

    Only what is missing there is copied, and every file is compared with the manifest on the way. The same call resumes
    a copy that was interrupted. `keep_…` arguments copy the runs that such a policy would keep.
    dest: "gs://bucket/prefix", "s3://bucket/prefix" or a folder.
    runs: the name of a run, or several.
    every: copy all complete runs.
    storage_class: of the copied files, in Cloud Storage.
    digest: between buckets, also read each file for its SHA-256.
    dry_run: only show what would be copied.
    """
    settings = settings_of(options, ("bucket",))
    with python_words():
        request = requested_copy(
            settings,
            dest,
            [runs] if isinstance(runs, str) and runs else runs,
            [name for name in RULES if options.get(name)],
            every=every,
            storage_class=storage_class,
            digests=digest,
            dry=dry_run,
        )
    return finish(verbs.copy(settings, request, Owner(f"copy-{secrets.token_hex(4)}", 0)))
