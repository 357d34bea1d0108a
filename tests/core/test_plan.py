"""Planning: what is exported, who exports it, and how the plan is read back."""

from __future__ import annotations

from itertools import pairwise, product

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bqdump.core.dealing import share_out
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.document import STATE
from bqdump.core.documents.path_template import MAX_OBJECT_NAME_BYTES, shard_name
from bqdump.core.documents.run import Plan
from bqdump.core.documents.units import Unit
from bqdump.core.documents.validation import final_name_problem
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.plan.names import name_problem, patterns
from bqdump.core.plan.routes import route_tables
from bqdump.core.plan.selection import Selection, choose, recommended_tasks, unmatched
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Dataset, Listed, Table
from bqdump.core.units.plan import RunToPlan, make_plan
from bqdump.core.units.shares import read_units
from core.strategies import TABLE_NAMES, settings, table

SNAPSHOT = 1_800_000_000_000
DATASET = Dataset("proj", "data", "EU")
LISTING = [
    Listed("orders", "TABLE", 1),
    Listed("orders_old", "SNAPSHOT", 1),
    Listed("report", "VIEW", 1),
    Listed("cached", "MATERIALIZED_VIEW", 1),
    Listed("sheet", "EXTERNAL", 1),
    Listed("brain", "MODEL", 1),
    Listed("late", "TABLE", SNAPSHOT + 1),
]


def patterns_of(chosen: Settings, *names: str) -> list[str]:
    made = patterns(chosen, "r7", SNAPSHOT, route_tables(chosen, [table(name) for name in names]).routed)
    return [of_table[""] for of_table in made]


def plan_of(tables: list[Table], tasks: int, chosen: Settings | None = None) -> tuple[Plan, bytes]:
    return make_plan(RunToPlan(chosen or settings(), "run", "0fce", DATASET, SNAPSHOT), Selection((), (), 0),
                     route_tables(chosen or settings(), tables), tasks)  # fmt: skip


@given(st.lists(st.integers(0, 10**12), max_size=60), st.integers(1, 20))
def test_every_index_is_dealt_exactly_once_and_always_alike(weights: list[int], shares: int) -> None:
    dealt = share_out(weights, shares)
    assert len(dealt) == shares
    assert sorted(index for share in dealt for index in share) == list(range(len(weights)))
    assert dealt == share_out(list(weights), shares)
    assert all(weights[a] >= weights[b] for share in dealt for a, b in pairwise(share))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=7), st.integers(1, 3))
def test_no_share_weighs_more_than_four_thirds_of_the_best(weights: list[int], shares: int) -> None:
    def heaviest(choice: tuple[int, ...]) -> int:
        return max(sum(w for w, s in zip(weights, choice, strict=True) if s == share) for share in range(shares))

    best = min(map(heaviest, product(range(shares), repeat=len(weights))))
    made = max(sum(weights[index] for index in share) for share in share_out(weights, shares))
    assert 3 * shares * made <= (4 * shares - 1) * best


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.integers(1, 30))
def test_no_share_is_heavier_than_the_mean_and_the_largest_together(weights: list[int], shares: int) -> None:
    made = max(sum(weights[index] for index in share) for share in share_out(weights, shares))
    assert made * shares <= sum(weights) + max(weights) * (shares - 1)


def test_equal_tables_are_dealt_in_equal_numbers() -> None:
    assert sorted(map(len, share_out([0] * 30, 10))) == [3] * 10
    assert sorted(map(len, share_out([5] * 31, 10))) == [3] * 9 + [4]


def test_what_cannot_be_exported_is_skipped_with_its_reason() -> None:
    selection = choose(LISTING, settings(), SNAPSHOT)
    assert [item.name for item in selection.chosen] == ["orders", "orders_old", "report", "cached", "sheet"]
    reasons = {item.table: item.reason for item in selection.skipped}
    assert reasons == {
        "brain": "of the unknown kind MODEL",
        "late": "created after the snapshot time 2027-01-15T08:00:00.000Z",
    }


