"""What the documents of a target say about runs, tables and changes.

The evidence about a run: its manifest as it is stored, and the drills that restored it.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from bqdump.check.compare_values import compare_set, compare_values
from bqdump.check.query import Export as Queried
from bqdump.concurrency import gathered
from bqdump.core.documents.changes import TableChange, compare
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest as ManifestDocument
from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.sets import SetManifest
from bqdump.core.documents.target import Drill
from bqdump.core.errors import NotFoundError, UsageError, VerificationError
from bqdump.core.exported import Manifest, readable
from bqdump.core.listing import EVERYTHING, Listing, Patterns
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.recovery import Recovery
from bqdump.core.results import Rows
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import BUCKET, S3, Target
from bqdump.core.sizes import counted
from bqdump.core.times import AsOf
from bqdump.core.wording import COMMANDS, Commands, Words, fill
from bqdump.export.publish.report import report_page
from bqdump.observe.earlier import Growth, read_growth, run_before
from bqdump.observe.earlier import run_as_of as choose
from bqdump.observe.history import RunLine, list_runs
from bqdump.observe.listing import list_run, list_set
from bqdump.observe.sets import set_runs, set_status
from bqdump.observe.status import Status, newest_run
from bqdump.observe.status import status as read_status
from bqdump.pages.evidence import Stored, render_evidence
from bqdump.pages.report import render_set
from bqdump.ports.data_reader import QueryShell
from bqdump.ports.store import ObjectStore
from bqdump.repository.drills import proof_of, read_drills, read_proof, signed_drills
from bqdump.repository.exports import AT_ONCE, Exports, SetAt, StoreAt, exports_at, published_set
from bqdump.repository.manifests import contents_of
from bqdump.repository.published import (
    as_found,
    name_a_dataset,
    pruned,
    read_if_complete,
    read_manifest,
    read_replacing,
)
from bqdump.repository.repository import read
from bqdump.services.keys import open_trusted, trusting, with_signed_drills
from bqdump.services.opening import open_reader


async def status(
    store_at: StoreAt, settings: Settings, run: str = "", *, drills: bool = True, words: Words | None = None
) -> Status:
    """The progress of a run (default: the run that was planned last), or of a set's run.

    drills: with what they have proven about a set.
    words: with how safe each dataset is, and what to do in these words.
    """
    name, exports = run or settings.run_id, await _exports(store_at, settings)
    trusted = exports.through(_trusting(store_at, settings)) if settings.trust else exports
    plain, set_plain = (exports.each[0].store, exports.set_at) if settings.trust else (None, None)
    about_set = partial(set_status, run=name, plain=set_plain, drills=drills)
    try:
        shown = await trusted.answer(partial(_status, run=name, plain=plain), about_set)
    except NotFoundError as error:
        if run or words is None or not settings.has_objectives:
            raise
        # Where nothing is, no objective is met.
        raise VerificationError("show", "how safe the place is", error.cause, error.hint) from None
    if words is None:
        return shown
    return replace(shown, recovery=tuple(await _recoveries(trusted, words)))


async def _recoveries(exports: Exports, words: Words) -> list[Recovery]:
    # Most looks at a run do not need it.
    from bqdump.restoration.recovery import recoveries

    return await recoveries(exports, int(time.time() * 1000), words)


def _trusting(store_at: StoreAt, settings: Settings) -> StoreAt:
    """Stores that show nothing but what is trusted, however old it is."""
    return with_signed_drills(trusting(store_at, replace(settings, newest_within=None)), settings)


async def _status(store: ObjectStore, settings: Settings, run: str, plain: ObjectStore | None = None) -> Status:
    """plain: where the store trusts keys, one that does not, which shows what is not trusted."""
    try:
        status = await read_status(store, settings, run or await newest_run(store, settings))
    except VerificationError as error:
        if plain is None:
            raise
        shown = await _status(plain, settings, run)
        return replace(shown, state="not trusted", problem=fill(error.cause, COMMANDS), resume="")
    if by := await read_replacing(store, settings):
        status = replace(status, replaced_by=by.run, finish=fill(by.call, COMMANDS))
    return replace(status, restorable=await read_proof(store, settings.layout, status.run))


async def runs(store_at: StoreAt, settings: Settings, *, storage: bool = False) -> Rows[RunLine]:
    """All runs of a target, the latest snapshot time first; of a set, also those of each dataset.

    storage: with what each run shares with others.
    """
    return await _runs_of(await _exports(store_at, settings), store_at, settings, storage=storage)


async def _exports(store_at: StoreAt, settings: Settings) -> Exports:
    return await exports_at(with_signed_drills(store_at, settings), settings)


async def _runs_of(plain: Exports, store_at: StoreAt, settings: Settings, *, storage: bool = False) -> Rows[RunLine]:
    exports = plain.through(_trusting(store_at, settings)) if settings.trust else plain
    unfiltered = plain.each[0].store if storage else None
    return await exports.answer(partial(list_runs, storage=unfiltered), partial(set_runs, storage=unfiltered))


async def growth(store_at: StoreAt, settings: Settings, run: str = "", since: str = "") -> Growth:
    """What grew from a run (default: the one before) to another (default: the published run), also of a set.

    since: a run, a date, a time, or a duration before the later run.
    """
    exports = await _exports(store_at, settings)
    return await read_growth(exports, await _runs_of(exports, store_at, settings), run, since)


async def run_as_of(store_at: StoreAt, settings: Settings, wanted: AsOf, *, files: bool = True) -> RunLine:
    """The newest run whose snapshot time is not later. Raises NotFoundError, which names what is kept.

    files: its files must still be there, instead of its manifest only.
    """
    # One that is not trusted is refused when it is read, and not silently passed over.
    plain = replace(settings, trust=())
    exports = await _exports(store_at, plain)
    return await choose(exports, await _runs_of(exports, store_at, plain), wanted, files=files)


async def ls(store_at: StoreAt, settings: Settings, run: str = "", patterns: Patterns | None = None) -> Listing:
    """What a run (default: the published run) holds, of a set with each dataset, as far as the patterns choose it."""
    name, chosen = run or settings.run_id, patterns or EVERYTHING
    exports = await exports_at(store_at, settings)
    of_set = partial(list_set, run=name, patterns=chosen)
    return await exports.answer(partial(list_run, run=name, patterns=chosen), of_set)


async def previous_run(store_at: StoreAt, settings: Settings, after: str = "") -> str:
    """The run before `after` (default: before the published run). Raises NotFoundError."""
    return run_before(await runs(store_at, replace(settings, trust=())), after)


async def manifest(store: ObjectStore, settings: Settings, run: str = "") -> Manifest:
    """The manifest of a run (default: the published run)."""
    target = settings.target
    address = f"{Path(target.folder).absolute()}/" if target.folder else target.uri("")
    return readable(await read_manifest(store, settings, run or settings.run_id), address)


async def sql(
    store: ObjectStore,
    settings: Settings,
    shell: QueryShell,
    run: str = "",
    reading: Callable[[TableEntry], None] = lambda _: None,
    statement: str = "",
) -> Queried:
    """A run (default: the published run) to query in the shell. reading: hears of each table whose files are read.

    statement: the files of the tables that it names are read at once.
    """
    name = run or settings.run_id
    trusted = trusting(lambda _: store, settings, name)(settings.target)
    manifest = await as_found(trusted, settings, await read_manifest(trusted, settings, name))
    queried = Queried(manifest, shell, reading)
    if statement:
        await queried.attach(store, statement)
    return queried


async def diff(
    store_at: StoreAt,
    settings: Settings,
    before: str = "",
    after: str = "",
    *,
    values: bool = False,
    tell: Listener = ignore,
) -> Rows[TableChange]:
    """What changed from one run (default: the one before) to another (default: the published run), in each dataset.

    values: compare the files' values as well.
    """
    before = before or await previous_run(store_at, settings, after)
    reader = open_reader() if values else None

    async def both(
        store: ObjectStore, own: Settings, old: ManifestDocument, new: ManifestDocument
    ) -> list[TableChange]:
        if reader is None:
            return compare(old, new)
        return await compare_values(
            store, await as_found(store, own, old), await as_found(store, own, new), reader, tell
        )

    async def of_one(store: ObjectStore, own: Settings) -> list[TableChange]:
        return await both(store, own, await read_manifest(store, own, before), await read_manifest(store, own, after))

    try:
        exports = await exports_at(trusting(store_at, replace(settings, newest_within=None)), settings)
        of_set = partial(compare_set, before=before, after=after, compare_both=both)
        return Rows(await exports.answer(of_one, of_set))
    finally:
        if reader:
            reader.close()


async def report(
    store_at: StoreAt, settings: Settings, run: str = "", since: str = "", *, drill: bool = False
) -> tuple[str, bytes]:
    """The run (default: the published run), and its report as HTML. since: with the changes since that run.

    drill: the evidence for an auditor instead: how the run was proven, and the checksums of its files.
    """
    name = run or settings.run_id
    exports = await exports_at(trusting(store_at, settings, name), settings)
    if drill:
        refuse_changes(since)
        return await exports.answer(partial(evidence_page, run=name), refuse_set)
    return await exports.answer(partial(report_page, run=name, since=since), partial(set_report, run=name, since=since))


async def set_report(at: SetAt, run: str, since: str) -> tuple[str, bytes]:
    """The run and its page: of the published set. Raises NotFoundError.

    Raises UsageError for another run: its datasets have reports.
    """
    published = await published_set(at)
    if since or run not in ("", published.run):
        cause = f"the report of a set shows the published run, {published.run}"
        hint = f"For other runs, and for changes: {name_a_dataset(at.settings, published.datasets[0].dataset)}"
        raise UsageError("report", f"run {run}" if run else f"changes since run {since}", cause, hint)
    await _refuse_damaged(at, published)
    locked = await _locked_until(at, published)
    return published.run, render_set(published, _absolute(at.settings.target), locked)


async def _refuse_damaged(at: SetAt, published: SetManifest) -> None:
    """Raise DocumentError for a manifest that cannot be read any more, whatever the set's own manifest says of it."""
    entries = [entry for entry in published.datasets if entry.manifest]
    infos = await gathered(at.store.stat, [entry.manifest for entry in entries], AT_ONCE)
    for entry, info in zip(entries, infos, strict=True):
        if info is None or info.generation != entry.manifest_generation:
            await read_if_complete(*at.export(entry.dataset)[:2], entry.run)


