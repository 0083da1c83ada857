"""`regulars sql`: psql as the analyst, who reads every mart, sees no personal data and can't write."""

import signal
import subprocess
from typing import Annotated, Any

import psycopg
import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from flows.clients import find_clients, handed_to
from ingest.storage.connections import connect, conninfo
from ingest.storage.errors import DatabaseError
from ingest.storage.settings import Settings

ROLE = "regulars_analyst"


def sql(
    context: typer.Context,
    timeout: Annotated[int, typer.Option(min=1, help="Cancel a query after this many seconds.")] = 60,
) -> None:
    """Open psql as the analyst: schema analytics, every shop, no personal data, read-only.

    Other arguments go to psql: [bold]regulars sql -c "select …"[/bold], [bold]regulars sql --csv < query.sql[/bold].
    """
    (program,) = find_clients("psql")
    given = analyst_session(conninfo(Settings.from_environment()), timeout=timeout)
    raise typer.Exit(_run(program, given, context.args))


def analyst_session(where: str, *, timeout: int) -> dict[str, Any]:
    """The connection parameters of an analyst's session, tried once. `timeout` is in seconds.

    It asks for the role and not for the schema's version, for an analyst's login may not read that. Raises
    DatabaseError where no such session can be had.
    """
    with connect(where) as connection:
        # In PostgreSQL 16 a member of a role may lack the right to become it.
        right = "set" if connection.info.server_version >= 160000 else "member"
        may_become = connection.execute(
            "select pg_has_role(rolname, %s) from pg_roles where rolname = %s", [right, ROLE]
        ).fetchone()
        user = connection.info.user
    if may_become is None:
        raise DatabaseError(f"The role {ROLE} is missing: run `regulars migrate`.")
    if may_become != (True,):
        raise DatabaseError(
            f"The login {user} may not become {ROLE}: ask an administrator to run `grant {ROLE} to {user};`."
        )
    given = {**conninfo_to_dict(where), "application_name": "regulars_sql"}
    given["options"] = f"{given.get('options') or ''} {_options(timeout)}".strip()
    _verify(make_conninfo("", **given))
    return given


def _options(timeout: int) -> str:
    """The session's settings. A transaction that is left open would hold up a refresh, so it times out too."""
    settings = {
        "role": ROLE,
        "search_path": "analytics",
        "default_transaction_read_only": "on",
        "statement_timeout": f"{timeout}s",
        "idle_in_transaction_session_timeout": "10min",
        "timezone": "UTC",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _verify(where: str) -> None:
    """Raises DatabaseError unless the session is the analyst's: a pooler, for one, may drop its options."""
    try:
        with psycopg.connect(where) as connection:
            found = connection.execute(
                "select current_user, current_setting('transaction_read_only'), current_database(), "
                "coalesce(has_schema_privilege(to_regnamespace('analytics'), 'usage'), false)"
            ).fetchone() or ("", "", "", False)
    except psycopg.OperationalError:
        raise DatabaseError(
            "The database did not open an analyst's session: connect to PostgreSQL directly, without a pooler."
        ) from None
    if found[:2] != (ROLE, "on"):
        raise DatabaseError(
            "The session would not be the analyst's: something between here and the database drops connection "
            "options. Connect to PostgreSQL directly, without a pooler."
        )
    if not found[3]:
        raise DatabaseError(f"The database {found[2]} has nothing for an analyst: run `regulars migrate` on it.")


def _run(program: str, given: dict[str, Any], arguments: list[str]) -> int:
    """Runs psql and returns its exit status. Ctrl-C goes to psql alone, where it cancels the query."""
    where, environment = handed_to(given)
    # The options are in the environment as well, for a `\c` to another database.
    environment |= {"PGOPTIONS": str(given["options"])}
    command = [program, "--set=ON_ERROR_STOP=1", "--dbname", where, *arguments]
    signal.signal(signal.SIGINT, lambda *_: None)
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        status = process.wait()
    return status if status >= 0 else 128 - status
