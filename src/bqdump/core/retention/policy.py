"""The retention policy: which runs it keeps, and by which rules, as restic's `forget` does.

A run is kept if any rule keeps it. The rules apply to the runs of each dataset separately, by snapshot time, in UTC.

Pruning runs by name: refused as a whole where a law keeps one of them, before anything is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from bqdump.core.errors import NotFoundError, UsageError
from bqdump.core.settings.resolve import refuse_to_keep_nothing
from bqdump.core.settings.settings import RETENTION, Settings
from bqdump.core.sizes import listed
from bqdump.core.times import DAY, days_text, time_of

if TYPE_CHECKING:
    from bqdump.core.retention.pruned import Pruned, RetainedRun

# A run with this tag is kept by every policy.
KEEP_TAG = "keep"
NOT_NAMED = "not named"
FUTURE = "snapshot time in the future"
NEWEST = "newest complete run"
TAGGED = f"tag {KEEP_TAG}"
HOUR = 3600


class Policy(Struct, frozen=True):
    """How many runs to keep of each kind; 0: the rule is off.

    last: the newest ones.
    hourly … yearly: the newest one of each of that many hours, days, weeks (ISO), months and years that have one.
    within: those at most this many seconds older than the newest one. within_daily …: of those that are at most this
        many seconds older, the newest one of each day ….
    tags: those with any of these tags.
    named: the only runs that are not kept, where a person names runs instead of rules; None for rules.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: int = 0
    within_daily: int = 0
    within_weekly: int = 0
    within_monthly: int = 0
    tags: tuple[str, ...] = ()
    named: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return any(structs.astuple(self))


class Snapshot(Struct, frozen=True):
    """A run as the policy sees it.

    dataset: project and dataset.
    taken: its snapshot time (ms).
    complete: not partial.
    always: why it is kept in any case, "" where only the policy decides.
    """

    run: str
    dataset: tuple[str, str]
    taken: int
    complete: bool = True
    tags: tuple[str, ...] = ()
    always: str = ""


# The name of each period, and the part of a time that is equal within it.
PERIODS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("hourly", lambda time: (time.date(), time.hour)),
    ("daily", lambda time: time.date()),
    ("weekly", lambda time: time.isocalendar()[:2]),
    ("monthly", lambda time: (time.year, time.month)),
    ("yearly", lambda time: time.year),
)


def policy_of(settings: Settings) -> Policy:
    """The policy in the settings. Raises UsageError for one that keeps nothing."""
    refuse_to_keep_nothing(settings)
    return Policy(
        settings.keep_last,
        settings.keep_hourly,
        settings.keep_daily,
        settings.keep_weekly,
        settings.keep_monthly,
        settings.keep_yearly,
        settings.keep_within or 0,
        settings.keep_within_daily or 0,
        settings.keep_within_weekly or 0,
        settings.keep_within_monthly or 0,
        settings.keep_tag,
    )


def policy_for(settings: Settings, runs: Collection[str]) -> Policy:
    """The policy in the settings, or the one that deletes these runs only. Both keep tags that the settings name.

    Raises UsageError for a policy that keeps nothing.
    """
    return Policy(tags=settings.keep_tag, named=frozenset(runs)) if runs else policy_of(settings)


def refuse_idle(names: Collection[str], settings: Settings) -> None:
    """Raise UsageError for rules that were given to a run which does not prune. names: the names of its arguments."""
    rules = [name for name in RETENTION if name in names]
    if rules and not settings.prune:
        cause = "it has no effect, because this run does not prune"
        raise UsageError("run", "", cause, "Add {setting:prune=True}, or leave it out.", setting=rules[0])


def refuse_short(settings: Settings, *, yes: bool) -> None:
    """Raise UsageError where a run would prune all but the runs of less than a day, unless that is confirmed."""
    policy = policy_of(settings) if settings.prune else Policy()
    counted = any((policy.last, policy.daily, policy.weekly, policy.monthly, policy.yearly))
    spans = {
        "keep_within": policy.within,
        "keep_within_daily": policy.within_daily,
        "keep_within_weekly": policy.within_weekly,
        "keep_within_monthly": policy.within_monthly,
        "keep_hourly": policy.hourly * HOUR,
    }
    if yes or counted or not 0 < max(spans.values()) < DAY:
        return
    rule, seconds = next((rule, seconds) for rule, seconds in spans.items() if seconds)
    kept = f"{{setting:{rule}={seconds // HOUR if rule == 'keep_hourly' else days_text(seconds)}}}"
    cause = f"{kept} keeps less than a day of runs, and all others would be deleted"
    hint = "Keep more, such as {setting:keep_daily=7}, or confirm it with {setting:yes=True}."
    raise UsageError("run", "", cause, hint, setting="prune")


