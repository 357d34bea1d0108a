"""Small tables and files in place of the public ones that the suites read."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

PUBLIC = "bigquery-public-data"
FILES = "cloud-samples-data"
COPY = "public_samples_copy"
LANDSAT = "gcp-public-data-landsat"
# Queries for the rows, by table: the number of rows, and the columns by the number `n` of a row.
TABLES = {
    "samples.shakespeare": (164_656, """CASE MOD(n, 7) WHEN 0 THEN 'by' ELSE CONCAT('word', n) END AS word,
        n AS word_count, CASE MOD(n, 3) WHEN 0 THEN 'hamlet' WHEN 1 THEN 'macbeth' ELSE 'kinglear' END AS corpus,
        1600 AS corpus_date"""),
    "samples.natality": (2000, """2000 + MOD(n, 10) AS year, MOD(n, 12) + 1 AS month, n AS day, 7.5 AS weight_pounds,
        TRUE AS is_male, 'CA' AS state"""),
    "samples.gsod": (100, "n AS station_number, n AS wban_number, 2000 + MOD(n, 10) AS year, 1.5 AS mean_temp"),
    "usa_names.usa_1910_2013": (3000, """SPLIT('WA,TX,AL,CA,FL,KY', ',')[OFFSET(MOD(n, 6))] AS state, 'F' AS gender,
        1910 + MOD(n, 100) AS year, CONCAT('name', CAST(n AS STRING)) AS name, n AS number"""),
    "utility_us.country_code_iso": (249, """CONCAT('country', CAST(n AS STRING)) AS country_name, 'XX' AS alpha_2_code,
        'XXX' AS alpha_3_code, n AS country_code"""),
    "hacker_news.full": (100_001, """n AS id, 'title' AS title, 'text' AS text, n AS score, FALSE AS dead,
        CASE n WHEN 1 THEN 'pg' WHEN 2 THEN 'phyllis' WHEN 3 THEN 'phyllis' ELSE 'by' END AS `by`,
        CASE n WHEN 1 THEN TIMESTAMP '2006-10-09 18:21:51 UTC' WHEN 2 THEN TIMESTAMP '2006-10-09 18:30:28 UTC'
        WHEN 3 THEN TIMESTAMP '2006-10-09 18:40:33 UTC' ELSE TIMESTAMP '2020-01-01 00:00:00 UTC' END AS timestamp"""),
    "new_york.tlc_green_trips_2014": (100, """TIMESTAMP '2014-01-01 00:00:00 UTC' AS pickup_datetime,
        n AS passenger_count, 1.5 AS trip_distance"""),
    "new_york_citibike.citibike_stations": (50, """CONCAT('Central Park ', CAST(n AS STRING)) AS name, 40.7 AS latitude,
        -73.9 AS longitude, n AS num_bikes_available"""),
    "geo_census_tracts.us_census_tracts_national": (50, "'POINT(1 2)' AS tract_geom"),
    "stackoverflow.posts_questions": (50, "n AS id, 'google-bigquery' AS tags, n AS view_count"),
    "ethereum_blockchain.blocks": (1500, """n AS number,
        TIMESTAMP_ADD(TIMESTAMP '2015-08-01 00:00:00 UTC', INTERVAL n DAY) AS timestamp"""),
    "chicago_taxi_trips.taxi_trips": (50, "CAST(n AS STRING) AS unique_key, 1.5 AS fare"),
}  # fmt: skip
BY_DAY = ("ethereum_blockchain.blocks",)
TWEETS = "bigquery/federated-formats-reference-file-schema"
STATES = b"name,post_abbr\nAlabama,AL\nAlaska,AK\n"


def create(tables: Any, objects: Any) -> None:
    """Create all of them with these clients of BigQuery and Cloud Storage."""
    for name, (rows, columns) in TABLES.items():
        dataset = bigquery.Dataset(f"{PUBLIC}.{name.partition('.')[0]}")
        dataset.location = "US"
        tables.create_dataset(dataset, exists_ok=True)
        numbers = f"UNNEST(GENERATE_ARRAY(1, {rows})) AS n"
        days = "PARTITION BY DATE(timestamp)" if name in BY_DAY else ""
        tables.query_and_wait(f"CREATE TABLE `{PUBLIC}`.{name} {days} AS SELECT {columns} FROM {numbers}")
    # A suite expects a copy in its own project.
    tables.create_dataset(COPY)
    tables.query_and_wait(f"CREATE TABLE {COPY}.shakespeare AS SELECT * FROM `{PUBLIC}`.samples.shakespeare")
    objects.create_bucket(LANDSAT).blob("index.csv.gz").upload_from_string(b"")
    bucket = objects.create_bucket(FILES)
    bucket.blob("bigquery/us-states/us-states.csv").upload_from_string(STATES)
    for letter, names in {"a": ("username", "tweet", "timestamp", "likes"), "b": ("username", "tweet", "timestamp"),
                            "c": ("username", "tweet")}.items():  # fmt: skip
        row = {"username": letter, "tweet": "text", "timestamp": "2020", "likes": 1}
        kept = {key: row[key] for key in names}
        for kind, data in {"avro": _avro(kept), "parquet": _parquet(kept)}.items():
            bucket.blob(f"{TWEETS}/{letter}-twitter.{kind}").upload_from_string(data)


def _avro(row: dict[str, Any]) -> bytes:
    kinds = {key: "long" if isinstance(value, int) else "string" for key, value in row.items()}
    fields = [{"name": key, "type": ["null", kind]} for key, kind in kinds.items()]
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema({"type": "record", "name": "Root", "fields": fields}), [row])
    return out.getvalue()


def _parquet(row: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({key: [value] for key, value in row.items()}), out)
    return out.getvalue()
