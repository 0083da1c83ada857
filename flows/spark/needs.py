"""What Spark needs on this machine: Java and its packages."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from flows.errors import SparkMissing

# Spark 4 runs in Java 17 and 21.
OLDEST = 17

_PACKAGES = ("pyspark", "pyarrow")

_HOW = "On Debian: apt-get install openjdk-17-jre-headless"


def require_spark() -> None:
    """Raises SparkMissing, which says what to install, if Spark can't run here."""
    require_java()
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SparkMissing(
            f"Spark needs {' and '.join(missing)}, which `make spark` installs, or pip install 'regulars[spark]'."
        )


def require_java(environment: Mapping[str, str] = os.environ) -> None:
    """Looks for the program `java` where Spark does: in JAVA_HOME or, where that is not set, in PATH.

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
        what = f"Java {version}" if version else "of no known version"
        raise SparkMissing(f"Spark needs Java {OLDEST} or later, and {found} is {what}. {_HOW}, or set JAVA_HOME.")


def _version(java: str) -> int:
    """The first number of its version; 0 if it can't be read. Java 8 called itself 1.8."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    number = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(number[1]) if number else 0


if __name__ == "__main__":
    # `make spark` asks before it downloads the packages.
    try:
        require_java()
    except SparkMissing as missing:
        sys.exit(str(missing))
