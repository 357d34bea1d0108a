"""Every note fits, however long and strange what others wrote into it."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import bqdump
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Totals
from bqdump.core.documents.notes import NOTE_BYTES, encode_note, shortened
from bqdump.core.documents.path_template import MAX_OBJECT_NAME_BYTES
from bqdump.core.documents.run import Failure, Owner, Receipt
from bqdump.core.documents.target import LogEntry, Stages
from bqdump.core.documents.units import Changed, Claim, GivenUp, ReadAttempt
from bqdump.core.plan.names import name_problem
from bqdump.core.risks import Risk

COUNT = st.just(2**63 - 1)
TIME = st.just(253_402_300_799_999)
# What a person, BigQuery or an operating system may say, with no half of a surrogate pair left out.
STRANGE = st.sampled_from(["\x00", "\x1b", '"', "\\", "\n", "é", "表", "\u2028", "\ud83d", "😀", "\x7f", "a"])
MESSAGE = st.builds(lambda parts, times: "".join(parts) * times, st.lists(STRANGE, max_size=8), st.integers(1, 5000))
# As long as a table's name can be that planning accepts: its files have names with it, and with 13 digits.
NAMES = st.builds(lambda char: char * ((MAX_OBJECT_NAME_BYTES - 13) // len(char.encode())),
                  st.sampled_from(['"', "\\", "表", "😀", "a", "é"]))  # fmt: skip
OWNER = st.builds(Owner, st.just("e" * 100), COUNT)
JOB = st.just(f"projects/{'p' * 100}/locations/{'l' * 30}/sessions/{'s' * 300}")
FAILURE = st.builds(Failure, st.just("00000-00000"), NAMES, JOB, st.just(999), MESSAGE, MESSAGE, OWNER)
NOTES = st.one_of(
    FAILURE, st.builds(GivenUp, FAILURE), st.builds(Claim, OWNER, NAMES, COUNT, JOB),
    st.builds(Changed, st.just("00000-00000"), JOB),
    st.builds(ReadAttempt, OWNER, st.just("0" * 32)), st.builds(Stages, st.just("r" * 100)),
    st.builds(Receipt, st.just("00000-00000"), NAMES, JOB, st.just(999), COUNT, TIME, TIME, TIME, COUNT, COUNT, COUNT,
              st.just(tuple(Risk)), COUNT),
    st.builds(LogEntry, run=st.just("r" * 100), status=st.just("complete"), snapshot_time=st.just("2" * 24),
              dataset=st.just("d" * 1024), project=st.just("p" * 100), mode=st.just("keep"), digest=st.just("0" * 64),
              snapshot=TIME, generation=COUNT, over=st.just("r" * 100), number=COUNT,
              totals=st.builds(Totals, *[COUNT] * 7), rows=COUNT, skipped=COUNT, failed=COUNT, begun=TIME, ended=TIME),
)  # fmt: skip
Note = Changed | Claim | Failure | GivenUp | ReadAttempt | Receipt | Stages | LogEntry


@given(NOTES)
def test_every_kind_of_note_fits_and_keeps_all_but_long_words(note: Note) -> None:
    data = encode_note(note)
    assert len(data) <= NOTE_BYTES
    found = decode(data, type(note), "note")
    plain = {"reason": "", "message": ""}
    if isinstance(note, GivenUp) and isinstance(found, GivenUp):
        note, found = note.failure, found.failure
    if isinstance(note, Failure) and isinstance(found, Failure):
        assert found.message.startswith(shortened(note.message, NOTE_BYTES, 1000)[:50])
        note, found = msgspec.structs.replace(note, **plain), msgspec.structs.replace(found, **plain)
    assert found == note


@given(MESSAGE, st.integers(3, 200))
def test_what_is_shortened_has_no_more_bytes_as_json_and_is_marked_as_cut(text: str, most: int) -> None:
    short = shortened(text, most, 10_000)
    assert len(msgspec.json.encode(short)) - 2 <= most
    assert short.endswith("…") or short == text.encode("utf-8", "replace").decode()


def test_a_short_message_is_kept_as_it_is() -> None:
    failure = Failure("00000-00000", "t", "j", 0, "invalid", "no such column 表", Owner("e", 0))
    assert decode(encode_note(failure), Failure, "note") == failure


def test_every_note_is_encoded_by_the_one_function_that_bounds_it() -> None:
    """Outside the adapters, which pass on what they are given, whoever hands data to `write_note` encodes it there."""
    package, found = Path(bqdump.__file__).parent, []
    for file in sorted(package.rglob("*.py")):
        if file.is_relative_to(package / "adapters"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "write_note":
                found.append((file.name, ast.unparse(node.args[1])))
    assert found == [("repository.py", "encode_note(value)")]


def test_the_names_of_these_tests_are_names_that_planning_accepts() -> None:
    assert not any(map(name_problem, ['"', "\\", "表", "😀", "a", "é"]))
