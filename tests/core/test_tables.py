"""Settings of single tables: from sections of TOML to what of each table is exported."""

from __future__ import annotations

import tomllib

import pytest

from bqdump.core.errors import UsageError
from bqdump.core.formats.types import columns
from bqdump.core.plan.routes import Requirements, requirements_of, route_tables
from bqdump.core.settings.resolve import file, resolve
from bqdump.core.settings.resolve import flags as given
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import TableSettings, check_columns, parse_tables, shape_of, tables_text
from bqdump.core.sql.statements import select_part
from bqdump.core.tables.catalog import Dataset, Mask, Shape
from core.strategies import settings, table

PEOPLE = table(
    "people", 1000, {"name": "id", "type": "INTEGER"}, {"name": "Email", "type": "STRING"},
    {"name": "photo", "type": "BYTES"}, {"name": "born", "type": "DATE"}, {"name": "tags", "type": "STRING",
    "mode": "REPEATED"}, {"name": "extra", "type": "JSON"}, {"name": "home", "type": "GEOGRAPHY"},
)  # fmt: skip
DATASET = Dataset("p", "d", "EU")


def parsed(toml: str) -> tuple[TableSettings, ...]:
    return parse_tables(tomllib.loads(toml)["tables"])


def with_tables(toml: str, **flags: str) -> Settings:
    required = {"project": "proj", "dataset": "data", "bucket": "target"}
    return resolve(given(required | flags), file(tomllib.loads(toml), "bqdump.toml"))


def shape(toml: str) -> Shape:
    return shape_of(parsed(toml), "people", columns(PEOPLE.definition))


def query(toml: str) -> str:
    return select_part(DATASET, "people", None, PEOPLE.definition, shape(toml))


def test_columns_are_chosen_in_the_order_given_and_by_any_case() -> None:
    assert shape('[tables.people]\ncolumns = ["BORN", "id", "email", "id"]').columns == ("born", "id", "Email")
    assert query('[tables.people]\ncolumns = ["born", "id"]') == "SELECT `born`, `id` FROM `p`.`d`.`people`"


def test_names_that_differ_in_more_than_case_are_different_columns() -> None:
    both = table("goods", 1, {"name": "Masse", "type": "FLOAT"}, {"name": "Maße", "type": "STRING"})
    sections = parsed('[tables.goods.masks]\nmasse = "null"')
    assert shape_of(sections, "goods", columns(both.definition)).masks == {"Masse": Mask(null=True)}
    sections = parsed('[tables.goods]\nexclude_columns = ["MASSE"]')
    assert shape_of(sections, "goods", columns(both.definition)).columns == ("Maße",)


def test_a_table_that_has_gone_stays_where_its_columns_do_not_matter() -> None:
    assert shape_of(parsed('[tables."*"]\nformat = "json"'), "gone", ()) == Shape()
    assert shape_of(parsed('[tables."*"]\nwhere = "id > 1"'), "gone", ()) == Shape(where="id > 1")
    for section in ('[tables."*"]\nexclude_columns = ["photo"]', '[tables.gone.masks]\nphoto = "null"'):
        with pytest.raises(UsageError, match="table gone: its settings name columns, and it has none or was deleted"):
            shape_of(parsed(section), "gone", ())


def test_columns_are_left_out() -> None:
    toml = '[tables.people]\nexclude_columns = ["email", "photo", "tags", "extra", "home"]'
    assert shape(toml).columns == ("id", "born")


def test_all_columns_by_name_are_the_whole_table() -> None:
    names = '"id", "Email", "photo", "born", "tags", "extra", "home"'
    assert shape(f"[tables.people]\ncolumns = [{names}]") == Shape()


def test_rows_are_filtered_inside_of_parentheses() -> None:
    text = query("[tables.people]\nwhere = \"id > 1 OR Email LIKE '%.ch'\"")
    assert text == "SELECT * FROM `p`.`d`.`people`\nWHERE (\nid > 1 OR Email LIKE '%.ch'\n)"


def test_a_column_called_like_its_table_means_the_column_and_not_the_whole_row() -> None:
    status = table("Status", 1, {"name": "status", "type": "STRING"}, {"name": "source", "type": "STRING"},
                   {"name": "secret", "type": "STRING"})  # fmt: skip
    sections = parsed('[tables.Status]\nexclude_columns = ["secret"]\nwhere = "status = \'x\'"')
    shape = shape_of(sections, "Status", columns(status.definition))
    assert select_part(DATASET, "Status", 7, status.definition, shape) == (
        "SELECT `status`, `source` FROM `p`.`d`.`Status` AS `source_` "
        "FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS(7)\nWHERE (\nstatus = 'x'\n)"
    )


