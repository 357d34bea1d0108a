"""With few open files allowed, a command ends with its result, or with a sentence that names the limit."""

from __future__ import annotations

import os
import subprocess
import sys

from integration.stage import Stage

PROGRAM = """
import resource, sys
from bqdump.cli.main import start
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
sys.exit(start(sys.argv[2:]))
"""
# gRPC aborts a process that cannot open what a new channel needs.
OPENED = """
import os, resource, sys
from bqdump.adapters.read.reader import StorageReader
from bqdump.core.errors import OpenFilesError
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
for left in range(24):
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for descriptor in held[:left]:
            os.close(descriptor)
    try:
        StorageReader("project")
    except OpenFilesError as error:
        print(left, error)
    for descriptor in held[left:]:
        os.close(descriptor)
"""
LIMITS = (6, 12, 24, 32, 64)


def test_a_run_within_a_small_limit_of_open_files(stage: Stage) -> None:
    for number in range(8):
        stage.table(f"table_{number}")
    variables = {**stage.variables, "PATH": os.environ["PATH"]}
    del variables["DESTINATION_BUCKET"]
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(limit), "run", "--to", f"limit-{limit}"], env=variables,
            cwd=stage.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for limit in LIMITS
    ]  # fmt: skip
    ended = [(process.communicate()[0], process.returncode) for process in begun]
    for output, code in ended:
        assert "Traceback" not in output
        assert "unexpected" not in output
        # What is retried may succeed.
        assert code in (0, 5), output
        assert code == 0 or "ulimit -n" in output.splitlines()[-1], output
    assert (ended[0][1], ended[-1][1]) == (5, 0)


def test_a_reader_for_which_few_descriptors_are_left_is_an_error_and_no_end_of_the_process() -> None:
    variables = {"BIGQUERY_STORAGE_GRPC_ENDPOINT": "127.0.0.1:9", "PATH": os.environ["PATH"]}
    ended = subprocess.run([sys.executable, "-c", OPENED], env=variables, text=True, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [str(left) for left in range(16)]
    assert all("ulimit -n" in line for line in lines)
