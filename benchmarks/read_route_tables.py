"""The tables of the read route's benchmark."""

from __future__ import annotations

from typing import Any

from benchmarks.size import sized

ROWS, STREAMS = sized(1_500_000, 2_000), 2
WORDS = """the quick final furiously regular deposits sleep above pending packages across bold accounts wake carefully
ironic requests haggle slyly express foxes nag even theodolites along silent instructions among blithely special pinto
beans cajole daring asymptotes boost dependencies doze ideas detect quietly unusual platelets integrate courts"""


def some_words(count: int) -> str:
    """SQL for a string of `count` of the words `w`, which differs for each `i`."""
    return " || ' ' || ".join(f"w[1 + (hash(i * 31 + {n}) % len(w))::INT]" for n in range(count))


# Ten columns of mixed types, about 125 bytes per row.
ORDERS = f"""i::BIGINT AS id, (i * 7919) % 100000 AS ref, round(random() * 1000, 2) AS price,
    (random() * 1e6)::DECIMAL(18, 2)::DECIMAL(38, 9) AS amount, DATE '2020-01-01' + (i % 1000)::INT AS d,
    TIMESTAMPTZ '2020-01-01' + to_microseconds(i * 1000003) AS ts, i % 3 = 0 AS ok,
    ['EU', 'US', 'ASIA', 'AFRICA'][1 + i % 4] AS region, 'customer-' || ((i * 31) % 50000) AS name,
    {some_words(6)} AS note"""
# Sixteen columns with the value ranges of TPC-H's specification (4.2.3), decimals as NUMERIC.
LINEITEM = f"""(i // 4 * 8)::BIGINT AS l_orderkey, (hash(i) % 200000 + 1)::BIGINT AS l_partkey,
    (hash(i + 1) % 10000 + 1)::BIGINT AS l_suppkey, i % 4 + 1 AS l_linenumber,
    (hash(i + 2) % 50 + 1)::DECIMAL(38, 9) AS l_quantity,
    ((hash(i + 2) % 50 + 1) * (90000 + hash(i) % 120001) / 100)::DECIMAL(15, 2)::DECIMAL(38, 9) AS l_extendedprice,
    ((hash(i + 3) % 11) / 100)::DECIMAL(15, 2)::DECIMAL(38, 9) AS l_discount,
    ((hash(i + 4) % 9) / 100)::DECIMAL(15, 2)::DECIMAL(38, 9) AS l_tax,
    ['R', 'A', 'N'][1 + (hash(i + 5) % 3)::INT] AS l_returnflag, ['O', 'F'][1 + (hash(i + 6) % 2)::INT] AS l_linestatus,
    DATE '1992-01-02' + (hash(i + 7) % 2526)::INT AS l_shipdate,
    DATE '1992-01-31' + (hash(i + 8) % 2466)::INT AS l_commitdate,
    DATE '1992-01-03' + (hash(i + 7) % 2526 + hash(i + 9) % 30)::INT AS l_receiptdate,
    ['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'][1 + (hash(i + 10) % 4)::INT] AS l_shipinstruct,
    ['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'][1 + (hash(i + 11) % 7)::INT] AS l_shipmode,
    {some_words(4)} AS l_comment"""
# Twelve columns of measurements: mostly numbers, few of which repeat.
READINGS = """i::BIGINT AS id, (hash(i) % 5000)::BIGINT AS sensor,
    TIMESTAMPTZ '2024-01-01' + to_microseconds(i * 250007) AS ts, (hash(i + 1) % 100000)::BIGINT AS sequence,
    random() * 60 - 20 AS temperature, 950 + random() * 100 AS pressure, random() AS humidity, 3 + random() AS voltage,
    random() * 180 - 90 AS latitude, random() * 360 - 180 AS longitude, hash(i + 2) % 50 > 0 AS ok,
    ['idle', 'running', 'stopped'][1 + (hash(i + 3) % 3)::INT] AS state"""
TABLES = {"orders": ORDERS, "lineitem": LINEITEM, "readings": READINGS}
COLUMNS = {
    "orders": {
        "id": "INTEGER",
        "ref": "INTEGER",
        "price": "FLOAT",
        "amount": "NUMERIC",
        "d": "DATE",
        "ts": "TIMESTAMP",
        "ok": "BOOLEAN",
        **dict.fromkeys(("region", "name", "note"), "STRING"),
    },
    "lineitem": {
        **dict.fromkeys(("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber"), "INTEGER"),
        **dict.fromkeys(("l_quantity", "l_extendedprice", "l_discount", "l_tax"), "NUMERIC"),
        **dict.fromkeys(("l_returnflag", "l_linestatus"), "STRING"),
        **dict.fromkeys(("l_shipdate", "l_commitdate", "l_receiptdate"), "DATE"),
        **dict.fromkeys(("l_shipinstruct", "l_shipmode", "l_comment"), "STRING"),
    },
    "readings": {
        "id": "INTEGER",
        "sensor": "INTEGER",
        "ts": "TIMESTAMP",
        "sequence": "INTEGER",
        **dict.fromkeys(("temperature", "pressure", "humidity", "voltage", "latitude", "longitude"), "FLOAT"),
        "ok": "BOOLEAN",
        "state": "STRING",
    },
}


def table(name: str, rows: int) -> Any:
    """One of the tables."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    words = ", ".join(f"'{word}'" for word in WORDS.split())
    made = con.sql(f"WITH words AS (SELECT [{words}] AS w) SELECT {TABLES[name]} FROM range({rows}) t(i), words")
    return made.to_arrow_table()


def definition(table: str) -> Any:
    """The columns as tables.get returns them."""
    import msgspec

    fields = [{"name": name, "type": kind} for name, kind in COLUMNS[table].items()]
    return msgspec.Raw(msgspec.json.encode({"schema": {"fields": fields}}))
