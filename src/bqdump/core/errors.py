"""Every error that bqdump raises on purpose: one root, and one class for each thing a caller can do about it."""

from __future__ import annotations

import errno
import os

from bqdump.core.wording import PYTHON, Words, fill

# Of this process, and of this machine.
# The operation in errors, while an export is planned.
PLAN = "plan the export"
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
MORE_FILES = "Raise the limit of open files (ulimit -n), then run the command again."


class BqdumpError(Exception):
    """Something failed, reported in one sentence.

    operation: what was being done ("read the bucket").
    subject: to what ("gs://b").
    cause: why it failed.
    hint: how to fix it.
    setting: the setting that is wrong.
    place: where it was given, if known. cause and hint name settings and commands by placeholders, which each front
        end fills (see bqdump.core.wording). `retryable`: the same request may succeed later.
    """

    retryable = False

    def __init__(
        self, operation: str, subject: str, cause: str, hint: str = "", *, setting: str = "", place: str = ""
    ) -> None:
        self.operation, self.subject, self.cause, self.hint = operation, subject, cause, hint
        self.setting, self.place = setting, place
        super().__init__(operation, subject, cause, hint)

    def __str__(self) -> str:
        return self.sentence(PYTHON)

    def in_words(self, words: Words) -> None:
        """Fill the placeholders of cause and hint for good, for callers that read these."""
        self.cause, self.hint = fill(self.cause, words), fill(self.hint, words)

    def sentence(self, words: Words) -> str:
        """What failed, why, and how to fix it, in the words of a front end."""
        what = " ".join(filter(None, ["cannot", self.operation, self.subject]))
        return fill(f"{what}: {_ended(self.cause)} {self.hint}".rstrip(), words)


class UsageError(BqdumpError):
    """A setting, an argument or a combination of them is wrong; nothing was changed."""

    def sentence(self, words: Words) -> str:
        """See BqdumpError: the setting, or what was given."""
        place = self.place or (words.place(self.setting) if self.setting else "")
        where = " ".join(filter(None, [place, self.subject]))
        return fill(f"{where and f'{where}: '}{_ended(self.cause)} {self.hint}".rstrip(), words)


def _ended(cause: str) -> str:
    """A cause as a sentence: messages of services may or may not end with a full stop, and a guess is a question."""
    return cause if cause.endswith(("?", "!")) else f"{cause.rstrip('.')}."


class NotFoundError(BqdumpError):
    """A dataset, table, bucket, object or run does not exist (or may not be seen)."""


class DeniedError(BqdumpError):
    """The caller lacks a permission."""


class JobsDeniedError(DeniedError):
    """The caller may not start jobs in the project that runs them. It concerns all tables."""


class PerimeterError(DeniedError):
    """A service perimeter (VPC Service Controls) blocks the request, whichever roles the caller has."""


class AccessError(BqdumpError):
    """The service was not asked at all: no credentials that it takes, a proxy that refuses, an API that is disabled.

    Not a missing permission: what the caller may do is not known.
    """


class QuotaError(BqdumpError):
    """A quota is used up for now; the run can be resumed later."""


class TargetError(BqdumpError):
    """The target cannot be used as it is: a folder that cannot be written, a full disk, a link in the way.

    It concerns all tables: it is never the failure of one of them.
    """


class ConflictError(BqdumpError):
    """A precondition failed: another process wrote the object, or the job id exists already."""


class UnavailableError(BqdumpError):
    """The service did not answer or asked to come back; the same request may be repeated."""

    retryable = True


class DamagedError(UnavailableError):
    """An answer that contradicts itself or the question: a checksum that does not match, or another object's.

    Repeated a few times only: what stays damaged is not a passing fault of the connection.
    """


class OpenFilesError(UnavailableError):
    """This process, or this machine, may open no more files and connections for now.

    Repeated a few times only. It concerns all tables: it is never the failure of one of them.
    """


class OutageError(BqdumpError):
    """A service has not answered for as long as the run was willing to wait; the run can be resumed later."""


class AnswerError(BqdumpError):
    """A service answers, but lacks something that bqdump needs: not Google's, or a stand-in that is incomplete."""


class SessionLostError(BqdumpError):
    """A read session has ended: what it was reading must be read again in another one."""


class JobFailedError(BqdumpError):
    """A BigQuery job, or the request for it, failed for good."""


class TableGoneError(JobFailedError, NotFoundError):
    """A query failed because its table does not exist."""


class RowsError(BqdumpError):
    """Rows of one table cannot be decoded, or not be written in its format: that table fails, and no other."""


class DocumentError(BqdumpError):
    """A stored document cannot be read: not JSON, another version, or values that cannot be."""


class TablesFailedError(BqdumpError):
    """Some tables failed for good; nothing was published."""


class DatasetsFailedError(TablesFailedError):
    """Some datasets of a set could not be exported. The others are published."""


class VerificationError(BqdumpError):
    """What is stored differs from what the manifest says."""


class UntrustedError(VerificationError):
    """No trusted key has signed it, or it was changed since."""


class OutdatedError(VerificationError):
    """The published run is older than it may be. snapshot: its snapshot time, in milliseconds since 1970 UTC."""

    snapshot = 0


# These say nothing about what was asked for: there was no answer.
NO_ANSWER = (AccessError, OutageError, UnavailableError)
# Something does not exist, or this account may not see it: BigQuery often does not say which.
OUT_OF_REACH = (DeniedError, NotFoundError)
# These are not about one table or dataset, as any other one would meet them as well: they end the task. OSError is
# what this machine refuses.
ENDS_THE_TASK = (*NO_ANSWER, AnswerError, JobsDeniedError, OSError, QuotaError, TargetError)

# The Python API exports them all.
for _error in [kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, BqdumpError)]:
    _error.__module__ = "bqdump"


def first_of(error: BaseException) -> BaseException:
    """Of the errors that a group of tasks has ended with the first, which ended the others; any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def out_of_files(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised for, is that no more files can be opened.

    Libraries wrap the system's error, or report it by its text.
    """
    # An error that was raised again out of its group leads back to the group.
    seen = set[int]()
    while error is not None and id(error := first_of(error)) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in TOO_MANY_FILES:
            return True
        if any(os.strerror(number) in str(error) for number in TOO_MANY_FILES):
            return True
        error = error.__cause__ or error.__context__
    return False


def open_files_error(operation: str = "open", subject: str = "files or connections") -> OpenFilesError:
    """The error for that."""
    return OpenFilesError(operation, subject, "too many open files", MORE_FILES)


def words_of(error: BaseException) -> str:
    """An error that is not bqdump's own, as the cause in a sentence: its type, and the first line of what it says."""
    error = first_of(error)
    first = str(error).strip().partition("\n")[0].strip()
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def install_hint(extra: str) -> str:
    """The hint of an error about packages that are not installed."""
    return f"Install the extra {extra}: pip install 'bqdump[{extra}]'"
