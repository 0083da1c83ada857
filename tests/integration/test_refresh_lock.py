"""One refresh at a time: the second says who holds the lock, and a killed one is out of the way within seconds."""

import os
import re
import socket
import subprocess
import sys
import time

import psycopg
import pytest
from psycopg import sql

from flows.errors import RefreshRunning
from flows.history import last
from flows.lock import BUILDING, refresh_lock
from flows.steps import Run, Step, run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database, Server
from tests.storefront import add_order, add_shop, fetch
from tests.waiting import wait_until

# A refresh in a process of its own, as the command runs it.
_REFRESH = """
import sys
from pathlib import Path
from flows.steps import run_refresh
from ingest.storage.settings import Settings

run_refresh(Settings(DATABASE_URL=sys.argv[1], home=Path(sys.argv[2])))
"""


def test_the_second_refresh_says_who_holds_the_lock_since_when_and_at_which_step(built: Database) -> None:
    told = []

    def perform(step: Step, run: Run) -> object:
        if step.__name__ == "claim_batch":
            with pytest.raises(RefreshRunning) as raised:
                run_refresh(built.settings)
            told.append(str(raised.value))
        return step(run)

    run_refresh(built.settings, perform=perform)
    pattern = (
        rf"A refresh is running already: process {os.getpid()} on {re.escape(socket.gethostname())} "
        r"\(database session \d+ of [^)]+, user \w+\), a refresh since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, "
        r"at step claim_batch since \d\d:\d\d:\d\d\. Let it end\."
    )
    assert re.fullmatch(pattern, told[0])


def test_before_the_holder_has_said_anything_its_session_is_named(built: Database) -> None:
    with refresh_lock(built.conninfo) as holder:
        session = holder.info.backend_pid
        with pytest.raises(RefreshRunning) as raised:
            run_refresh(built.settings)
    assert f"database session {session} of" in str(raised.value)
    assert "process" not in str(raised.value)


def test_a_refresh_of_an_earlier_process_with_the_same_host_and_number_is_not_this_processes(built: Database) -> None:
    with built.connect() as connection:
        connection.execute(
            "insert into regulars.refreshes (mode, fingerprint, host, process_id) values ('refresh', '', %s, %s)",
            [socket.gethostname(), os.getpid()],
        )
        earlier = last(connection)
        assert earlier is not None
        assert not earlier.is_of_this_process
    run_refresh(built.settings)
    with built.connect() as connection:
        own = last(connection)
        assert own is not None
        assert own.is_of_this_process


def test_the_lock_is_named_in_a_database_without_regulars_too(empty: Database) -> None:
    with refresh_lock(empty.conninfo) as holder:
        session = holder.info.backend_pid
        with pytest.raises(RefreshRunning, match=f"database session {session} "):
            run_refresh(empty.settings)


@pytest.mark.parametrize(
    ("slow", "cure", "application"),
    [
        pytest.param(
            "alter function regulars.take_over_earlier_visits() rename to swift; "
            "create function regulars.take_over_earlier_visits() returns void language sql "
            "as 'select pg_sleep(600)'",
            "drop function regulars.take_over_earlier_visits(); "
            "alter function regulars.swift() rename to take_over_earlier_visits",
            "regulars-refresh",
            id="our own statement",
        ),
        pytest.param(
            "create function public.dawdle() returns trigger language plpgsql "
            "as 'begin perform pg_sleep(600); return new; end'; "
            "create trigger dawdle before insert on building.orders for each row execute function public.dawdle()",
            "drop function public.dawdle() cascade",
            BUILDING,
            id="dbt's statement",
        ),
    ],
)
def test_a_refresh_killed_during_a_long_statement_is_out_of_the_next_ones_way(
    built: Database, slow: str, cure: str, application: str
) -> None:
    with built.connect() as connection:
        add_order(connection, add_shop(connection))
        connection.execute(slow)  # type: ignore[arg-type] # the fault that is injected
        arguments = [sys.executable, "-W", "ignore", "-c", _REFRESH, built.conninfo, str(built.settings.home)]
        with subprocess.Popen(arguments) as process:
            try:
                wait_until(lambda: _sleeping(connection, application))
            finally:
                process.kill()
        # What it was at is left as it is until its session has ended, which the next refresh waits for.
        with refresh_lock(built.conninfo):
            assert not _sleeping(connection, application)
        connection.execute("set lock_timeout = '5s'")
        connection.execute(cure)  # type: ignore[arg-type]
        assert run_refresh(built.settings).status == "succeeded"
        assert fetch(connection, "select status from regulars.refreshes order by refresh_id desc limit 2") == [
            ("succeeded",),
            ("abandoned",),
        ]
        assert fetch(connection, "select total_orders from analytics.shop_overview") == [(1,)]


def test_what_dbt_left_in_the_server_is_ended_by_the_next_refresh(built: Database) -> None:
    # The server can't notice that the client of this session is gone, because it isn't.
    left_over = psycopg.connect(built.conninfo, application_name=BUILDING)
    left_over.execute("lock table building.orders")
    with built.connect() as by_hand:
        by_hand.execute("set application_name = 'dbt'")
        assert run_refresh(built.settings, patience=1).status == "succeeded"
        by_hand.execute("select 1")
    with pytest.raises(psycopg.OperationalError):
        left_over.execute("select 1")


def _sleeping(connection: Connection, application: str) -> list[tuple[object, ...]]:
    return fetch(
        connection,
        "select 1 from pg_stat_activity "
        f"where datname = current_database() and application_name = '{application}' and wait_event = 'PgSleep'",
    )


def test_a_refresh_outlives_a_server_that_ends_idle_sessions(built: Database, server: Server) -> None:
    with server.admin() as admin:
        admin.execute(
            sql.SQL("alter database {} set idle_session_timeout = '200ms'").format(sql.Identifier(built.name))
        )
    with refresh_lock(built.conninfo) as connection:
        # As long as dbt or Spark computes, it has nothing to do.
        time.sleep(0.6)
        assert connection.execute("select 1").fetchone() == (1,)