def test_masks_keep_names_and_where_they_can_types() -> None:
    toml = """
    [tables.people.masks]
    id = {constant = 7}
    email = {sha256 = "SALT"}
    photo = {sha256 = "SALT"}
    born = "null"
    tags = {sha256 = "OTHER_SALT"}
    extra = {constant = '["it\\"s", "\\u0027"]'}
    home = "null"
    """
    assert query(toml) == (
        "SELECT CAST('7' AS INT64) AS `id`, TO_HEX(SHA256(CONCAT(@salt_0, `Email`))) AS `Email`, "
        "TO_HEX(SHA256(CONCAT(CAST(@salt_0 AS BYTES), `photo`))) AS `photo`, CAST(NULL AS DATE) AS `born`, "
        "TO_HEX(SHA256(CONCAT(@salt_1, TO_JSON_STRING(`tags`)))) AS `tags`, "
        'PARSE_JSON(\'["it\\\\"s", "\\\\u0027"]\') AS `extra`, CAST(NULL AS GEOGRAPHY) AS `home` '
        "FROM `p`.`d`.`people`"
    )
    assert shape(toml).salts == {"salt_0": "SALT", "salt_1": "OTHER_SALT"}


def test_a_geography_is_hashed_as_its_wkt_as_it_cannot_be_cast() -> None:
    hashed = "TO_HEX(SHA256(CONCAT(@salt_0, ST_ASTEXT(`home`)))) AS `home`"
    assert hashed in query('[tables.people.masks]\nhome = {sha256 = "SALT"}')


def test_a_constant_cannot_leave_its_text() -> None:
    assert "CAST('\\') OR (\\'' AS STRING) AS `Email`" in query(
        "[tables.people.masks]\nemail = {constant = \"') OR ('\"}"
    )


def test_restrictions_of_several_sections_add_up() -> None:
    toml = """
    [tables."*"]
    exclude_columns = ["photo"]
    where = "id > 1"
    masks = {email = "null", born = "null"}
    format = "avro"
    [tables."p*"]
    exclude_columns = ["tags"]
    where = "id < 9"
    masks = {email = {constant = "x"}}
    format = "json"
    """
    found = shape(toml)
    assert found.columns == ("id", "Email", "born", "extra", "home")
    assert found.masks == {"Email": Mask(constant="x"), "born": Mask(null=True)}
    assert found.where == "(id > 1) AND (id < 9)"
    assert requirements_of(with_tables(toml), PEOPLE).format == "json"


def test_two_sections_that_choose_columns_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\[tables\.\*\] and \[tables\.people\] both choose its columns"):
        shape('[tables."*"]\ncolumns = ["id"]\n[tables.people]\ncolumns = ["email"]')


@pytest.mark.parametrize("key", ["columns", "exclude_columns"])
def test_an_unknown_column_gets_a_guess(key: str) -> None:
    with pytest.raises(
        UsageError, match=r"^\[tables\.people\]: table people has no column 'emial'\. Did you mean 'Email'\?"
    ):
        shape(f'[tables.people]\n{key} = ["emial"]')
    with pytest.raises(UsageError, match=r"has no column 'qqqq'\. Its columns: id, Email, photo"):
        shape("[tables.people.masks]\nqqqq = 'null'")


def test_a_pattern_may_name_columns_that_only_some_tables_have() -> None:
    toml = '[tables."*"]\nexclude_columns = ["email"]'
    chosen = with_tables(toml)
    routed = {item.table.name: item for item in route_tables(chosen, [PEOPLE, table("orders")]).routed}
    assert routed["orders"].shape == Shape()
    assert routed["orders"].route == "extract"
    assert "Email" not in routed["people"].shape.columns
    assert (routed["people"].route, routed["people"].why) == (
        "query", "columns are chosen: extract jobs export complete tables"
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"^\[tables\.\*\]: none of its 1 tables has no column"[:20]):
        route_tables(chosen, [table("orders")])


def test_a_section_for_no_table_gets_a_guess() -> None:
    sections = parsed('[tables.poeple]\nwhere = "id > 1"')
    with pytest.raises(UsageError, match=r"^\[tables\.poeple\]: matches no table .*\. Did you mean 'people'\?"):
        check_columns(sections, {"people": columns(PEOPLE.definition)})