async def _locked_until(at: SetAt, manifest: SetManifest) -> int:
    """Until when every export of a locked set is locked, 0 where one is not."""
    if not manifest.locked:
        return 0
    names = [entry.manifest for entry in manifest.datasets if entry.manifest]
    infos = await gathered(at.store.stat, names, AT_ONCE)
    return min((info.locked_until if info else 0 for info in infos), default=0)


def _absolute(target: Target) -> Target:
    return replace(target, root=str(Path(target.folder).absolute())) if target.folder else target


async def evidence_page(store: ObjectStore, settings: Settings, run: str = "") -> tuple[str, bytes]:
    """The name of a run (default: the published run) and the page with the evidence about it.

    Raises NotFoundError.
    """
    name = run or (await read_manifest(store, settings)).run
    await read_manifest(store, settings, name)
    document = settings.layout.run(name).manifest
    content = await read(store, document)
    if content is None:
        raise pruned(name, "read")
    manifest = decode(content.data, document.type, document.name)
    address, check = _where(settings.target, document.name)
    digest = hashlib.sha256(content.data).hexdigest()
    via = {} if settings.target.bucket else {"via": "gs://BUCKET"}
    words = {"run": name, "project": manifest.project, **via}
    drill = Commands(str(_absolute(settings.target))).call("drill", words)
    stored = Stored(address, check, len(content.data), digest, content.generation, drill)
    signed, note = await _signatures(store, settings, name)
    drills, contents = await read_drills(store, settings.layout), contents_of(content.data, document.name)
    proof = await proof_of(store, settings.layout, contents, drills if signed is None else signed)
    at = int(time.time() * 1000)
    return name, render_evidence(manifest, stored._replace(signatures=note), drills, proof, at, signed)