def apply(policy: Policy, runs: Iterable[Snapshot], now: int) -> dict[str, tuple[str, ...]]:
    """Why each run is kept, by its name; nothing for runs that are not kept. now: in milliseconds since 1970 UTC.

    A partial run never takes the place of a complete one: the rules are applied to all runs and to the complete ones.
    The newest complete run of each dataset is kept by every policy.
    """
    groups: dict[tuple[str, str], list[Snapshot]] = {}
    reasons: dict[str, list[str]] = {}
    for run in sorted(runs, key=lambda snapshot: (snapshot.taken, snapshot.run), reverse=True):
        groups.setdefault(run.dataset, []).append(run)
        reasons[run.run] = [run.always] if run.always else []
    for group in groups.values():
        # One that a wrong or forged snapshot time puts first must not push out others.
        past = [snapshot for snapshot in group if snapshot.taken <= now]
        complete = [snapshot for snapshot in past if snapshot.complete]
        for run in (snapshot for snapshot in group if snapshot.taken > now):
            reasons[run.run].append(FUTURE)
        for run in past:
            reasons[run.run] += [TAGGED] if KEEP_TAG in run.tags else []
            reasons[run.run] += [f"tag {tag}" for tag in run.tags if tag in policy.tags and tag != KEEP_TAG]
            reasons[run.run] += [NOT_NAMED] if policy.named is not None and run.run not in policy.named else []
        newest = past[0].taken if past else 0
        by_period = (rule for some in (past, complete) for rule in _within_each(policy, some, newest))
        for kept in (_by_count(policy, past), _by_count(policy, complete), _within(policy, past), by_period):
            for name, why in kept:
                reasons[name].append(why)
        for run in complete[:1]:
            reasons[run.run] = reasons[run.run] or [NEWEST]
    return {run: tuple(dict.fromkeys(why)) for run, why in reasons.items()}


def _by_count(policy: Policy, runs: Sequence[Snapshot]) -> Iterable[tuple[str, str]]:
    """The runs that the counting rules keep, each with the rule. runs: the newest first."""
    for run in runs[: policy.last]:
        yield run.run, "last"
    for name, period in PERIODS:
        left, seen = getattr(policy, name), object()
        for run in runs:
            if left and (now := period(time_of(run.taken))) != seen:
                yield run.run, name
                left, seen = left - 1, now


def _within(policy: Policy, runs: Sequence[Snapshot]) -> Iterable[tuple[str, str]]:
    """Counted from the newest run, so that nothing is deleted for age alone once exports stop."""
    for run in runs:
        if policy.within and run.taken >= runs[0].taken - policy.within * 1000:
            yield run.run, f"within {days_text(policy.within)}"


def _within_each(policy: Policy, runs: Sequence[Snapshot], newest: int) -> Iterable[tuple[str, str]]:
    """The newest run of each day, week or month, of those that are near enough to the newest of all."""
    for name, period in PERIODS:
        seconds, seen = getattr(policy, f"within_{name}", 0), object()
        for run in runs:
            near = seconds and run.taken >= newest - seconds * 1000
            if near and (now := period(time_of(run.taken))) != seen:
                yield run.run, f"{name} within {days_text(seconds)}"
                seen = now


PRUNE = "prune"


def refuse_kept(runs: Collection[str], shown: Pruned) -> None:
    """Raise UsageError for a named run that stays, NotFoundError for one that does not exist. shown: a dry run."""
    for run in runs:
        lines = [line for line in shown.runs if line.run == run]
        if not lines:
            raise NotFoundError("find", f"run {run}", "there is none", "List the runs: {call:runs}")
        if kept := [line for line in lines if not line.removed and line.state != "pruning"]:
            why = listed(list(dict.fromkeys(reason for line in kept for reason in line.reasons)))
            where = f" in dataset {kept[0].dataset}" if len(lines) > 1 else ""
            raise UsageError(PRUNE, f"run {run}", f"it is kept{where}: {why}", _hint(kept[0]))


def _hint(kept: RetainedRun) -> str:
    if any(reason.startswith("tag ") for reason in kept.reasons):
        return "Nothing was deleted. Remove the tag first."
    if kept.state not in ("complete", "partial"):
        return "Nothing was deleted. An hour after it was stopped, this deletes it: {setting:abandoned_after=1h}"
    return "Nothing was deleted. Leave it out."
