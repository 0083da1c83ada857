"""pg_dump into psql, which runs all of it in one transaction: cut off anywhere, it leaves nothing behind."""

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

from psycopg.conninfo import conninfo_to_dict

from flows.clients import handed_to
from flows.moving.errors import MoveFailed

# pg_dump announces each object with a comment.
_OBJECT = re.compile(rb"-- (Data for )?Name: (.+?); Type: ([A-Z ]+); Schema: (.+?); Owner")

# The one statement of a dump that a server may be too old for: PostgreSQL 17 brought the setting.
_NEW_SETTING, _KNOWS_IT = b"SET transaction_timeout = 0;\n", 17


def transfer(
    programs: list[str],
    source: str,
    target: str,
    *,
    snapshot: str,
    before: str,
    after: str,
    target_version: int,
    on_object: Callable[[str], None],
) -> None:
    """Runs `before`, the dump of `snapshot`, and `after` on the target, in a transaction that `after` commits.

    `programs` are pg_dump and psql. `on_object` is called with what is made or copied. Raises MoveFailed; then nothing
    was committed.
    """
    pg_dump, psql = programs
    dump_from, dump_environment = handed_to(conninfo_to_dict(source))
    load_into, load_environment = handed_to(conninfo_to_dict(target))
    with TemporaryFile() as dump_errors, TemporaryFile() as load_errors:
        dump = subprocess.Popen(  # noqa: S603
            [
                pg_dump, "--format=plain", "--no-owner", "--no-tablespaces", "--no-publications", "--no-subscriptions",
                "--no-password", "--lock-wait-timeout=60s", f"--snapshot={snapshot}", f"--dbname={dump_from}",
            ],
            env=dump_environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=dump_errors,
        )  # fmt: skip
        load = subprocess.Popen(  # noqa: S603
            [
                psql, "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1",
                # What PostgreSQL adds to a message may hold a row.
                "--set=VERBOSITY=terse", "--set=SHOW_CONTEXT=never",
                f"--output={os.devnull}", "--file=-", f"--dbname={load_into}",
            ],
            env=load_environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=load_errors,
        )  # fmt: skip
        try:
            _pipe(dump, load, before, after, is_old=target_version < _KNOWS_IT, on_object=on_object)
        finally:
            for process in (dump, load):
                # Without its commit, what psql did so far is undone.
                if process.poll() is None:
                    process.kill()
                process.wait()
        if load.returncode != 0:
            raise MoveFailed(f"The target refused it, and nothing was moved: {_first_error(load_errors)}.")
        if dump.returncode != 0:
            raise MoveFailed(f"The source could not be read, and nothing was moved: {_first_error(dump_errors)}.")


def _pipe(
    dump: "subprocess.Popen[bytes]",
    load: "subprocess.Popen[bytes]",
    before: str,
    after: str,
    *,
    is_old: bool,
    on_object: Callable[[str], None],
) -> None:
    reads, writes = dump.stdout, load.stdin
    if reads is None or writes is None:
        raise RuntimeError("a pipe is missing")
    # A pipe that breaks is psql's end, whose message is reported.
    with suppress(BrokenPipeError):
        writes.write(before.encode())
        is_data = False
        for line in reads:
            if is_data:
                is_data = line != b"\\.\n"
            elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
                is_data = True
            elif found := _OBJECT.match(line):
                on_object(_described(found))
            elif is_old and line == _NEW_SETTING:
                continue
            writes.write(line)
        if dump.wait() == 0:
            on_object("comparing both sides")
            writes.write(after.encode())
    # Without `after`, there is no commit.
    with suppress(BrokenPipeError):
        writes.close()
    load.wait()
    reads.close()


def _described(found: "re.Match[bytes]") -> str:
    is_data, name, kind, schema = (part.decode() if part else "" for part in found.groups())
    return f"copying {schema}.{name}" if is_data else f"making the {kind.lower()} {name}"


def _first_error(file: IO[bytes]) -> str:
    file.seek(0)
    lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    first = next((line for line in lines if "ERROR" in line or "error" in line), lines[-1] if lines else "no message")
    return re.sub(r"^(psql|pg_dump):(<stdin>:\d+:)? *(error:)? *", "", first).removeprefix("ERROR:").strip().rstrip(".")