@given(st.lists(st.sampled_from(LISTING), unique_by=lambda item: item.name), st.sampled_from([(), ("o*",)]))
def test_everything_of_a_listing_is_chosen_skipped_or_excluded(listing: list[Listed], exclude: tuple[str, ...]) -> None:
    selection = choose(listing, settings(exclude=exclude), SNAPSHOT)
    assert len(selection.chosen) + len(selection.skipped) + selection.excluded == len(listing)


def test_patterns_choose_by_case_and_exclude_wins() -> None:
    listing = [Listed(name, "TABLE", 0) for name in ("Aa", "ab", "b", "b[1]")]
    selection = choose(listing, settings(include=("a*", "b*"), exclude=("ab",)), SNAPSHOT)
    assert [item.name for item in selection.chosen] == ["b", "b[1]"]
    assert selection.excluded == 2


def test_an_include_that_matches_nothing_gets_a_guess() -> None:
    with pytest.raises(UsageError, match=r"^include 'ordres': matches no table of data\. Did you mean 'orders'\?$"):
        choose(LISTING, settings(include=("orders", "ordres")), SNAPSHOT)
    with pytest.raises(UsageError, match=r"Separate names by commas: late,orders\.$"):
        choose(LISTING, settings(include=("late orders",)), SNAPSHOT)
    with pytest.raises(UsageError, match="a plan lists all tables"):
        choose([], settings(include=("x*",)), SNAPSHOT)
    numbered = [Listed(f"dummy_{number:02}", "TABLE", 0) for number in range(1, 31)]
    with pytest.raises(UsageError, match=r"Did you mean 'dummy_0\*', which matches 9 tables\?$"):
        choose(numbered, settings(include=("dummy_0",)), SNAPSHOT)


@given(
    st.dictionaries(
        TABLE_NAMES.filter(lambda name: not name_problem(name) and name != STATE), st.integers(0, 10**15), max_size=30
    ),
    st.integers(1, 12),
)
def test_each_share_reads_its_own_units_back(sizes: dict[str, int], tasks: int) -> None:
    tables = [table(name, size) for name, size in sizes.items()]
    plan, lines = plan_of(tables, tasks)
    assert len(plan.shares) == min(tasks, len(tables))
    whole: list[Unit] = []
    for number, share in enumerate(plan.shares):
        units = read_units(lines[share.offset : share.offset + share.length], plan, number)
        assert [unit.id for unit in units] == [f"{number:05}-{place:05}" for place in range(share.units)]
        assert sum(unit.bytes for unit in units) == share.bytes
        whole += units
    assert {unit.table: unit.bytes for unit in whole} == sizes
    assert whole == read_units(lines, plan)
    assert (plan.tables, plan.bytes) == (len(sizes), sum(sizes.values()))
    assert sum(share.length for share in plan.shares) == len(lines)
    definitions = {item.name: bytes(item.definition) for item in tables}
    assert {unit.table: bytes(unit.definition) for unit in whole} == definitions


@given(st.lists(st.integers(0, 10**6), max_size=8), st.integers(1, 4))
def test_the_same_dataset_gives_the_same_plan(sizes: list[int], tasks: int) -> None:
    tables = [table(f"t{number}", size) for number, size in enumerate(sizes)]
    assert plan_of(tables, tasks) == plan_of(tables, tasks)


def test_a_plan_survives_its_document() -> None:
    plan, _ = plan_of([table("a"), table("b")], 2, settings(labels={"a": "b"}, include=("a", "b")))
    read = decode(encode(plan), Plan, "plan.json")
    assert (read.shares, read.units, read.mode, read.digest) == (plan.shares, plan.units, "replace", plan.digest)
    assert encode(read) == encode(plan)


def test_no_tables_make_an_empty_plan() -> None:
    plan, lines = plan_of([], 5)
    assert (plan.shares, plan.tables, lines) == ((), 0, b"")


def test_a_table_that_is_gone_keeps_its_place() -> None:
    plan, lines = plan_of([Table("gone", "TABLE", 0, 0, msgspec.Raw(b"null"))], 1)
    assert [unit.table for unit in read_units(lines, plan)] == ["gone"]
    assert plan.tables == 1


def test_final_names_follow_the_template() -> None:
    chosen = settings(
        path="{date}/{run}/{project}.{dataset}/{table}_*.{ext}", prefix="p/", format="json", compression="gzip"
    )
    assert patterns_of(chosen, "t") == ["p/2027-01-15/r7/proj.data/t_*.json.gz"]


