"""The code blocks of the documents, and how a reader would run them."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.clients import find_clients


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of this language, in order; '' for those that name none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for named, block in found if named == language]


def shell(commands: str, *, folder: Path, programs: Sequence[str] = (), **environment: str) -> str:
    """What the commands print, with `regulars` and `psql`, or other `programs`, on the path. Fails where one of them
    fails."""
    clients = programs or find_clients("psql")
    path = os.pathsep.join([str(Path(sys.executable).parent), str(Path(clients[0]).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=os.environ | {"PATH": path, "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
