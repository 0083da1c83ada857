"""`regulars move`: everything arrives on the other server or nothing does, and the next refresh there is right."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from flows.errors import RefreshRunning
from flows.lock import refresh_lock
from flows.moving import move as moving
from flows.moving.errors import MoveFailed, MoveRefused
from flows.moving.move import Moved, move
from flows.steps import Run, Step, publish, run_refresh
from ingest.storage.connections import Connection, connect
from ingest.storage.errors import DatabaseError
from tests.conftest import NAME, Database, Server
from tests.integration.test_command import regulars
from tests.owners import TwoOwners, copy_of, two_owners
from tests.snapshot import Snapshot, snapshot
from tests.stoppable import Stoppable, stoppable_elsewhere
from tests.storefront import add_order, fetch

_SCHEMAS = ("public", "regulars", "analytics")


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture
def house(server: Server, owners: TwoOwners) -> Iterator[Database]:
    """A database with everything in it, changes that wait among it."""
    with copy_of(server, owners, name=NAME) as database:
        with database.connect() as connection:
            add_order(connection, owners.shops["ama-data"].shop_id, phone="0245550000", total="77.00")
        yield database


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Stoppable]:
    with stoppable_elsewhere() as other:
        yield other


@pytest.fixture
def target(elsewhere: Stoppable) -> str:
    """An empty database on another server, which has none of our roles."""
    with psycopg.connect(elsewhere.conninfo, dbname="postgres", autocommit=True) as admin:
        admin.execute("drop database if exists moved with (force)")
        admin.execute("create database moved template template0")
        for role in ("regulars_checkout", "regulars_owner", "regulars_analyst"):
            admin.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(role)))
    return make_conninfo(elsewhere.conninfo, dbname="moved")


def _everything(connection: Connection) -> list[Snapshot]:
    return [snapshot(connection, schema) for schema in _SCHEMAS]


def _is_empty(target: str) -> bool:
    with connect(target) as connection:
        return fetch(
            connection,
            "select to_regnamespace('regulars') is null and to_regclass('public.shop_orders') is null "
            "and not exists (select 1 from pg_roles where rolname like 'regulars\\_%%')",
        ) == [(True,)]


def _die_before_publishing(step: Step, run: Run) -> object:
    if step is publish:
        raise RuntimeError("killed")
    return step(run)


def test_what_a_refresh_that_died_left_is_moved_there_and_back_and_the_next_refresh_equals_a_rebuild(
    house: Database, server: Server, target: str, elsewhere: Stoppable
) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        run_refresh(house.settings, perform=_die_before_publishing)
    with house.connect() as connection:
        before = _everything(connection)
        assert fetch(connection, "select count(*) > 0 from regulars.batch") == [(True,)]
    move(house.conninfo, target)
    with house.connect() as old, connect(target) as new:
        assert _everything(old) == before
        assert _everything(new) == before

    # The server of the tests may be older than the embedded one.
    back = server.create(f"{NAME}_back")
    try:
        move(target, back.conninfo)
        for there in (elsewhere.settings.model_copy(update={"database_url": target}), back.settings):
            refreshed = run_refresh(there)
            assert (refreshed.mode, refreshed.warnings) == ("refresh", [])
            with connect(str(there.database_url)) as connection:
                after = snapshot(connection)
                assert after != before[2]
                run_refresh(there, mode="rebuild")
                assert snapshot(connection) == after
    finally:
        server.drop(back.name)


def test_owners_analysts_and_checkouts_may_do_on_the_target_what_they_might(
    house: Database, owners: TwoOwners, target: str
) -> None:
    # As a hosted server does for its public API.
    with connect(target) as connection:
        connection.execute(
            "drop role if exists anon; create role anon; alter default privileges grant all on tables to anon"
        )
    login = f"{NAME}_moved"
    with house.connect() as connection:
        connection.execute(f"create role {login} login in role regulars_owner")  # type: ignore[arg-type]
        # As on a server on which somebody made the roles after the migration.
        connection.execute("revoke execute on all functions in schema regulars from regulars_checkout")
    try:
        done = move(house.conninfo, target)
    finally:
        with house.connect() as connection:
            connection.execute(f"drop role {login}")  # type: ignore[arg-type]
    assert done.members == [f'grant "regulars_owner" to "{login}";']
    with connect(target) as connection:
        with connection.transaction():
            connection.execute("set local role regulars_analyst")
            assert fetch(connection, "select count(distinct shop_id) from analytics.orders") == [(3,)]
        with connection.transaction():
            connection.execute("set local role regulars_owner")
            connection.execute(
                "select set_config('request.jwt.claims', %s, true)", [json.dumps({"sub": str(owners.kofi)})]
            )
            assert fetch(connection, "select count(*) from dashboard.shop_overview") == [(1,)]
        for role, table in (("regulars_owner", "regulars.customers"), ("regulars_checkout", "analytics.orders")):
            with connection.transaction(force_rollback=True):
                connection.execute(f"set local role {role}")  # type: ignore[arg-type]
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"select 1 from {table}")  # type: ignore[arg-type]
        for function in ("visit(jsonb)", "refresh_figures()"):
            may = "select has_function_privilege('regulars_checkout', %s, 'execute')"
            assert fetch(connection, may, f"regulars.{function}") == [(True,)], function
        assert fetch(connection, "select has_table_privilege('anon', 'analytics.orders', 'truncate')") == [(False,)]
        assert fetch(connection, "select fault from regulars.guard_faults()") == []


def test_nothing_is_moved_over_data(house: Database, target: str) -> None:
    move(house.conninfo, target)
    with connect(target) as connection:
        before = _everything(connection)
        with pytest.raises(MoveRefused, match=r"holds .*public\.shop_orders.*regulars.* already"):
            move(house.conninfo, target)
        assert _everything(connection) == before


def test_a_move_that_is_killed_leaves_nothing_and_can_be_run_again(
    house: Database, target: str, tmp_path: Path
) -> None:
    environment = os.environ | {"DATABASE_URL": house.conninfo, "REGULARS_HOME": str(tmp_path)}
    with connect(target) as standing_in_the_way, connect(target) as watching:
        with standing_in_the_way.transaction(force_rollback=True):
            # It waits here, with the roles and some schemas made.
            standing_in_the_way.execute("create schema staging")
            command = [sys.executable, "-m", "regulars", "move", "--to", target]
            with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
                _wait_for(watching, "exists (select 1 from pg_stat_activity where wait_event_type = 'Lock')")
                process.send_signal(signal.SIGKILL)
        _wait_for(watching, "not exists (select 1 from pg_stat_activity where application_name = 'psql')")
    assert _is_empty(target)
    assert isinstance(move(house.conninfo, target), Moved)


def _wait_for(connection: Connection, condition: str) -> None:
    for _ in range(600):
        if fetch(connection, f"select {condition}") == [(True,)]:
            return
        time.sleep(0.05)
    raise AssertionError(condition)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "delete from analytics.orders where order_id = (select order_id from analytics.orders limit 1);",
            r"analytics\.orders has \d+ rows on the target",
        ),
        (
            "update analytics.orders set net_amount = net_amount + 0.01 "
            "where order_id = (select order_id from analytics.orders limit 1);",
            r"the rows of analytics\.orders differ",
        ),
    ],
)
def test_a_row_that_is_missing_or_differs_on_the_target_undoes_the_move(
    house: Database, target: str, monkeypatch: pytest.MonkeyPatch, damage: str, message: str
) -> None:
    # The fault: what was copied is damaged before it is compared.
    monkeypatch.setattr(moving, "_RIGHTS", moving._RIGHTS + damage)
    with pytest.raises(MoveFailed, match=message):
        move(house.conninfo, target)
    assert _is_empty(target)


def test_nobody_writes_to_the_source_while_it_is_moved(house: Database, owners: TwoOwners, target: str) -> None:
    tried: list[str] = []

    def try_to_write(step: str) -> None:
        if step.startswith("copying public.") or step == "comparing both sides":
            tried.append(step)
            with house.connect() as connection:
                connection.execute("set lock_timeout = '10ms'")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    add_order(connection, owners.shops["ama-data"].shop_id)
            with pytest.raises(RefreshRunning), refresh_lock(house.conninfo):
                pass

    move(house.conninfo, target, on_step=try_to_write)
    assert "comparing both sides" in tried


def test_a_move_names_who_is_writing_and_gives_up(house: Database, owners: TwoOwners, target: str) -> None:
    with house.connect() as writing, writing.transaction():
        add_order(writing, owners.shops["ama-data"].shop_id)
        with pytest.raises(MoveRefused, match=rf"pid {writing.info.backend_pid}.*RowExclusiveLock"):
            move(house.conninfo, target, patience=0.1)
    assert _is_empty(target)


def test_a_lost_lock_on_the_source_is_reported(house: Database, target: str) -> None:
    def lose_it(step: str) -> None:
        if step == "comparing both sides":
            with house.connect() as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'regulars-refresh' and datname = current_database()"
                )

    with pytest.raises(MoveFailed, match="was lost"):
        move(house.conninfo, target, on_step=lose_it)


def test_a_role_with_rights_that_the_target_lacks_is_named_before_anything_is_copied(
    house: Database, target: str
) -> None:
    name = f"{NAME} bi"
    role = sql.Identifier(name)
    with house.connect() as connection:
        connection.execute(sql.SQL("create role {0}; grant select on analytics.orders to {0}").format(role))
        try:
            with pytest.raises(MoveRefused, match=f'create role "{name}";'):
                move(house.conninfo, target)
        finally:
            connection.execute(sql.SQL("drop owned by {0}; drop role {0}").format(role))
    assert _is_empty(target)


def test_a_target_that_can_not_hold_it_is_refused(house: Database, target: str) -> None:
    with connect(target) as connection:
        connection.execute("drop database if exists narrow")
        connection.execute("create database narrow encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0")
        connection.execute("drop role if exists guest; create role guest login")
        connection.execute("alter database moved set default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match="narrow has the encoding SQL_ASCII"):
        move(house.conninfo, make_conninfo(target, dbname="narrow"))
    with pytest.raises(MoveRefused, match="read-only"):
        move(house.conninfo, target)
    with connect(target) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute("alter database moved reset default_transaction_read_only")
    with pytest.raises(MoveRefused, match="user guest, who may not create schemas"):
        move(house.conninfo, make_conninfo(target, user="guest"))


def test_the_command_says_what_was_moved_and_what_to_do_next(house: Database, target: str, tmp_path: Path) -> None:
    where = {"home": tmp_path, "database_url": house.conninfo}
    done = regulars("move", "--to", target, **where)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    assert "counts and sums are the same on both sides" in done.stdout
    assert "Set DATABASE_URL to" in done.stdout

    again = regulars("move", "--to", target, "--json", **where)  # type: ignore[arg-type]
    assert (again.returncode, again.stdout) == (1, "")
    assert "nothing is moved over data" in again.stderr
    unreachable = regulars("move", "--to", "postgresql://ama:s3cret@127.0.0.1:1/shop", **where)  # type: ignore[arg-type]
    assert unreachable.returncode == 1
    assert "No database at 127.0.0.1" in unreachable.stderr
    assert "s3cret" not in unreachable.stderr
    assert "--to can't be read" in regulars("move", "--to", "no such thing", **where).stderr  # type: ignore[arg-type]
    for failed in (again, unreachable):
        assert "Traceback" not in failed.stderr


def test_the_json_of_a_move_lists_every_table(house: Database, target: str, tmp_path: Path) -> None:
    done = regulars("move", "--to", target, "--json", home=tmp_path, database_url=house.conninfo)
    moved = json.loads(done.stdout)
    assert moved["rows"] == sum(table["rows"] for table in moved["tables"])
    with house.connect() as connection:
        (orders,) = (t for t in moved["tables"] if (t["schema"], t["name"]) == ("public", "shop_orders"))
        assert [(orders["rows"],)] == fetch(connection, "select count(*) from public.shop_orders")