@given(TABLE_NAMES)
def test_a_hostile_name_is_refused_or_stays_in_its_folder(name: str) -> None:
    try:
        (pattern,) = patterns_of(settings(), name)
    except UsageError as error:
        pattern = error.hint
    if name_problem(name):
        assert pattern == "Leave it out with {setting:exclude}."
    elif name == STATE:
        assert pattern.startswith("Use another {setting:path}")
    elif len(f"{name}/{name}_000000000000.csv".encode()) > MAX_OBJECT_NAME_BYTES:
        assert pattern.startswith("Use a shorter {setting:path} such as {table}")
    else:
        assert pattern == f"{name}/{name}_*.csv"
        assert pattern.count("/") == 1


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a*b", "a\nb", "\x7f", "\x00"])
def test_a_name_that_cannot_be_part_of_an_object_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="Leave it out with exclude"):
        patterns_of(settings(), "good", name)
    with pytest.raises(UsageError, match="Leave it out with exclude"):
        choose([Listed("good", "TABLE", 1), Listed(name, "TABLE", 1)], settings(), SNAPSHOT)
    left_out = choose([Listed("good", "TABLE", 1), Listed(name, "TABLE", 1)], settings(include=("good",)), SNAPSHOT)
    assert [item.name for item in left_out.chosen] == ["good"]


def test_a_name_that_is_no_unicode_is_refused_before_any_request() -> None:
    with pytest.raises(UsageError, match=r"^table 'a\\ud800': its name is not valid Unicode"):
        choose([Listed("a\ud800", "TABLE", 1)], settings(), SNAPSHOT)


@pytest.mark.parametrize("name", ["t$20240101", "t$__NULL__", "$", "t@0", "t@1700000000000", "t$2024'; DROP TABLE t"])
def test_a_partition_or_a_moment_is_not_taken_for_a_table(name: str) -> None:
    with pytest.raises(UsageError, match=r"as a partition or a time of another table\. Leave it out"):
        patterns_of(settings(), "good", name)
    plan, lines = plan_of([table("t" * len(name.encode()))], 1)
    unit = msgspec.structs.replace(read_units(lines, plan)[0], table=name, pattern=f"{name}/{name}_*.csv")
    with pytest.raises(DocumentError, match="as a partition or a time"):
        read_units(msgspec.json.encode(unit) + b"\n", plan)


def test_a_table_is_not_exported_among_the_documents_of_bqdump() -> None:
    cause = r"its files would be in p/_bqdump/, where .*\. Use another path such as \{table\}_\*\.\{ext\}\.$"
    for path, name in (
        ("{table}/{table}_*.{ext}", STATE), ("{dataset}/{table}_*.{ext}", "t"), ("{table}/x/*.{ext}", STATE),
    ):  # fmt: skip
        chosen = settings(prefix="p/", path=path, dataset=STATE)
        with pytest.raises(UsageError, match=cause):
            patterns_of(chosen, name)
    assert patterns_of(settings(path="{table}_*.{ext}"), STATE) == [f"{STATE}_*.csv"]
    # Nor among those of an export with a prefix of its own, with a name that one of them might have.
    for path in ("x/{table}/*.{ext}", "x/{table}/x/{table}_*.{ext}"):
        with pytest.raises(UsageError, match="its files would be in p/x/_bqdump/, where"):
            patterns_of(settings(prefix="p/", path=path), STATE)


@pytest.mark.parametrize("path", ["x/{table}/{table}_*.{ext}", "{run}/{table}/{table}_*.{ext}"])
def test_a_table_called_as_the_folder_of_documents_is_exported_where_no_document_can_have_its_name(path: str) -> None:
    chosen = settings(prefix="p/", path=path)
    [pattern] = patterns_of(chosen, STATE)
    assert f"/{STATE}/{STATE}_*" in pattern
    assert final_name_problem(pattern.replace("*", "000000000000"), chosen.layout) == ""


