"""The first statements of a new local stack, which several threads parse at once."""

from __future__ import annotations

import subprocess
import sys

PARSE = """
import threading
from bqdump_local.bigquery.jobs import service
from bqdump_local.bigquery.sql.parsing import parse
from sqlglot.dialects import dialect

kinds, others = [], []
new_trie = dialect.new_trie

def run():
    kinds.append(type(parse("CREATE OR REPLACE TABLE `p.d.t` (a STRING NOT NULL)")[0]).__name__)

def interrupted(*words):
    "Another thread parses while this one is loading a dialect, which has its name already."
    if not others and "bigquery" in dialect.Dialect._classes:
        others.append(threading.Thread(target=run))
        others[0].start()
        others[0].join()
    return new_trie(*words)

dialect.new_trie = interrupted
run()
print(*kinds)
"""


def test_a_thread_never_parses_with_a_dialect_that_another_one_is_loading() -> None:
    # Without -P: a start of its own, in which nothing has parsed before.
    ran = subprocess.run([sys.executable, "-c", PARSE], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) == {"Create"}
