"""From flags, environment, bqdump.toml and keyword arguments to Settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bqdump.core.documents.path_template import parse_template
from bqdump.core.documents.run import Plan
from bqdump.core.documents.sets import SetPlan
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.formats.formats import FORMATS
from bqdump.core.settings.settings import BY_NAME, REQUIRED, RETENTION, RULES, SETTINGS, Setting, Settings
from bqdump.core.settings.target import BUCKET, Target
from bqdump.core.settings.values import SecretValueError
from bqdump.core.sizes import listed
from bqdump.core.tables.patterns import NO_LABELS, is_label, select
from bqdump.core.wording import close_name

READ = "read the settings"
# With an empty value, a command would check less, delete more or bill more than intended.
NEVER_EMPTY = ("sign", "trust", "newest_within", "max_bytes_billed", *RETENTION)
BLANK = "Leave it out, or give it a value. Perhaps a variable is not set."
LONGEST_SHOWN = 120


# Names of settings, or what makes them of the target.
Required = Sequence[str] | Callable[[Target], Sequence[str]]


class MissingError(UsageError):
    """Nothing gives a setting that the command cannot do without."""


class Source(Struct, frozen=True):
    """Values of settings by name, as they were given in one place, and what a setting is called there."""

    values: Mapping[str, Any]
    place: Callable[[Setting], str]


def flags(values: Mapping[str, Any]) -> Source:
    """The flags of a command; None: not given."""
    return Source(values, lambda setting: setting.flag)


def environment(environ: Mapping[str, str]) -> Source:
    """The environment."""
    values = {setting.name: environ[setting.env] for setting in SETTINGS if setting.env in environ}
    return Source(values, lambda setting: setting.env)


def file(values: Mapping[str, Any], name: str) -> Source:
    """A settings file of this name. Its table [retention] holds settings of prune.

    Raises UsageError for a key that is not a setting, or in the wrong place.
    """
    values, retention = dict(values), values.get("retention", {})
    values.pop("retention", None)
    _refuse_unknown(values, name)
    _refuse_retention(values, retention, name)

    def place(setting: Setting) -> str:
        return f"{name}: {f'retention.{setting.name}' if setting.name in retention else setting.name}"

    return Source(values | dict(retention), place)


def arguments(values: Mapping[str, Any]) -> Source:
    """Keyword arguments of the Python API. Raises UsageError for one that is not a setting."""
    _refuse_unknown(values, "")
    return Source(values, lambda setting: setting.name)


def _refuse_retention(values: Mapping[str, Any], retention: Any, name: str) -> None:
    """Raise UsageError where the table [retention] is none, or holds what does not belong there."""
    place = f"{name}: retention"
    if not isinstance(retention, Mapping):
        raise UsageError(READ, place, "expected a table", f"For example: [retention] with {RETENTION[0]} = 7.")
    for key in retention:
        if key not in RETENTION:
            close = close_name(key, RETENTION)
            hint = f"Did you mean {close!r}?" if close else f"Known settings: {', '.join(RETENTION)}."
            if key in BY_NAME:
                hint = "Write it above [retention]: what follows a section belongs to it."
            raise UsageError(READ, place, f"unknown setting {key!r}", hint)
        if key in values:
            cause = f"{key} is also set outside the table"
            raise UsageError(READ, place, cause, "Remove one of them.")


def _refuse_unknown(values: Mapping[str, Any], place: str) -> None:
    unknown = next((key for key in values if key not in BY_NAME), None)
    if unknown is None:
        return
    plain = unknown.removeprefix("BQDUMP_").lower()
    by_variable = {setting.env: setting.name for setting in SETTINGS}
    if isinstance(values[unknown], Mapping):
        close = close_name(plain, ("retention", "tables"))
        sections = "Settings are written without a section, except for [retention] and [tables.NAME]."
        hint = f"Did you mean [{close}]?" if close else sections
    elif close := by_variable.get(unknown) or close_name(plain, BY_NAME):
        hint = f"Did you mean {close!r}?"
    else:
        hint = "All settings: bqdump help settings"
    raise UsageError(READ, place, f"unknown setting {unknown!r}", hint)


def places(*sources: Source) -> dict[str, str]:
    """Where each setting was given."""
    pairs = ((setting, source) for source in reversed(sources) for setting in SETTINGS)
    return {
        setting.name: source.place(setting) for setting, source in pairs if source.values.get(setting.name) is not None
    }


class Given(Struct, frozen=True):
    """A parsed value, and where it was given: the number of its source, and the setting's name there."""

    value: Any
    rank: int
    place: str


