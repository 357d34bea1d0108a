"""The part of IAM's condition language (CEL) that is about names of resources.

https://cloud.google.com/iam/docs/conditions-attribute-reference#resource-name
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

Condition = Callable[[str], bool]
_Value = Callable[[str], "str | bool"]
_TOKEN = re.compile(
    r'\s*(?:("(?:[^"\\]|\\.)*")|(resource\.name)|\.(startsWith|endsWith|extract)\(|(\|\||&&|==|!=|[()]))'
)
# More logical operators than these are refused. https://cloud.google.com/iam/docs/conditions-overview#limitations
MOST_OPERATORS = 12


class ConditionError(ValueError):
    """An expression that cannot be evaluated here, or that the service refuses."""


def parse(expression: str) -> Condition:
    """The expression as a function of the name of a resource. Raises ConditionError."""
    tokens, at = list[str](), 0
    while expression[at:].strip():
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ConditionError(f"cannot evaluate {expression[at:]!r}")
        tokens.append(next(filter(None, match.groups())))
        at = match.end()
    if sum(token in ("||", "&&") for token in tokens) > MOST_OPERATORS:
        raise ConditionError(f"more than {MOST_OPERATORS} logical operators")
    parser = _Parser(tokens)
    value = parser.either()
    if parser.left:
        raise ConditionError(f"unexpected {parser.left[0]}")
    return lambda name: value(name) is True


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.left = tokens

    def either(self) -> _Value:
        value = self._both()
        while self._next("||"):
            value = _or(value, self._both())
        return value

    def _both(self) -> _Value:
        value = self._compared()
        while self._next("&&"):
            value = _and(value, self._compared())
        return value

    def _compared(self) -> _Value:
        value = self._value()
        if self._next("=="):
            return _equal(value, self._value(), wanted=True)
        if self._next("!="):
            return _equal(value, self._value(), wanted=False)
        return value

    def _value(self) -> _Value:
        if self._next("("):
            value = self.either()
            self._expect(")")
            return value
        word = self._take()
        if word.startswith('"'):
            text = str(json.loads(word))
            return lambda _name: text
        if word != "resource.name":
            raise ConditionError(f"unexpected {word}")
        for method, function in _METHODS.items():
            if self._next(method):
                argument = str(json.loads(self._take()))
                self._expect(")")
                return _applied(function, argument)
        return lambda name: name

    def _next(self, token: str) -> bool:
        if self.left[:1] == [token]:
            self.left = self.left[1:]
            return True
        return False

    def _take(self) -> str:
        if not self.left:
            raise ConditionError("it ends too early")
        token, *self.left = self.left
        return token

    def _expect(self, token: str) -> None:
        if not self._next(token):
            raise ConditionError(f"{token} is missing")


def _or(left: _Value, right: _Value) -> _Value:
    return lambda name: left(name) is True or right(name) is True


def _and(left: _Value, right: _Value) -> _Value:
    return lambda name: left(name) is True and right(name) is True


def _equal(left: _Value, right: _Value, *, wanted: bool) -> _Value:
    return lambda name: (left(name) == right(name)) is wanted


def _applied(function: Callable[[str, str], str | bool], argument: str) -> _Value:
    return lambda name: function(name, argument)


def _extract(name: str, template: str) -> str:
    """What is in the place of `{…}`, "" where the rest of the template is not in the name in this order."""
    before, after = re.split(r"\{[^{}]*\}", template)
    _, separator, rest = name.partition(before)
    if not separator:
        return ""
    if not after:
        return rest
    value, separator, _ = rest.partition(after)
    return value if separator else ""


_METHODS: dict[str, Callable[[str, str], str | bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "extract": _extract,
}
