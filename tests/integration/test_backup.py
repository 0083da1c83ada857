"""The commands of docs/backup.md: a dump of a live system is restored, and the next refresh there is right."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from flows.clients import find_clients
from flows.steps import Run, Step, build_marts, publish, run_refresh
from ingest.storage.connections import connect
from tests.conftest import NAME, Database, Server
from tests.documents import blocks, shell
from tests.owners import TwoOwners, copy_of, two_owners
from tests.snapshot import snapshot
from tests.stoppable import stoppable_elsewhere
from tests.storefront import add_order, fetch

_BACK_UP, _CREATE_ROLES, _RESTORE, _CARRY_ON = blocks(Path(__file__).parents[2] / "docs" / "backup.md", "sh")


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture
def live(server: Server, owners: TwoOwners) -> Iterator[Database]:
    """A database with changes that wait."""
    with copy_of(server, owners, name=NAME) as database:
        with database.connect() as connection:
            for number in range(20):
                add_order(connection, owners.shops["ama-data"].shop_id, phone=f"02455500{number:02}", total="77.00")
            connection.execute(
                "delete from shop_orders where id in (select shop_order_id from regulars.tracking limit 3)"
            )
        yield database


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    """Another server, the embedded one's version, without any of our roles."""
    with stoppable_elsewhere() as other:
        yield other.conninfo


@pytest.fixture
def restored(other_server: str) -> str:
    """An empty database there."""
    with psycopg.connect(other_server, dbname="postgres", autocommit=True) as admin:
        admin.execute("drop database if exists restored with (force)")
        admin.execute("create database restored template template0")
        for role in ("regulars_checkout", "regulars_owner", "regulars_analyst"):
            admin.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(role)))
    return make_conninfo(other_server, dbname="restored")


def _beside(step: Step, run: Run, dump: Callable[[], None]) -> object:
    """Runs a step while a dump is made."""
    dumping = threading.Thread(target=dump)
    dumping.start()
    try:
        return step(run)
    finally:
        dumping.join()


@pytest.mark.parametrize("moment", ["while the marts are built", "before they are published"])
def test_a_dump_that_was_made_during_a_refresh_is_restored_and_the_next_refresh_equals_a_rebuild(
    live: Database, owners: TwoOwners, restored: str, tmp_path: Path, moment: str
) -> None:
    programs = find_clients("pg_dump", "psql", server=18)
    environment = {
        "DATABASE_URL": live.conninfo, "NEW_DATABASE_URL": restored, "REGULARS_HOME": str(live.settings.home),
    }  # fmt: skip

    def sh(commands: str) -> str:
        return shell(commands, folder=tmp_path, programs=programs, **environment)

    def perform(step: Step, run: Run) -> object:
        if step is build_marts and moment == "while the marts are built":
            return _beside(step, run, lambda: print(sh(_BACK_UP)))
        if step is publish and moment == "before they are published":
            sh(_BACK_UP)
        return step(run)

    run_refresh(live.settings, perform=perform)
    sh(_CREATE_ROLES)
    sh(_RESTORE)
    printed = sh(_CARRY_ON)
    assert "changes were applied" in printed
    with connect(restored) as connection:
        after = snapshot(connection)
        assert "Decimal('77')" in repr(after["orders"])
        with connection.transaction():
            connection.execute("set local role regulars_owner")
            connection.execute(
                "select set_config('request.jwt.claims', %s, true)", [json.dumps({"sub": str(owners.kofi)})]
            )
            assert fetch(connection, "select count(*) from dashboard.shop_overview") == [(1,)]
        there = live.settings.model_copy(update={"database_url": restored})
        assert run_refresh(there, mode="rebuild").warnings == []
        assert snapshot(connection) == after


def test_a_refresh_does_not_wait_for_a_dump(live: Database) -> None:
    with live.connect() as dump, dump.transaction():
        # The lock that pg_dump holds on every table until it ends.
        tables = fetch(
            dump, "select format('%%I.%%I', schemaname, tablename) from pg_tables where schemaname <> 'pg_catalog'"
        )
        for (table,) in tables:
            if not str(table).startswith("information_schema"):
                dump.execute(f"lock table {table} in access share mode")  # type: ignore[arg-type]
        assert run_refresh(live.settings, patience=0.5).status == "succeeded"


def test_a_dump_that_begins_while_a_refresh_publishes_has_the_deltas_that_its_marts_need(live: Database) -> None:
    deltas = "select count(*) from regulars.delta_orders"
    with live.connect() as dump:
        dump.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        seen: list[object] = []

        def perform(step: Step, run: Run) -> object:
            if step is publish:
                with dump.transaction():
                    # The dump's moment. It hasn't come to the deltas yet.
                    assert fetch(dump, "select status from regulars.refreshes order by refresh_id desc limit 1") == [
                        ("running",)
                    ]
                    done = step(run)
                    seen.extend(fetch(dump, deltas))
                return done
            return step(run)

        run_refresh(live.settings, perform=perform)
        assert seen != [(0,)]
        assert fetch(dump, deltas) == [(0,)]
