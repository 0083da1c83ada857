"""The Java that Spark runs in: found, or asked for in one line."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from flows.errors import SparkMissing

# Spark 4 runs in Java 17 and 21.
OLDEST = 17

_HOW = "On Debian: apt-get install openjdk-17-jre-headless"


def find_java(environment: Mapping[str, str]) -> Path:
    """The program `java`: of JAVA_HOME or, where that is not set, of PATH.

    Raises SparkMissing, which says how to install one, if there is none or it is too old.
    """
    if home := environment.get("JAVA_HOME"):
        found = shutil.which("java", path=str(Path(home) / "bin"))
        where = f"in JAVA_HOME ({home})"
    else:
        found = shutil.which("java", path=environment.get("PATH"))
        where = "here"
    if found is None:
        raise SparkMissing(f"Spark needs Java {OLDEST} or later, and there is none {where}. {_HOW}.")
    if (version := _version(found)) < OLDEST:
        raise SparkMissing(f"Spark needs Java {OLDEST} or later, and {found} is Java {version}. {_HOW}, or set JAVA_HOME.")
    return Path(found)


def _version(java: str) -> int:
    """The first number of its version; 0 if it doesn't say. Java 8 called itself 1.8."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    number = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(number[1]) if number else 0
