"""bqdump check-service: tries on BigQuery and Cloud Storage what bqdump relies on."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import json_text, print_json, print_table, unwritten
from bqdump.cli.progress import following
from bqdump.cli.signals import Endings, until_stopped
from bqdump.cli.streams import tell
from bqdump.core.errors import UsageError
from bqdump.core.exit_codes import DIFFERENCE, DONE, UNEXPECTED
from bqdump.core.sizes import counted, size_text
from bqdump.services.opened import Services, serve
from bqdump_claims.result import ServiceCheck, TriedClaim, Verdict
from bqdump_claims.run import Proposal, chosen
from bqdump_claims.run import check_service as try_claims
from bqdump_claims.run import propose as propose_check

# Of a cell; --json has the complete text.
WIDEST = 100


@click.command("check-service", cls=Command, needs=("project", "bucket"))
@click.option("--claims", multiple=True, metavar="PATTERN", help="Try only claims with matching ids, such as 'csv.*'.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the result as JSON to a file. It names no project, bucket or account.",
)
@click.option("--yes", is_flag=True, help="Do not ask before anything is created. [BQDUMP_YES]", envvar="BQDUMP_YES")
@json_option(ServiceCheck)
@quiet_option
@settings_options("location", "kms_key")
def check_service(
    claims: tuple[str, ...], output: Path | None, yes: bool, as_json: bool, quiet: bool, **options: Any
) -> int:
    """Test what bqdump relies on against BigQuery and Cloud Storage.

    Creates a scratch dataset in the project and files below _bqdump-check/ in the bucket, tries each claim of the
    documentation that is not confirmed, and deletes both. Exits with 4 if a service differs from a claim.

    \b
    Examples:
      bqdump check-service --project my-sandbox --bucket my-scratch
      bqdump check-service --project my-sandbox --bucket my-scratch --yes --output confirmed.json
    """
    settings = load_settings(options, ("project", "bucket"))
    selected = chosen(claims)
    _check_output(output)

    def propose(services: Services) -> Awaitable[Proposal]:
        return propose_check(verbs.ports_of(services), settings, selected)

    proposal = finish(serve(settings, propose))
    if not (yes or _agreed(proposal)):
        tell("Nothing was created.")
        return UNEXPECTED

    def show(claim: TriedClaim) -> None:
        if not quiet and sys.stderr.isatty():
            tell(f"{claim.verdict.value:<10} {claim.id}")

    work = serve(settings, lambda services: try_claims(verbs.ports_of(services), proposal, show))
    with following(quiet=True) as follower:
        result = finish(until_stopped(work, follower, _stopped(proposal)))
    if output:
        _write(output, f"{json_text(result)}\n")
    if as_json:
        print_json(result)
    else:
        _print(result, quiet=quiet)
    return DIFFERENCE if result.by_verdict(Verdict.DIFFERENT) else DONE


def _stopped(proposal: Proposal) -> Endings:
    """What to say after the first signal, when the scratch dataset is deleted, and after a second one."""
    place = proposal.place
    return Endings(
        "What the check created is deleted, except what a line above names.",
        f"Not deleted:\nbq rm -r -f -d {place.dataset.project}:{place.dataset.name}\n"
        f"gcloud storage rm --recursive {place.target.uri(place.folder)}",
    )


def _check_output(output: Path | None) -> None:
    """Refuse a file that cannot be written before anything is billed. Raises UsageError."""
    if output and not output.absolute().parent.is_dir():
        raise UsageError("write", str(output), "there is no such folder")


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritten(output, error) from None


def _agreed(proposal: Proposal) -> bool:
    """Whether the person at the terminal agrees. Raises UsageError without a terminal."""
    place = proposal.place
    tell(
        f"To be created in {place.dataset.location}, and deleted at the end:\n"
        f"  dataset {place.dataset.project}.{place.dataset.name}, whose tables expire after a day\n"
        f"  objects below {place.target.uri(place.folder)}\n"
        f"{counted(len(proposal.claims), 'claim')}. Expected bill: {size_text(proposal.bytes_billed)} of queries at "
        "most, and some kilobytes of storage for some minutes."
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        cause = "cannot ask whether to create it: standard input is not a terminal"
        raise UsageError("check the service", "", cause, "To create it without being asked, add --yes.")
    return click.confirm("Continue?", err=True)


def _print(result: ServiceCheck, *, quiet: bool) -> None:
    shown = [claim for claim in result.claims if not quiet or claim.verdict is Verdict.DIFFERENT]
    if shown:
        print_table(
            ("verdict", "claim", "observed"), [(claim.verdict.value, claim.id, _observed(claim)) for claim in shown]
        )
    for claim in result.by_verdict(Verdict.DIFFERENT):
        sys.stdout.write(f"\n{claim.id}: {claim.claim} (docs/{claim.page})\n")
        for word, text in claim.expected.items():
            if claim.observed.get(word) != text:
                sys.stdout.write(f"  {word}: expected {text!r}, observed {claim.observed.get(word, 'nothing')!r}\n")
        if error := claim.observed.get("error"):
            sys.stdout.write(f"  {error}\n")
    counts = ", ".join(f"{len(some):,} {verdict.value}" for verdict in Verdict if (some := result.by_verdict(verdict)))
    who = "BigQuery and Cloud Storage" if result.google else "stand-ins, not Google Cloud"
    sys.stdout.write(f"\n{counts}, by {who} in {result.location}, {result.seconds:,.0f} s.\n")


def _observed(claim: TriedClaim) -> str:
    """What was observed, on one line."""
    if claim.why:
        return claim.why
    text = "; ".join(f"{word}: {_visible(form)}" for word, form in claim.observed.items())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _visible(text: str) -> str:
    """A text on one line."""
    return text if text.isprintable() else repr(text)[1:-1]
