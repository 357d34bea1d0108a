"""Errors in the words of the command line: `bqdump: <what>: <cause>. <fix>`, for all errors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from bqdump.cli import command
from bqdump.core.errors import BqdumpError
from bqdump.core.settings.settings import BY_NAME, Setting
from bqdump.core.sizes import listed
from bqdump.core.wording import Arguments, Commands, Words, close_name, fill


class Flags(Commands):
    """Also where settings were given, and commands with the flags of this invocation, so that they work as printed.

    places: by setting: a flag, a variable or a key of a file.
    typed: the flags that were given, by name.
    """

    def __init__(self, places: Mapping[str, str], typed: Mapping[str, Any]) -> None:
        super().__init__()
        self._places, self._typed = places, typed

    def place(self, name: str) -> str:
        """See Words."""
        return self._places.get(name) or self.setting(name, "")

    def required(self, name: str) -> str:
        """See Words."""
        return f"{self.setting(name, '')} ({BY_NAME[name].env})"

    def call(self, verb: str, arguments: Arguments) -> str:
        """See Words. With those flags of this invocation that the command takes, except those that may be secrets.

        Those that can be repeated are added to the command's own. A command that names its dataset has all that it
        needs: see core.settings.file.resume_call. So has one that names another place.
        """
        whole = "dataset" in arguments or "dest" in arguments
        taken = _options_of(verb).difference(SECRET) if self._typed and not whole else set()
        typed = {
            name: value
            for name, value in self._typed.items()
            if name in taken and (name not in arguments or isinstance(value, tuple))
        }
        return " ".join(
            [super().call(verb, arguments), *(word for option in typed.items() for word in flag_words(*option))]
        )


def _options_of(verb: str) -> set[str | None]:
    """The names of the options that a command takes."""
    group, _, name = verb.partition(".")
    found = command(group)
    if isinstance(found, click.Group):
        found = found.commands[name]
    return {parameter.name for parameter in found.params if isinstance(parameter, click.Option)}


def flag_words(name: str, value: Any) -> list[str]:
    """An option as it would be typed in a shell."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    values = value if isinstance(value, tuple) else (value,)
    return [word for item in values for word in (f"--{flag}", shlex.quote(str(item)))]


# More commands than these are not listed as those that take an option.
FEW_COMMANDS = 5

# A flag whose value may be a secret, such as the address of a webhook: it is never printed.
SECRET = ("notify", "ping")
# Commands whose argument is a run.
NAMING_RUNS = ("status", "ls", "verify", "report", "sql", "restore", "drill", "prune")
# Commands on what is exported, whose dataset is known.
READING = (*NAMING_RUNS, "runs", "diff", "copy", "erase", "restores", "ui")
OF_THE_EXPORT = "The dataset is that of the export; of several, one is named by its folder: --prefix DATASET."
TASKS = (
    "A task is a process: its number and their count are environment variables (docs/deploy.md). "
    "On the local stack: bqdump local execute --tasks N"
)
# What people type who know other tools, by option and command; "": any command.
HABITS = {
    ("--dry-run", "run"): "`bqdump plan` shows what a run would do.",
    ("--dry-run", "prune"): "Without --yes, prune only shows what it would delete.",
    ("--dry-run", "restore"): "--plan shows what would be restored.",
    ("--dry-run", "drill"): "--plan shows what would be restored.",
    ("--keep", "prune"): "Did you mean --keep-last or --keep-daily?",
    ("--keep", "run"): "Did you mean --keep-last or --keep-daily, with --prune?",
    (
        "--keep",
        "init",
    ): "Did you mean --keep-last or --keep-daily? Every run keeps its files, unless --path has no {run}.",
    ("--into", "drill"): "A drill makes a dataset of its own; --scratch-project names its project.",
    ("--force", "restore"): "Did you mean --replace?",
    ("--output", "run"): "Did you mean --to?",
    **{(flag, "bqdump"): "Did you mean `bqdump --version`?" for flag in ("-V", "-v", "--v")},
    ("--tasks", "run"): TASKS,
    ("--parallelism", "run"): TASKS,
    **dict.fromkeys((("--table", ""), ("--table-name", "")), "Did you mean --include?"),
    **dict.fromkeys((("-l", "restore"), ("--list", "restore")), "`bqdump ls` lists what a run holds."),
    **dict.fromkeys((("--repo", "init"), ("-r", "init")), "Did you mean --to?"),
    **{("--run", verb): f"A run is named without a flag: bqdump {verb} RUN" for verb in NAMING_RUNS},
    **{("--run-id", verb): f"A run is named without a flag: bqdump {verb} RUN" for verb in NAMING_RUNS},
    **dict.fromkeys(
        (("--where", ""), ("--columns", ""), ("--filter", ""), ("--fields", ""), ("--query", "run")),
        "Columns and rows are chosen in bqdump.toml: [tables.NAME] with columns and where.",
    ),
    **dict.fromkeys((("--mask", ""), ("--masks", "")), "Masks are set in bqdump.toml: [tables.NAME] with masks."),
    **dict.fromkeys(
        (("--credentials", ""), ("--key-file", ""), ("--account", "")),
        "Credentials are Google's: `gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS.",
    ),
    **{("--dataset", verb): OF_THE_EXPORT for verb in READING if verb != "restore"},
    ("--format", "sql"): "Did you mean --csv or --json?",
    ("--host", "ui"): "It serves this machine only; from another one: ssh -L 8080:127.0.0.1:8080 HOST.",
    ("--fix", "doctor"): "It prints the commands that fix what it finds.",
    ("--from", "copy"): "What is copied is named as in every command, with --bucket, --prefix or --to.",
    ("--source", "copy"): "What is copied is named as in every command, with --bucket, --prefix or --to.",
    ("--dest", "copy"): "The destination is named without a flag: bqdump copy DEST",
    ("--from-vault", "drill"): "Name the copy, and the key to trust: bqdump drill --to gs://VAULT --trust KEYFILE",
}