def required_to_check(target: Target) -> tuple[str, ...]:
    """What a check of permissions cannot do without. A place of copies takes none of an export."""
    return ("bucket",) if target.holds_copies else REQUIRED


def resolve(*sources: Source, required: Required = REQUIRED) -> Settings:
    """The settings of one export. A source takes precedence over those after it; so does its target.

    required: settings that the command cannot do without, also by its target; "bucket" stands for any target.
    Raises UsageError, naming the setting and the place it came from.
    """
    settings = given_settings(*sources)
    target = _target(settings)
    present = {name for name, value in settings.items() if value.value} | ({"bucket"} if target.root else set())
    needed = required(target) if callable(required) else required
    if missing := [name for name in needed if name not in present]:
        names = [f"{{required:{name}}}" for name in missing]
        raise MissingError(READ, "", f"missing: {listed(names, 'and')}")
    values = {name: value.value for name, value in settings.items() if name not in ("to", "bucket", "prefix")}
    try:
        return check(Settings(**{"project": "", "dataset": "", **values, "target": target}))
    except UsageError as error:
        error.place = settings[error.setting].place if error.setting in settings else ""
        raise


def given_settings(*sources: Source) -> dict[str, Given]:
    """Every setting that was given, from the first source that has it. Raises UsageError for a wrong value."""
    settings = {}
    for setting in SETTINGS:
        ranked = ((rank, source) for rank, source in enumerate(sources) if source.values.get(setting.name) is not None)
        for rank, source in ranked:
            value, place = source.values[setting.name], source.place(setting)
            settings[setting.name] = Given(parsed(setting, value, place), rank, place)
            break
    return settings


QUOTED = r"(?s)(['\"]).*\1"


def parsed(setting: Setting, value: Any, place: str) -> Any:
    """The value that a setting has in the end. Raises UsageError."""
    if is_blank(value) and setting.name in (*NEVER_EMPTY, *REQUIRED):
        raise UsageError(READ, "", "empty value", BLANK, setting=setting.name, place=place)
    try:
        return setting.parse(value)
    except ValueError as error:
        key, _, problem = str(error).partition(": ")
        if isinstance(value, Mapping) and key.startswith(f"{setting.name}."):
            # A section of the file, of which one key is wrong.
            place = f"{place.removesuffix(setting.name)}{key}"
            raise UsageError(READ, "", problem, setting=setting.name, place=place) from None
        shown = "" if isinstance(error, SecretValueError) else f" {_shown(value)}"
        cause = str(error) if shown and str(error).startswith(f"{value!r} ") else f"invalid value{shown}: {error}"
        quoted = isinstance(value, str) and re.fullmatch(QUOTED, value.strip())
        hint = "Leave out the quotes: what sets it takes them as part of the value." if quoted else ""
        raise UsageError(READ, "", cause, hint, setting=setting.name, place=place) from None


def is_blank(value: Any) -> bool:
    """Whether a string has no value, nor one of a list."""
    return isinstance(value, str) and not value.strip(" ,")