def test_300_characters_fit_and_the_longest_name_of_bigquery_gets_advice() -> None:
    assert len(patterns_of(settings(), "x" * 300)[0]) > 600
    with pytest.raises(UsageError, match=r"names of [\d,]+ bytes, 1,024 are possible\. Use a shorter path such as"):
        patterns_of(settings(), "ü" * 300)
    patterns_of(settings(path="{table}_*.{ext}"), "ü" * 300)


LONG = "x" * 1000


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("{table}/{table}_*.{ext}", "{table}/*.{ext}"),
        # Its final name would fit, but not the one that it has before it is published.
        ("{table}_*.{ext}", "{table}/*.{ext}"),
        ("{run}/{table}/{table}_*.{ext}", "{run}/{table}_*.{ext}"),
    ],
)
def test_advice_for_a_long_name_is_a_path_that_works(path: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        patterns_of(settings(path=path), LONG)
    assert caught.value.hint == f"Use a shorter {{setting:path}} such as {advice}."
    assert len(str(caught.value)) < 400
    (pattern,) = patterns_of(settings(path=advice), LONG)
    assert len(pattern.replace("*", "0" * 12)) <= 1024


def test_a_name_that_fits_nowhere_is_to_be_left_out() -> None:
    for path in ("{table}_*.{ext}", "{run}/{table}_*.{ext}"):
        with pytest.raises(UsageError, match=r"possible\. Leave it out with exclude\.$"):
            patterns_of(settings(path=path, prefix="a-long-prefix/"), "x" * 1024)


def test_with_a_folder_for_each_run_only_final_names_count() -> None:
    (pattern,) = patterns_of(settings(path="{run}/{table}_*.{ext}"), LONG)
    assert len(shard_name(pattern, 0)) <= 1024


@given(st.integers(1, 1024))
def test_no_pattern_makes_an_object_name_that_is_too_long(length: int) -> None:
    chosen = settings(path="{table}_*.{ext}")
    try:
        (pattern,) = patterns_of(chosen, "x" * length)
    except UsageError:
        assume(False)
    staged = chosen.layout.run("r7").staged("00000-00000", 999, pattern).replace("*", "0" * 12)
    assert len(staged.encode()) <= 1024
    assert len(pattern.replace("*", "0" * 12).encode()) <= 1024


NESTED = table("nested", 1, {"name": "tags", "type": "STRING", "mode": "REPEATED"}, {"name": "who", "type": "RECORD"},
               {"name": "plain", "type": "STRING"}, {"name": "also", "type": "STRUCT", "mode": "REQUIRED"})  # fmt: skip


def test_columns_that_do_not_fit_are_named_with_the_formats_that_hold_them() -> None:
    with pytest.raises(
        UsageError, match=r"\(nested: tags ARRAY<STRING>, who STRUCT, also STRUCT\)\. Set format to json"
    ):
        plan_of([table("flat"), NESTED], 1)


@pytest.mark.parametrize("format_", ["json", "avro", "parquet"])
def test_other_formats_hold_nested_columns(format_: str) -> None:
    plan, _ = plan_of([NESTED], 1, settings(format=format_))
    assert plan.tables == 1


def test_few_tables_need_one_task_and_many_at_most_twenty() -> None:
    assert [recommended_tasks(count) for count in (0, 1, 500, 501, 100_000)] == [1, 1, 1, 2, 20]
    assert [recommended_tasks(1, size * 10**9) for size in (0, 10, 11, 10_000)] == [1, 1, 2, 20]


def test_patterns_that_match_nothing_get_a_guess() -> None:
    assert unmatched(["orders", "users"], ("ordrs", "u*", "zzz"), {}) == [
        ("ordrs", "; did you mean 'orders'?"),
        ("zzz", ""),
    ]


@pytest.mark.parametrize("old", [b'"rows":1', b'"table":"b"'])
def test_units_of_which_one_byte_was_changed_on_the_way_are_refused(old: bytes) -> None:
    plan, lines = plan_of([table("a", 1), table("b", 1)], 1)
    place = lines.index(old) + len(old) - 2 + (old[-1:] != b'"')
    changed = lines[:place] + bytes((lines[place] ^ 1,)) + lines[place + 1 :]
    with pytest.raises(DocumentError):
        read_units(changed, plan, 0)
    assert read_units(lines, plan, 0)