# Flags of similar tools, and those that do the same here: the first that the command takes.
SAME = {
    ("--include",): "-t --table --tables --select -s --models -m --only",
    ("--exclude",): "-T --exclude-table --exclude-tables --ignore",
    ("--into", "--dataset"): "-d -n --dbname --db --database --schema --source-dataset --target-dataset --dataset-id",
    ("--into", "--to"): "--target --destination --dest --dataset",
    ("--watch", "--output", "--to", "--force"): "-f",
    ("--output", "--to"): "--file --output -o --out --html --repo -r --repository",
    ("--project",): "--project-id -p",
    ("--bucket",): "--destination-bucket -b",
    ("--concurrency",): "-j --jobs --parallel --threads --workers --transfers",
    ("--replace", "--yes"): "--clean -c --overwrite --delete --if-exists --force",
    ("--yes",): "-y --confirm --apply --no-dry-run",
    ("--format",): "-F --destination-format --output-format --file-format",
    ("--no-incremental", "--read"): "--full --full-refresh --deep --read-data --check-data",
    ("--watch",): "--follow --wait --tail",
    ("--command",): "-q --query --execute -e --sql --statement",
    ("--verbose",): "--log-level --debug --trace",
    ("--allow-partial",): "--allow-failures --ignore-errors --keep-going --continue-on-error",
    ("--keep-within",): "--older-than --max-age --retention --expire",
}
MEANT = {flag: known for known, flags in SAME.items() for flag in flags.split()}

# Arguments that were a comment in a pasted line.
COMMENT = r"^'#|\((?:[^ ]+ )*#"
NO_COMMENT = "zsh takes no '#' at its prompt as a comment: leave it out, or run first: setopt interactive_comments"
BY_PATTERN = "Tables are chosen with --include."
UNKNOWN = r"No such command '(.*?)'"
# How click says that a number is too small or too large.
RANGE = r"(\S+) is not in the range ([0-9]+)<=x<=([0-9]+)\.?"

_places: dict[str, str] = {}
_typed: dict[str, Any] = {}


def remember(places: Mapping[str, str], typed: Mapping[str, Any]) -> None:
    """Take note of where the settings of this invocation were given, and of its flags, for what it prints."""
    _places.clear()
    _places.update(places)
    _typed.clear()
    _typed.update(typed)


def forget() -> None:
    """Take no note of an earlier invocation in this process."""
    remember({}, {})


def words() -> Words:
    """The words of this invocation."""
    return Flags(_places, _typed)


def described(setting: Setting) -> str:
    """What a setting means."""
    return fill(setting.help, Flags({}, {}))


def sentence(error: BaseException) -> str:
    """An error in one sentence."""
    if isinstance(error, BqdumpError):
        return error.sentence(words())
    return _of_the_parser(error) if isinstance(error, click.ClickException) else str(error)


