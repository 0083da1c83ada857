"""Where Spark can't run, one line says what to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import SparkMissing
from flows.spark.needs import require_java


def _java(folder: Path, says: str) -> Path:
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    program.chmod(0o755)
    return folder


def test_without_java_the_line_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(
        SparkMissing, match=r"^Spark needs Java 17 or later, and there is none here\. On Debian: apt-get"
    ):
        require_java({"PATH": str(tmp_path)})


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(SparkMissing, match=rf"none in JAVA_HOME \({tmp_path}\)"):
        require_java({"PATH": "/usr/bin:/bin", "JAVA_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "11"),
        ('java version "1.8.0_401"', "8"),
        ("nothing", "of no known version"),
    ],
    ids=["11", "8", "none"],
)
def test_too_old_a_java_is_named_with_its_version(tmp_path: Path, says: str, version: str) -> None:
    with pytest.raises(
        SparkMissing, match=f"{tmp_path}/java is {'Java ' if version.isdigit() else ''}{version}.*apt-get"
    ):
        require_java({"PATH": f"{_java(tmp_path, says)}:/usr/bin:/bin"})


@pytest.mark.parametrize("says", ['openjdk version "17.0.15" 2025-04-15', 'openjdk version "21" 2023-09-19'])
def test_a_java_that_is_new_enough_will_do(tmp_path: Path, says: str) -> None:
    require_java({"PATH": f"{_java(tmp_path, says)}:/usr/bin:/bin"})


def test_a_command_that_needs_spark_is_one_line_without_java(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "regulars", "compare", "--engine", "spark"],
        env={**os.environ, "PATH": str(tmp_path), "JAVA_HOME": "", "REGULARS_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Spark needs Java 17")
    assert len(done.stderr.splitlines()) == 1