def test_a_section_for_a_table_that_patterns_leave_out_is_fine() -> None:
    sections = parsed('[tables.alpha]\nwhere = "id > 1"\n["tables"."al*"]\nexclude_columns = ["x"]')
    people = {"people": columns(PEOPLE.definition)}
    check_columns(sections, people, ["alpha", "orders"])
    with pytest.raises(UsageError, match=r"^\[tables\.alpha\]: matches no table of the dataset"):
        check_columns(sections, people, ["orders"])
    chosen = with_tables('[tables.alpha]\nroute = "query"')
    assert [item.route for item in route_tables(chosen, [PEOPLE], ["alpha"]).routed] == ["extract"]
    with pytest.raises(UsageError, match=r"^\[tables\.alpha\]: matches no table of the dataset"):
        route_tables(chosen, [PEOPLE], ["beta"])


def test_nothing_left_is_refused() -> None:
    with pytest.raises(UsageError, match=r"table people: \[tables\.people\] excludes all columns"):
        shape('[tables.people]\ncolumns = ["id"]\nexclude_columns = ["ID"]')


def test_a_constant_for_a_nested_column_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'tags' is ARRAY<STRING>, which cannot be masked with a constant"):
        shape("[tables.people.masks]\ntags = {constant = 'x'}")


def test_what_names_a_table_wins_over_what_is_for_all() -> None:
    toml = 'route = "query"\n[tables.people]\nroute = "extract"'
    assert requirements_of(with_tables(toml), PEOPLE).route == "extract"
    assert requirements_of(with_tables(toml), table("orders")).route == "query"
    assert requirements_of(with_tables(toml + '\n["tables"."peop*"]\nroute = "auto"'), PEOPLE).route == "auto"


def test_a_table_with_its_own_format_does_not_take_the_codec_of_all() -> None:
    chosen = with_tables('format = "csv"\ncompression = "gzip"\n[tables.people]\nformat = "avro"')
    assert requirements_of(chosen, PEOPLE) == Requirements("auto", "avro", "none", usual=True)
    assert requirements_of(chosen, table("orders")) == Requirements("auto", "csv", "gzip", usual=True)
    with pytest.raises(UsageError, match=r"table people: 'gzip' is not a codec of avro\. avro takes none, deflate"):
        requirements_of(with_tables('[tables.people]\nformat = "avro"\ncompression = "gzip"'), PEOPLE)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[tables]\npeople = 1", "tables.people: expected a section with settings"),
        ('[tables.people]\ncolums = ["a"]', "tables.people: unknown setting 'colums'; expected columns"),
        ('[tables.people]\ncolumns = "a"', "tables.people.columns: expected a list of column names"),
        ("[tables.people]\nwhere = 1", "tables.people.where: expected a string"),
        ('[tables.people]\nwhere = ""', "tables.people.where: empty filter"),
        ('[tables.people]\nwhere = "x; y"', "tables.people.where: ';' is not allowed"),
        ('[tables.people]\nformat = "xml"', "tables.people.format: 'xml': expected csv, json, avro or parquet"),
        ('[tables.people]\nroute = "fast"', "tables.people.route: 'fast': expected auto, extract, query or read"),
        ('[tables.people.masks]\na = "hide"', "tables.people.masks.a"),
        ("[tables.people.masks]\na = {}", "tables.people.masks.a"),
        ('[tables.people.masks]\na = {sha256 = "S", constant = 1}', "tables.people.masks.a"),
        ('[tables.people.masks]\na = {sha265 = "S"}', "tables.people.masks.a"),
        ('[tables.people.masks]\na = {sha256 = "my salt"}', "'my salt' is not the name of an environment variable"),
        ("[tables.people.masks]\na = {constant = [1]}", "tables.people.masks.a"),
    ],
)
def test_a_section_that_cannot_be_used_is_refused_with_place_and_reason(toml: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_tables(toml)
    assert str(caught.value).startswith("bqdump.toml: tables")
    assert words in str(caught.value)


def test_sections_survive_the_variable_that_a_deployment_gives_them_in() -> None:
    toml = """
    [tables."a*"]
    columns = ["x", "y"]
    where = "x > 1"
    format = "json"
    [tables.a.masks]
    x = {sha256 = "SALT"}
    y = {constant = false}
    z = "null"
    """
    sections = parsed(toml)
    assert parse_tables(tables_text(sections)) == sections
    assert tables_text(()) == ""


def test_the_settings_of_a_table_are_part_of_the_digest_and_hold_no_salt() -> None:
    plain, masked = settings(), with_tables('[tables.people.masks]\nid = {sha256 = "SALT"}')
    assert plain.digest() != masked.digest()
    assert masked.frozen()["tables"] == [{"name": "people", "masks": {"id": {"sha256": "SALT"}}}]