async def _signatures(store: ObjectStore, settings: Settings, run: str) -> tuple[list[Drill] | None, str]:
    """The drills whose notes a trusted key has signed, None where none is demanded; the manifest's keys, in words.

    Where keys are trusted, only theirs: others may have been added by anybody, who names the key as well.
    """
    from bqdump.repository.signatures import signatures_there

    envelope, trusted = await signatures_there(store, settings.target, settings.layout.run(run)), open_trusted(settings)
    keys = ", ".join(
        signature.keyid
        for signature in (envelope.signatures if envelope else ())
        if not (envelope and trusted)
        or (signature.keyid in trusted.key_ids and trusted.has_signed(signature.sig, envelope.signed))
    )
    if trusted:
        drills = await signed_drills(store, settings.target, settings.layout, trusted)
        return drills, f"{keys or 'a key without its id'}: trusted"
    return None, f"{keys}: not checked, as no key was given to trust" if keys else "none"


async def refuse_set(at: SetAt) -> tuple[str, bytes]:
    """Raise UsageError: each dataset of a set has evidence of its own."""
    cause = f"this is a set of {counted(len(at.names), 'dataset')}, each with evidence of its own"
    raise UsageError("report", str(at.settings.target), cause, f"Name one: {name_a_dataset(at.settings, at.names[0])}")


def refuse_changes(since: str) -> None:
    """Raise UsageError if changes are requested as well."""
    if since:
        cause = "the evidence about a run has no changes since another one"
        raise UsageError("report", "", cause, "Leave one of them out.", setting="since")


def _where(target: Target, name: str) -> tuple[str, str]:
    """The address of an object, and the command that prints its SHA-256."""
    if target.folder:
        path = str(Path(target.folder).absolute() / name)
        return path, f"sha256sum {shlex.quote(path)}"
    address = target.uri(name)
    copied = {BUCKET: "gcloud storage cat {}", S3: "aws s3 cp {} -"}[target.scheme].format(shlex.quote(address))
    return address, f"{copied} | sha256sum"
