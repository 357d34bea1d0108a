"""A stored document is believed only as far as it stays in its place."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.definitions import Definitions, ObjectDefinition, RoutineDefinition
from bqdump.core.documents.document import LARGEST
from bqdump.core.documents.layout import SMALL, Layout, most_bytes
from bqdump.core.documents.manifest import File, ManifestFiles, TableFiles, Totals
from bqdump.core.documents.run import Failure, Owner, Receipt
from bqdump.core.documents.target import IcebergTables, Intent, Latest, Pointer, Publishing
from bqdump.core.documents.validation import final_name_problem, place_of
from bqdump.core.errors import DocumentError

LAYOUT = Layout("p/")
RUN = LAYOUT.run("r1")
OUTSIDE = [
    "x.csv", "q/x.csv", "p", "/p/x.csv", "p//x.csv", "p/../x.csv", "p/a/../../x.csv", "p/./x.csv", "p/..", "p/a/",
    "p/_bqdump/latest.json", "p/_bqdump/runs/r2/manifest.json", "p/a\nb.csv", "p/\x00", "p/" + "ü" * 600,
]  # fmt: skip
GOOD = Latest(run="r1", dataset="d", project="p", snapshot_time="", snapshot=1, status="complete", mode="replace",
              manifest=RUN.manifest.name, manifest_generation=1)  # fmt: skip


def refused(document: msgspec.Struct, name: str) -> str:
    with pytest.raises(DocumentError) as caught:
        decode(encode(document), type(document), name)
    assert name in str(caught.value)
    assert "Modified outside bqdump" in str(caught.value)
    return caught.value.cause


def manifest(*names: str, left: str = "", found: str = "", run: str = "r1") -> ManifestFiles:
    def file(name: str) -> File:
        return File(name, 1, "AAAAAA==", 7)

    tables = tuple(TableFiles(f"t{number}", (file(name),)) for number, name in enumerate(names))
    stays = (TableFiles("l", (file(left),)),) if left else ()
    return ManifestFiles(run, "complete", Totals(1, 1, 1, 1, 1), tables, stays, (file(found),) if found else ())


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_document_names_a_file_outside_the_prefix_or_of_bqdump_itself(name: str) -> None:
    assert final_name_problem(name, LAYOUT)
    for document in (manifest(name), manifest(left=name), manifest(found=name)):
        refused(document, RUN.manifest.name)
    refused(Intent("r1", (name,)), RUN.intent.name)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="/", exclude_categories=["Cc"]), min_size=1, max_size=50)
)
def test_any_file_name_below_the_prefix_is_fine(name: str) -> None:
    assume(name not in (".", "..", "_bqdump"))
    assert final_name_problem(f"p/{name}", LAYOUT) == ""
    assert final_name_problem(f"p/{name}/x_000000000000.csv", LAYOUT) == ""


def test_a_manifest_of_another_run_or_with_a_file_twice_is_none() -> None:
    assert "run r2" in refused(manifest("p/a.csv", run="r2"), RUN.manifest.name)
    assert "twice" in refused(manifest("p/a.csv", "p/a.csv"), RUN.manifest.name)
    assert "twice" in refused(manifest("p/a.csv", left="p/a.csv"), RUN.manifest.name)
    decode(encode(manifest("p/a.csv", left="p/b.csv", found="p/a.csv")), ManifestFiles, RUN.manifest.name)


@pytest.mark.parametrize("name", ["x", "p/_bqdump/runs/r2/manifest.json", "p/_bqdump/runs/../r1/manifest.json"])
def test_pointers_lead_to_the_documents_of_their_run_and_nowhere_else(name: str) -> None:
    decode(encode(GOOD), Latest, LAYOUT.latest.name)
    refused(msgspec.structs.replace(GOOD, manifest=name), LAYOUT.latest.name)
    refused(msgspec.structs.replace(GOOD, iceberg=name), LAYOUT.latest.name)
    metadata = f"{LAYOUT.iceberg_table('t')}metadata/1.metadata.json"
    decode(encode(IcebergTables(run="r1", tables={"t": metadata})), IcebergTables, RUN.iceberg.name)
    refused(IcebergTables(run="r1", tables={"t": name}), RUN.iceberg.name)
    refused(IcebergTables(run="r1", tables={"..": metadata}), RUN.iceberg.name)
    refused(msgspec.structs.replace(GOOD, uncleared=(Pointer("r1", 1, name),)), LAYOUT.latest.name)
    decode(encode(Publishing("r1", 1, RUN.intent.name)), Publishing, LAYOUT.publishing.name)
    refused(Publishing("r1", 1, name), LAYOUT.publishing.name)
    ready = msgspec.structs.replace(GOOD, run="r1", snapshot=1, manifest=RUN.manifest.name)
    decode(encode(Publishing("r1", 1, RUN.intent.name, ready)), Publishing, LAYOUT.publishing.name)
    refused(Publishing("r1", 1, RUN.intent.name, msgspec.structs.replace(ready, manifest=name)), LAYOUT.publishing.name)
    refused(Publishing("r1", 2, RUN.intent.name, ready), LAYOUT.publishing.name)
    over = Pointer("r0", 1, LAYOUT.run("r0").manifest.name)
    decode(encode(Publishing("r1", 2, RUN.intent.name, over=(over,))), Publishing, LAYOUT.publishing.name)
    refused(Publishing("r1", 2, RUN.intent.name, over=(over, Pointer("r0", 1, name))), LAYOUT.publishing.name)


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (Latest, LAYOUT.latest.name, {"run": "../r1"}), (Latest, LAYOUT.latest.name, {"run": "r1\n"}),
        (Latest, LAYOUT.latest.name, {"snapshot": -1}), (Latest, LAYOUT.latest.name, {"snapshot": 10**18}),
        (Latest, LAYOUT.latest.name, {"snapshot": 10**30}), (Latest, LAYOUT.latest.name, {"mode": "none"}),
        (Latest, LAYOUT.latest.name, {"uncleared": 7}), (Latest, LAYOUT.latest.name, {"format_version": 2}),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(kind: type[msgspec.Struct], name: str, values: dict[str, Any]) -> None:
    document = msgspec.to_builtins(GOOD) | values
    with pytest.raises(DocumentError, match=rf"{re.escape(name)}: it .*{next(iter(values)).replace('_', '.')}"):
        decode(msgspec.json.encode(document), kind, name)


def test_a_pointer_that_was_copied_to_another_prefix_is_named_as_a_copy() -> None:
    with pytest.raises(DocumentError, match="written for the prefix 'p/', so this is a copy") as caught:
        decode(encode(GOOD), Latest, "q/_bqdump/latest.json")
    assert "Modified" not in str(caught.value)


@pytest.mark.parametrize(
    ("definitions", "whose"),
    [
        (Definitions(dataset=msgspec.Raw(b'"x"')), "the dataset"),
        (Definitions(dataset=msgspec.Raw(b'{"access": [7]}')), "the dataset"),
        (Definitions(routines=(RoutineDefinition("f", "", msgspec.Raw(b"null")),)), "routine 'f'"),
        (Definitions(routines=(RoutineDefinition("f", "", msgspec.Raw(b'{"definitionBody": 7}')),)), "routine 'f'"),
        (Definitions(objects=(ObjectDefinition("v", "VIEW", msgspec.Raw(b'{"view": "SELECT"}')),)), "table 'v'"),
    ],
)
def test_a_definition_of_other_types_than_bigquerys_is_named(definitions: Definitions, whose: str) -> None:
    assert refused(definitions, RUN.definitions("n").name) == f"the definition of {whose} is not BigQuery's"


def test_a_note_is_about_the_unit_of_its_name() -> None:
    receipt = Receipt("00000-00001", "t", "job", 0, 1, 1, 2, 3, 0)
    decode(encode(receipt), Receipt, RUN.receipt("00000-00001").name)
    assert "00000-00001" in refused(receipt, RUN.receipt("00000-00002").name)
    failure = Failure("00000-00001", "t", "job", 0, "invalid", "no", Owner("x", 0))
    decode(encode(failure), Failure, RUN.failure("00000-00001", 0, "x").name)
    refused(failure, RUN.failure("00000-00002", 0, "x").name)


@pytest.mark.parametrize("values", [{"files": -1}, {"attempt": 1000}, {"attempt": -1}, {"created": 10**18},
                                    {"unit": "../x"}, {"unit": "1-1"}, {"rows": -1}])  # fmt: skip
def test_absurd_numbers_in_a_receipt_are_refused(values: dict[str, Any]) -> None:
    good = msgspec.to_builtins(Receipt("00000-00001", "t", "job", 0, 1, 1, 2, 3, 0))
    with pytest.raises(DocumentError, match=rf"not a valid Receipt .* at `\$\.{next(iter(values))}`"):
        decode(msgspec.json.encode(good | values), Receipt, RUN.receipt("00000-00001").name)


@pytest.mark.parametrize(
    ("name", "prefix", "run"),
    [
        ("_bqdump/latest.json", "", ""), ("p/_bqdump/runs/r1/plan.json", "p/", "r1"),
        ("p/_bqdump/runs/r1/receipts/00000-00000.json", "p/", "r1"), ("_bqdump/_bqdump/newest.json", "_bqdump/", ""),
    ],
)  # fmt: skip
def test_prefix_and_run_follow_from_a_documents_name(name: str, prefix: str, run: str) -> None:
    place = place_of(name)
    assert place
    assert (place.layout.prefix, place.run) == (prefix, run)


@pytest.mark.parametrize("name", ["x.json", "a_bqdump/latest.json", "a/b.csv"])
def test_what_is_not_below_the_state_folder_has_no_place(name: str) -> None:
    assert place_of(name) is None


def test_only_bqdumps_own_documents_have_a_largest_size() -> None:
    assert most_bytes("p/_bqdump/latest.json") == SMALL
    assert most_bytes("_bqdump/runs/r1/manifest.json") == LARGEST
    assert most_bytes("p/t/t_000000000000.csv") is None
    assert most_bytes("p/not_bqdump/latest.json") is None
