"""How a message names settings and commands, so that each front end shows them in its own words.

Messages contain placeholders: `{setting:exclude}`, `{setting:allow=skipped}`, `{setting:replace=True}`,
`{required:dataset}`, `{call:run run_id=nightly}`. In those of commands, values are quoted as in an address, and a
switch is its name alone: `{call:run path=%7Brun%7D/* incremental no_header}`. A command of a group, which Python
does not have, is written `{call:render.iam}`.

The name that was probably meant by a misspelt one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from urllib.parse import quote, unquote

SETTING = r"\{setting:([a-z_]+)(?:=([^{}]*))?\}"
REQUIRED = r"\{required:([a-z_]+)\}"
CALL = r"\{call:([a-z]+(?:\.[a-z]+)?)((?: [a-z_]+(?:=[^ {}]*)?)*)\}"
OFF = "no_"
PLACES = {"to", "bucket"}
Arguments = Mapping[str, str | bool]


class Words:
    """The words of Python: settings are keyword arguments, which are also the keys of bqdump.toml.

    A name that is a keyword of Python ends with an underscore.
    """

    def place(self, name: str) -> str:
        """Where a setting was given."""
        return self.setting(name, "")

    def setting(self, name: str, value: str) -> str:
        """A setting to use, with this value ("": any). "True" turns a switch on."""
        shown = value if value.isdecimal() or value == "True" else repr(value)
        return f"{name}={shown}" if value else name

    def required(self, name: str) -> str:
        """A setting that must be given, with every way to do so."""
        return name

    def within(self, call: str) -> str:
        """A command within a sentence, so that it is seen where it ends."""
        return call

    def call(self, verb: str, arguments: Arguments) -> str:
        """A command to run."""
        if "." in verb:
            return f"`{COMMANDS.call(verb, arguments)}`"
        return f"bqdump.{verb}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


class Commands(Words):
    """The words of the command line: settings are flags. Also those of stored text, pages and notices.

    place: where commands work that do not name a place, "" for that of the settings.
    """

    def __init__(self, place: str = "") -> None:
        self._place = place.rstrip("/")

    def setting(self, name: str, value: str) -> str:
        """See Words."""
        flag = "--" + name.rstrip("_").replace("_", "-")
        return f"{flag} {value}" if value not in ("", "True") else flag

    def required(self, name: str) -> str:
        """See Words."""
        return self.setting(name, "")

    def within(self, call: str) -> str:
        """See Words."""
        return f"`{call}`"

    def call(self, verb: str, arguments: Arguments) -> str:
        """See Words: as a shell takes it. Commands take the name of a run without a flag."""
        if self._place and not PLACES & arguments.keys():
            arguments = {**arguments, "to": self._place}
        words = (self._argument(name, value) for name, value in arguments.items())
        return " ".join(["bqdump", *verb.split("."), *words])

    def _argument(self, name: str, value: str | bool) -> str:
        if isinstance(value, str):
            return shlex.quote(value) if name in ("run", "table", "dest") else self.setting(name, shlex.quote(value))
        return self.setting(name if value else f"{OFF}{name}", "")


class Unfilled(Words):
    """Leaves the placeholders as they are, for a stored message that another process shows."""

    def place(self, name: str) -> str:
        """See Words."""
        return self.setting(name, "")

    def setting(self, name: str, value: str) -> str:
        """See Words."""
        return f"{{setting:{name}={value}}}" if value else f"{{setting:{name}}}"

    def required(self, name: str) -> str:
        """See Words."""
        return f"{{required:{name}}}"

    def call(self, verb: str, arguments: Arguments) -> str:
        """See Words."""
        return placeholder(verb, arguments)


PYTHON, COMMANDS, UNFILLED = Words(), Commands(), Unfilled()


def fill(message: str, words: Words = PYTHON) -> str:
    """The message with its placeholders in these words. A command stands at the end of a line, or is delimited."""
    if "{" not in message:
        return message
    message = re.sub(REQUIRED, lambda match: words.required(match[1]), message)
    message = re.sub(SETTING, lambda match: words.setting(match[1], match[2] or ""), message)

    def call(match: re.Match[str]) -> str:
        command, rest = words.call(match[1], _arguments(match[2])), match.string[match.end() :]
        return words.within(command) if rest and not rest.startswith("\n") else command

    return re.sub(CALL, call, message)


def placeholder(verb: str, arguments: Arguments) -> str:
    """The placeholder of a command with these arguments."""
    words = [verb]
    for name, value in arguments.items():
        if isinstance(value, str):
            words.append(f"{name}={quote(value, safe='/,:*')}")
        else:
            words.append(name if value else f"{OFF}{name}")
    return f"{{call:{' '.join(words)}}}"


def _arguments(text: str) -> dict[str, str | bool]:
    arguments: dict[str, str | bool] = {}
    for word in text.split():
        name, has_value, value = word.partition("=")
        arguments[name if has_value else name.removeprefix(OFF)] = (
            unquote(value) if has_value else not name.startswith(OFF)
        )
    return arguments


def close_name(name: str, known: Collection[str]) -> str:
    """The known name that is most like this one, "" if none is; case does not count."""
    # Imported where it is needed only.
    import difflib

    same = [candidate for candidate in known if candidate.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, known, n=1)), "")
