"""What people do first, in environments as they have them: python -m tests.environments [NAME …] [--keep FOLDER].

The locked environments have one version of each package and leave pandas out. Here bqdump comes from its wheel, next to
packages that data engineers have, with the newest and with the oldest versions that pyproject.toml allows. It needs a
package index, and takes minutes: `.ci/run` runs it every night.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from docs.samples import example

ROOT = Path(__file__).parent.parent


class Environment(NamedTuple):
    """An environment: what is installed next to the wheel and its extras `local` and `s3`, and how: by pip or uv, as a
    tool, or by uv with the oldest versions that are allowed. pages: tests that follow pages literally with its bqdump.
    """

    others: Sequence[str] = ()
    how: str = "pip"
    pages: Sequence[str] = ()


ENVIRONMENTS: Mapping[str, Environment] = {
    "readme": Environment(
        pages=("docs/test_readme.py", "docs/test_recipes.py", "docs/test_disaster.py", "integration/test_walks.py")
    ),
    "data": Environment(("pandas", "numpy", "polars", "pyarrow", "duckdb"), "uv"),
    "airflow": Environment(("apache-airflow>=3", "apache-airflow-providers-google", "pandas"), "uv"),
    "oldest": Environment(how="oldest"),
    "tool": Environment(how="tool"),
}
UV = [sys.executable, "-m", "uv"]
RUN = "--run-id"
# Its name follows from the time for which engines/composer.py runs the DAG.
RECIPES_RUN = "20260131T030000"
JOURNEY = (
    ("demo", "--folder", "demo"),
    ("local", "seed"),
    ("run", "--to", "./copy", RUN, "folder", "--format", "parquet"),
    *(
        ("run", "--prefix", f"{route}-{format_}", RUN, format_, "--route", route, "--format", format_)
        for route, format_ in (("extract", "avro"), ("query", "json"), ("read", "parquet"), ("read", "csv"))
    ),
    ("verify", "--prefix", "read-parquet", "--read"),
    ("verify", "--to", "./copy", "--read"),
    ("restore", "--prefix", "extract-avro", "--into", "back"),
    ("restore", "--to", "./copy", "--via", "gs://target-data/via", "--into", "back_again", "--verify"),
    ("sql", "--to", "./copy", "--command", "SELECT count(*) FROM dummy_01"),
    ("drill", "--prefix", "query-json", "--include", "dummy_0*"),
)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def build(folder: Path) -> Path:
    """The wheel of this tree."""
    subprocess.run(
        [*UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", str(folder), str(ROOT)], check=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(environment: Environment, wheel: Path, folder: Path) -> Path:
    """Make the environment; returns its bqdump."""
    wanted = f"bqdump[local,s3] @ {wheel.as_uri()}"
    if environment.how == "tool":
        places = {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
        subprocess.run([*UV, "tool", "install", "--quiet", "--no-config", wanted], env=os.environ | places, check=True)
        return folder / "bin/bqdump"
    venv.create(folder, with_pip=environment.how == "pip", symlinks=True)
    python = folder / "bin/python"
    quiet = ["--quiet", "--no-config", "--python", str(python)]
    if environment.how == "pip":
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", wanted, *environment.others], check=True)
    elif environment.how == "uv":
        subprocess.run([*UV, "pip", "install", *quiet, wanted, *environment.others], check=True)
    else:
        # Of a wheel, what it needs is indirect, so the versions are resolved for the project.
        chosen = folder / "oldest.txt"
        resolve = [*UV, "pip", "compile", *quiet, "--resolution", "lowest-direct", "--extra", "local"]
        subprocess.run([*resolve, "--output-file", str(chosen), str(ROOT / "pyproject.toml")], check=True, cwd=folder)
        subprocess.run([*UV, "pip", "install", *quiet, "--requirement", str(chosen), str(wheel)], check=True)
    return folder / "bin/bqdump"


def walk(bqdump: Path, folder: Path) -> str:
    """Do in a folder what people do first; returns the command that failed with what it said, or ""."""
    folder.mkdir()
    # Nothing of the environment that runs this, and no settings.
    environ = {"PATH": f"{bqdump.parent}:{os.environ['PATH']}", "HOME": str(folder), "TMPDIR": str(folder)}

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(bqdump), *arguments]
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=check, timeout=900
        )

    up = run("local", "up", check=False)
    if up.returncode:
        return f"bqdump local up: {up.returncode}\n{up.stderr}"
    for line in up.stdout.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        environ[name] = value.strip("'\"")
    environ |= {"PROJECT_ID": "local-project", "SOURCE_DATASET": "TEST_DATA", "DESTINATION_BUCKET": "target-data"}
    try:
        for arguments in JOURNEY:
            done = run(*arguments, check=False)
            say(f"  {done.returncode} bqdump {' '.join(arguments)}")
            if done.returncode or "Traceback" in done.stderr:
                return f"bqdump {' '.join(arguments)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return composed(bqdump, folder, environ) if (bqdump.parent / "airflow").exists() else ""
    finally:
        run("local", "down", check=False)


def followed(bqdump: Path, pages: Sequence[str]) -> str:
    """Follow pages with this bqdump; returns what failed, or ""."""
    command = [sys.executable, "-m", "pytest", "-q", *(str(ROOT / "tests" / page) for page in pages)]
    environ = os.environ | {"INSTALLED": str(bqdump.parent)}
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    say(f"  {done.returncode} {' '.join(pages)}")
    return done.stdout if done.returncode else ""


def composed(bqdump: Path, folder: Path, environ: Mapping[str, str]) -> str:
    """Run Composer's recipe in docs/engines.md, with Google's operator in Airflow; returns what failed, or ""."""
    dag = folder / "airflow/dags/composer.py"
    dag.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tests/engines/composer.py", dag)
    names = ("PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET")
    env = [{"name": name, "value": environ[name]} for name in names] + [{"name": "BQDUMP_PREFIX", "value": "composer"}]
    task = {"maxRetries": 0, "containers": [{"image": "any", "args": ["run"], "env": env}]}
    url = f"{environ['CLOUD_RUN_ADDRESS']}/v2/projects/my-project/locations/europe-west1/jobs?jobId=bqdump"
    body = json.dumps({"template": {"template": task}}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=60).close()
    own = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": "google-cloud-platform://",
        "RECIPE": example((ROOT / "docs/engines.md").read_text(), "Cloud Composer", "python"),
    }
    commands = (
        ["airflow", "db", "migrate"],
        ["python", str(dag)],
        ["bqdump", "verify", RECIPES_RUN, "--prefix", "composer"],
    )
    for words in commands:
        command = [str(bqdump.parent / words[0]), *words[1:]]
        done = subprocess.run(
            command, cwd=folder, env={**environ, **own}, capture_output=True, text=True, check=False, timeout=600
        )
        say(f"  {done.returncode} {' '.join(words)}")
        if done.returncode:
            return f"{' '.join(words)}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return ""


def main() -> None:
    """Try the named environments, or all. Exits with 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *ENVIRONMENTS], metavar="NAME")
    parser.add_argument("--keep", type=Path, help="an empty folder for the environments (default: a temporary one)")
    arguments = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.keep or Path(scratch)).absolute()
        folder.mkdir(exist_ok=True)
        wheel = build(folder / "wheel")
        for name in arguments.names or ENVIRONMENTS:
            say(name)
            bqdump = install(ENVIRONMENTS[name], wheel, folder / name)
            pages = ENVIRONMENTS[name].pages
            if problem := walk(bqdump, folder / f"{name}-walk") or (followed(bqdump, pages) if pages else ""):
                failed.append(name)
                say(problem)
    say(f"{len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