def _of_the_parser(error: click.ClickException) -> str:
    """What click found wrong with the arguments."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    fix = f"`{context.command_path} --help` shows what is possible." if context else ""
    what, cause = "", error.format_message()
    if isinstance(error, click.NoSuchOption):
        what, cause, fix = error.option_name, "unknown option", _instead_of(error, context) or fix
    elif isinstance(error, click.MissingParameter):
        what, cause = _name(error.param), "missing"
        if meaning := getattr(error.param, "help", ""):
            cause = f"missing: {meaning[:1].lower()}{meaning[1:]}"
    elif isinstance(error, click.BadParameter):
        what, (cause, meant) = _name(error.param), _of_a_value(error, context)
        fix = meant or fix
    elif isinstance(error, click.BadOptionUsage):
        what, cause = error.option_name, error.message.replace(f"Option {error.option_name!r} ", "")
        if "given twice" in cause:
            fix = (
                f"Separate several by commas, such as {what} sales,ops."
                if what == "--dataset"
                else "Write one of them."
            )
        fix = f"Write {what} alone, or --no-{what[2:]}." if "does not take a value" in cause else fix
    elif context and cause.startswith("Got unexpected extra") and re.search(COMMENT, cause):
        fix = NO_COMMENT
    elif context and (extra := re.match(r"Got unexpected extra arguments? \((\S*)", cause)):
        fix = _instead_of_argument(extra[1], context) + fix
    elif context and isinstance(context.command, click.Group) and (unknown := re.match(UNKNOWN, cause)):
        known = context.command.list_commands(context)
        close = close_name(unknown[1], known)
        what, cause = unknown[1], "unknown command"
        fix = f"Did you mean `{context.command_path} {close}`?" if close else f"Its commands: {', '.join(known)}."
    cause = cause[:1].lower() + cause[1:].rstrip(".")
    return f"{what and f'{what}: '}{cause}. {fix}".rstrip()


def _of_a_value(error: click.BadParameter, context: click.Context | None) -> tuple[str, str]:
    """What is wrong with a value, and what was probably meant, "" where that is not known."""
    cause = re.sub("a valid integer( range)?", "a whole number", error.message)
    if isinstance(error.param, click.Argument) and re.search(COMMENT, cause):
        return cause, NO_COMMENT
    if outside := re.fullmatch(RANGE, cause):
        return f"{outside[1]} is not a whole number from {outside[2]} to {outside[3]}", ""
    by_name = _name(error.param) == "--tables" and context and _takes(context.command, "--include")
    return cause, BY_PATTERN if by_name else ""


def _instead_of_argument(word: str, context: click.Context) -> str:
    """What was probably meant by an argument too many: a flag without its hyphens, or with dashes in their place."""
    flag = f"--{word.lstrip('-–—').partition('=')[0].rstrip(')')}"
    if _takes(context.command, flag):
        return f"Did you mean {flag}? "
    if "dataset" in context.params:
        return "A setting is given with its flag, such as --dataset sales, and a value with a space in quotes. "
    return f"{BY_PATTERN} " if _takes(context.command, "--include") else ""


def _instead_of(error: click.NoSuchOption, context: click.Context | None) -> str:
    """What was probably meant by an option that the command does not have, "" where that is not known."""
    flag, command = error.option_name.replace("_", "-"), (context.info_name if context else "") or ""
    for meant in (flag, f"-{flag}"):
        if context and _takes(context.command, meant):
            return f"Did you mean {meant}?"
    if habit := HABITS.get((flag, command)) or HABITS.get((flag, "")):
        return habit
    if command == "bqdump":
        return f"Options follow the command: bqdump run {flag} …"
    if same := [known for known in MEANT.get(flag, ()) if context and _takes(context.command, known)]:
        return f"Did you mean {same[0]}?"
    if context and context.parent and _takes(context.parent.command, flag):
        group, _, name = context.command_path.rpartition(" ")
        return f"{flag} precedes the command: {group} {flag} … {name}"
    if commands := _commands_with(flag, context):
        return f"It is an option of {listed(commands, 'and')}." if len(commands) <= FEW_COMMANDS else ""
    nearest = _nearest(flag, error.possibilities or ())
    return f"Did you mean {nearest}?" if nearest else ""


def _nearest(flag: str, flags: Sequence[str]) -> str:
    """The flag that was probably meant, "" for none. The dashes that all flags share do not make two alike."""
    words = {known.lstrip("-"): known for known in flags}
    return words.get(close_name(flag.lstrip("-"), words), "")


def _commands_with(flag: str, context: click.Context | None) -> list[str]:
    """The other commands that take this flag."""
    group = context.find_root().command if context else None
    if not isinstance(group, click.Group) or not context:
        return []
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return [f"bqdump {name}" for name, command in commands.items() if command and _takes(command, flag)]


def _takes(command: click.Command, flag: str) -> bool:
    return any(flag in (*parameter.opts, *parameter.secondary_opts) for parameter in command.params)


def _name(parameter: click.Parameter | None) -> str:
    if isinstance(parameter, click.Option):
        return parameter.opts[0]
    return parameter.human_readable_name if parameter else ""
