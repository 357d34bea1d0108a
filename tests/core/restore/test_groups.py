"""Files are put into load jobs that BigQuery accepts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.documents.manifest import File
from bqdump.core.restore.loads import MOST_BYTES, MOST_FILES, grouped, too_large
from core.restore.exports import file

FILES = st.lists(
    st.builds(file, st.just("f"), st.integers(0, MOST_BYTES), st.none() | st.integers(0, 3)), max_size=40
)  # fmt: skip


def test_a_job_takes_ten_thousand_files() -> None:
    groups = grouped([file(f"f{number}", 1) for number in range(25_000)])
    assert list(map(len, groups)) == [10_000, 10_000, 5_000]
    assert MOST_FILES == 10_000


def test_long_names_fill_the_request_earlier() -> None:
    groups = grouped([file("x" * 1000 + str(number), 1) for number in range(10_000)])
    assert len(groups) == 2
    assert all(sum(len(one.name) for one in group) < 10 * 10**6 for group in groups)


@given(FILES)
def test_every_file_with_rows_is_in_one_job_in_order_and_no_job_is_too_large(files: list[File]) -> None:
    groups = grouped(files)
    assert [one for group in groups for one in group] == [one for one in files if one.size and one.rows != 0]
    assert all(group and sum(one.size for one in group) <= MOST_BYTES for group in groups)


def test_only_compressed_text_and_quoted_lines_limit_the_size_of_a_file() -> None:
    files = [file("a", 4 * 10**9), file("b", 4 * 10**9 + 1), file("c", 9 * 10**9)]
    assert "compressed files up to 4 GB, and b has 4 GB (2 files are larger)" in too_large(
        files, "json", "gzip", quoted_lines=False
    )
    assert too_large(files, "csv", "none", quoted_lines=True)
    assert not too_large(files, "csv", "none", quoted_lines=False)
    assert not too_large(files, "parquet", "gzip", quoted_lines=False)
    assert not too_large(files[:1], "csv", "gzip", quoted_lines=True)