def _shown(value: Any) -> str:
    """A value for a sentence, truncated where it would dominate it."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _target(settings: Mapping[str, Given]) -> Target:
    """The target of the first source that names one. Raises UsageError where a source names two."""
    nothing = Given(None, len(settings), "")
    to, bucket, prefix = (
        value if (value := settings.get(name, nothing)).value else nothing for name in ("to", "bucket", "prefix")
    )
    folder = prefix.value or ""
    if to.value and bucket.value and to.rank == bucket.rank:
        cause = f"two targets are given: {to.value} and bucket {bucket.value}"
        raise UsageError(READ, "", cause, "Remove one of them.", setting="to", place=to.place)
    if not to.value or (bucket.value and bucket.rank < to.rank):
        return Target(BUCKET, bucket.value or "", folder)
    own = to.value.prefix
    if own and folder and to.rank == prefix.rank:
        cause = f"{to.value} has a prefix, and {prefix.place} gives another one"
        raise UsageError(READ, "", cause, "Remove one of them.", setting="to", place=to.place)
    return Target(to.value.scheme, to.value.root, own if own and to.rank < prefix.rank else folder or own)


def check(settings: Settings) -> Settings:
    """The same settings, after the checks that involve several of them. Raises UsageError."""
    codecs = FORMATS[settings.format].codecs
    if settings.compression not in codecs:
        cause, hint = f"{settings.compression!r} is not a codec of {settings.format}", f"Expected {listed(codecs)}."
        raise UsageError(READ, "", cause, hint, setting="compression")
    by_partition = parse_template(settings.path).by_partition
    sections = [section.name for section in settings.tables if section.partitions_min_bytes is not None]
    if sections and not by_partition:
        cause = f"[tables.{sections[0]}] has partitions_min_bytes, and {settings.path} has no {{partition}}"
        raise UsageError(READ, "", cause, "Add {partition} to the path, or remove it.", setting="path")
    if by_partition and settings.names_several:
        cause = (
            "{partition} and several datasets exclude each other: their snapshot time is taken before anything is "
            "known about their partitions, so each partition would take a billed query"
        )
        hint = "Remove {partition}, or export a dataset with large partitioned tables by itself."
        raise UsageError(READ, "", cause, hint, setting="path")
    single = settings.dataset and not settings.names_several
    if single and (labels := [pattern for pattern in settings.exclude_datasets if is_label(pattern)]):
        cause = f"{labels[0]} leaves out datasets of several, and {settings.dataset} is one"
        raise UsageError(READ, "", cause, "Remove it.", setting="exclude_datasets")
    if single and not all(select([settings.dataset], (), settings.exclude_datasets, NO_LABELS)):
        raise UsageError(READ, "", f"it leaves out the only dataset, {settings.dataset}", setting="exclude_datasets")
    if settings.delimiter in settings.null_marker:
        cause = f"{settings.null_marker!r} contains the delimiter {settings.delimiter!r}"
        raise UsageError(READ, "", cause, "Use another marker or another delimiter.", setting="null_marker")
    if settings.prune:
        refuse_to_keep_nothing(settings, setting="prune")
    formats = _formats(settings)
    for name, format_, word in (("null_marker", "csv", "CSV"), ("row_group_rows", "parquet", "Parquet")):
        if getattr(settings, name) and format_ not in formats:
            cause = f"only valid for {word}, and no table is exported as {word}"
            raise UsageError(READ, "", cause, f"Remove it, or use {{setting:format={format_}}}.", setting=name)
    if settings.iceberg and (other_formats := sorted(formats - {"parquet"})):
        cause = f"Iceberg tables consist of Parquet files, and tables are exported as {listed(other_formats, 'and')}"
        raise UsageError(READ, "", cause, "Use {setting:format=parquet} for all tables.", setting="iceberg")
    return settings


def _formats(settings: Settings) -> set[str]:
    """The formats that tables may be exported in."""
    sections = [section for section in settings.tables if section.format]
    every = any(section.name == "*" for section in sections)
    return {section.format for section in sections} | (set() if every else {settings.format})


def refuse_to_keep_nothing(settings: Settings, setting: str = "") -> None:
    """Raise UsageError, about this setting, where no rule says which runs prune keeps."""
    if not any(getattr(settings, rule) for rule in RULES):
        cause = "no rule says which runs to keep, so nearly all of them would be deleted"
        hint = "Set at least one, such as {setting:keep_daily=7}."
        raise UsageError("prune", "", cause, hint, setting=setting)


def refuse_other_settings(settings: Settings, plan: Plan | SetPlan) -> None:
    """Raise UsageError where a run was planned with other settings than these."""
    frozen = settings.frozen()
    if plan.digest != settings.digest() or plan.settings != frozen:
        names = sorted(name for name in frozen if frozen[name] != plan.settings.get(name))
        cause = f"it was planned with other settings ({', '.join(names) or 'of another release'})"
        raise UsageError(PLAN, f"run {plan.run}", cause, "Use the same settings, or another run id.")
