"""Errors: one sentence each, and the exit code that each class means."""

from __future__ import annotations

import errno
import os

import pytest

from bqdump.core import errors
from bqdump.core.errors import BqdumpError, DamagedError, OpenFilesError, UnavailableError, UsageError
from bqdump.core.exit_codes import CODES, exit_code

MEANT = {
    "BqdumpError": 1,
    "UsageError": 2,
    "NotFoundError": 5,
    "AccessError": 5,
    "DeniedError": 5,
    "JobsDeniedError": 5,
    "PerimeterError": 5,
    "TargetError": 5,
    "QuotaError": 6,
    "ConflictError": 1,
    "UnavailableError": 7,
    "DamagedError": 7,
    "OpenFilesError": 5,
    "OutageError": 7,
    "AnswerError": 5,
    "RowsError": 1,
    "SessionLostError": 1,
    "JobFailedError": 1,
    "TableGoneError": 5,
    "DocumentError": 4,
    "DatasetsFailedError": 3,
    "TablesFailedError": 3,
    "VerificationError": 4,
    "UntrustedError": 4,
    "OutdatedError": 4,
}
CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, BqdumpError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_its_exit_code(kind: type[BqdumpError]) -> None:
    assert exit_code(kind("do", "it", "no")) == MEANT[kind.__name__]


def test_every_class_is_tried_here() -> None:
    assert {kind.__name__ for kind in CLASSES} == set(MEANT)
    assert set(CODES) <= set(CLASSES)


def test_a_subclass_has_the_code_of_its_parent() -> None:
    class OfTheDisk(errors.QuotaError):
        pass

    assert exit_code(OfTheDisk("write", "x", "full")) == 6


def test_an_error_is_one_sentence_with_a_hint() -> None:
    assert (
        str(BqdumpError("read", "gs://b", "it is gone", "Look again.")) == "cannot read gs://b: it is gone. Look again."
    )
    assert str(BqdumpError("read", "", "it is gone.")) == "cannot read: it is gone."
    assert str(UsageError("read", "--format", "unknown", "Use csv.")) == "--format: unknown. Use csv."
    assert str(UsageError("read", "", "missing")) == "missing."
    guess = UsageError("read", "--format", "unknown; did you mean csv?", "Use csv.")
    assert str(guess) == "--format: unknown; did you mean csv? Use csv."


def test_only_an_unavailable_service_is_worth_the_same_request_again() -> None:
    assert [kind for kind in CLASSES if kind.retryable] == [
        UnavailableError,
        DamagedError,
        OpenFilesError,
    ]


def test_too_many_open_files_are_found_in_whatever_a_library_makes_of_them() -> None:
    for number in errors.TOO_MANY_FILES:
        error = OSError(number, os.strerror(number))
        assert errors.out_of_files(ExceptionGroup("tasks", [error]))
        assert errors.out_of_files(RuntimeError(f"last error: socket: {error.strerror} (os error {number})"))
        wrapped = RuntimeError("cannot connect")
        wrapped.__cause__ = error
        assert errors.out_of_files(wrapped)
    assert not errors.out_of_files(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def test_a_chain_of_errors_that_leads_back_to_itself_has_an_end() -> None:
    inner = ValueError("no")
    inner.__context__ = ExceptionGroup("tasks", [inner])
    assert not errors.out_of_files(inner)
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__cause__ = other, one
    assert not errors.out_of_files(one)
