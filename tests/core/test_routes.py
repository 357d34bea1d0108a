"""Routes: which one a table takes and why, and what a route that cannot do a table says."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.errors import UsageError
from bqdump.core.plan.routes import Requirements, choose_route, obstacle, requirements_of, route_tables
from bqdump.core.settings.values import ROUTES
from bqdump.core.tables.catalog import Mask, Shape, Table
from core.strategies import settings, table

KINDS = ("TABLE", "SNAPSHOT", "VIEW", "MATERIALIZED_VIEW", "EXTERNAL")
ICEBERG = Table("ice", "TABLE", 1, 1, msgspec.Raw(b'{"schema":{"fields":[]},"biglakeConfiguration":{"x":"y"}}'))
SHAPES = {
    "columns are chosen": Shape(columns=("a",)),
    "columns are masked": Shape(masks={"a": Mask(null=True)}),
    "rows are filtered": Shape(where="x > 1"),
}


def of_kind(kind: str) -> Table:
    return msgspec.structs.replace(table("t"), kind=kind)


@pytest.mark.parametrize("kind", ["TABLE", "SNAPSHOT"])
def test_a_table_as_it_is_goes_by_a_free_extract_job(kind: str) -> None:
    assert choose_route(of_kind(kind), Requirements()) == ("extract", "a free extract job can do it")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("VIEW", "a view"), ("MATERIALIZED_VIEW", "a materialized view"), ("EXTERNAL", "an external table")],
)
def test_what_only_a_query_can_read_is_queried(kind: str, words: str) -> None:
    choice = choose_route(of_kind(kind), Requirements())
    assert choice == ("query", f"{words}: extract jobs read tables only")


def test_an_iceberg_table_is_queried_at_its_moment() -> None:
    (routed,) = route_tables(settings(), [ICEBERG]).routed
    assert (routed.route, routed.read_at) == ("query", "snapshot")
    assert "an Iceberg table" in routed.why


@pytest.mark.parametrize("words", SHAPES)
def test_a_part_of_a_table_is_queried(words: str) -> None:
    choice = choose_route(table("t"), Requirements(shape=SHAPES[words]))
    assert choice == ("query", f"{words}: extract jobs export complete tables")


@pytest.mark.parametrize(
    ("setting", "format_"), [("file_size", "csv"), ("null_marker", "csv"), ("row_group_rows", "parquet")]
)
def test_what_only_the_read_route_can_do_takes_it(setting: str, format_: str) -> None:
    chosen = settings(format=format_, **{setting: "x" if setting == "null_marker" else 10**6})
    (routed,) = route_tables(chosen, [table("t")]).routed
    assert (routed.route, routed.why) == ("read", f"{setting} is set: only the read route can do that")


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_time_travel_is_marked_as_read_when_its_job_runs(kind: str) -> None:
    (routed,) = route_tables(settings(), [of_kind(kind)]).routed
    has_past = kind in ("TABLE", "SNAPSHOT")
    assert routed.read_at == ("snapshot" if has_past else "job")
    assert ("not at the snapshot time" in routed.why) != has_past


@given(st.sampled_from(KINDS), st.sampled_from(ROUTES), st.sampled_from([Shape(), *SHAPES.values()]))
def test_a_requested_route_is_taken_or_refused_with_those_that_can(kind: str, route: str, shape: Shape) -> None:
    requested = of_kind(kind)
    expected = Requirements(route, shape=shape)
    if not (reason := obstacle(route, requested, expected)):
        assert choose_route(requested, expected) == (route, "asked for")
    else:
        with pytest.raises(UsageError) as caught:
            choose_route(requested, expected)
        output = str(caught.value)
        assert output.startswith(f'table t: the {route} route cannot export it ({reason}). Set route = "')
        able = output.split('Set route = "')[1].split('"')[0]
        assert not obstacle(able, requested, expected)


def test_the_last_route_that_matches_counts() -> None:
    sections = [{"name": "a*", "route": "extract"}, {"name": "ab", "route": "auto"}]
    chosen = settings(route="query", tables=sections)
    assert [requirements_of(chosen, table(name)).route for name in ("x", "aa", "ab")] == ["query", "extract", "auto"]


def test_a_route_for_a_table_that_is_not_there_gets_a_guess() -> None:
    for_one = settings(tables=[{"name": "ordres", "route": "query"}])
    with pytest.raises(UsageError, match=r"^\[tables.ordres\]: matches no table .*\. Did you mean 'orders'\?$"):
        route_tables(for_one, [table("orders")])
    route_tables(settings(route="query"), [])


def test_a_kind_that_no_route_can_read_is_skipped_with_its_reason() -> None:
    routing = route_tables(settings(), [of_kind("MODEL"), table("plain")])
    assert [(item.table, item.reason) for item in routing.skipped] == [("t", "of the unknown kind MODEL")]
    assert [item.table.name for item in routing.routed] == ["plain"]


def test_only_a_table_without_columns_and_rows_is_skipped_as_nothing_is_lost() -> None:
    bare = Table("bare", "TABLE", 0, 0, msgspec.Raw(b'{"timePartitioning":{"type":"DAY"}}'))
    routing = route_tables(settings(), [bare, msgspec.structs.replace(bare, name="full", rows=1), table("t", 0)])
    assert [(item.table, item.reason, item.asked) for item in routing.skipped] == [
        ("bare", "it has no columns, and so no rows", True)
    ]
    assert [item.table.name for item in routing.routed] == ["full", "t"]
    gone = msgspec.structs.replace(bare, definition=msgspec.Raw(b"null"))
    assert not route_tables(settings(), [gone]).skipped


def test_a_codec_that_no_route_has_for_a_view_is_refused_with_one_that_fits() -> None:
    with pytest.raises(UsageError, match=r'Set compression = "\w+" in \[tables\."t"\], or leave it out'):
        choose_route(of_kind("VIEW"), Requirements(format="parquet", compression="zstd"))


def test_a_view_gets_a_codec_that_queries_can_write_where_its_own_settings_name_none() -> None:
    usual = settings(format="parquet", compression="zstd", tables=[{"name": "own", "compression": "snappy"}])
    tables = [table("plain"), of_kind("VIEW"), msgspec.structs.replace(of_kind("VIEW"), name="own")]
    plain, view, own = route_tables(usual, tables).routed
    assert [(one.route, one.compression) for one in (plain, view, own)] == [
        ("extract", "zstd"), ("query", "gzip"), ("query", "snappy")
    ]  # fmt: skip
    assert "; gzip, as EXPORT DATA cannot write zstd" in view.why
    assert "zstd" not in own.why


@pytest.mark.parametrize("changed", [{"route": "query"}, {"tables": [{"name": "t", "compression": "zstd"}]}])
def test_a_codec_is_not_replaced_where_the_route_or_the_codec_was_asked_for(changed: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="EXPORT DATA cannot write parquet with zstd"):
        route_tables(settings(format="parquet", compression="zstd", **changed), [of_kind("VIEW")])


def test_streamed_changes_are_exported_with_another_codec() -> None:
    usual = settings(format="parquet", compression="zstd")
    (routed,) = route_tables(usual, [table("t")], captured={"t"}).routed
    assert (routed.route, routed.compression) == ("query", "gzip")
