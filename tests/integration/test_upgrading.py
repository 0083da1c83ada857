"""The commands of docs/upgrading.md: an older schema is brought up to date, and a removal leaves what was there."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from flows.clients import find_clients
from flows.steps import run_refresh
from ingest.storage.migrations import SCHEMA, migrate, migrations
from ingest.storage.roles import grant_roles
from ingest.storage.settings import Settings
from tests.conftest import Database
from tests.documents import blocks, shell
from tests.stoppable import stoppable_elsewhere
from tests.storefront import add_order, add_shop

_PAGE = Path(__file__).parents[2] / "docs" / "upgrading.md"
_README = _PAGE.parents[1] / "README.md"


def _run(database: Database, folder: Path) -> Callable[[str], str]:
    home = str(database.settings.home)
    return lambda commands: shell(commands, folder=folder, DATABASE_URL=database.conninfo, REGULARS_HOME=home)


@pytest.mark.usefixtures("builds_models")
def test_commands_fail_on_an_older_schema_until_the_pages_commands_ran(empty: Database, tmp_path: Path) -> None:
    older = shutil.copytree(SCHEMA, tmp_path / "older")
    last = migrations(older)[-1]
    (older / f"{last.name}.sql").unlink()
    with empty.connect() as connection:
        migrate(connection, folder=older)
        add_order(connection, add_shop(connection, "ama-data"), total="12.00")
    run = _run(empty, tmp_path)
    with pytest.raises(AssertionError, match=rf"has {last.number - 1} of {last.number} migrations: run"):
        run("regulars status")
    (commands,) = blocks(_PAGE, "sh")
    assert "1 orders were matched" in " ".join(run(commands).split())
    assert "succeeded" in run("regulars status")


def test_an_older_release_refuses_a_newer_schema(migrated: Database, tmp_path: Path) -> None:
    with migrated.connect() as connection:
        connection.execute("insert into regulars.migrations (number, name, checksum) values (9999, 'newer', '')")
    for command in ("status", "migrate", "refresh"):
        with pytest.raises(AssertionError, match="has migration 9999, which this release doesn't know"):
            _run(migrated, tmp_path)(f"regulars {command}")


# The columns that the README asks for, in a database of a server whose roles no other test has.
_STOREFRONT = """
    create table user_shops (id uuid primary key, user_id uuid, shop_slug text, shop_name text);
    create table shop_orders (
        id uuid primary key, shop_id uuid references user_shops, customer_phone text, total_price numeric,
        order_status text, payment_status text, created_at timestamptz
    );
    insert into user_shops values (gen_random_uuid(), gen_random_uuid(), 'ama-data', 'Ama');
    insert into shop_orders
    select gen_random_uuid(), id, '0241234567', 12, 'completed', 'completed', now() from user_shops;
    create view ladder as select shop_slug from user_shops;
"""


@pytest.mark.usefixtures("builds_models")
def test_a_removal_leaves_the_storefronts_schema_as_it_was(tmp_path: Path) -> None:
    pg_dump, psql = find_clients("pg_dump", "psql", server=18)
    readers, *removal = blocks(_PAGE, "sql")
    with stoppable_elsewhere() as server:
        with psycopg.connect(server.conninfo, dbname="postgres", autocommit=True) as admin:
            admin.execute("create database storefront template template0")
        where = make_conninfo(server.conninfo, dbname="storefront")

        def schema() -> str:
            # Each dump has a random word of its own.
            dumped = shell(f'{pg_dump} --schema-only "$WHERE"', folder=tmp_path, WHERE=where)
            return re.sub(r"^\\(un)?restrict .*$", "", dumped, flags=re.MULTILINE)

        def execute(statements: str) -> str:
            return subprocess.run(
                [psql, "--no-psqlrc", "--tuples-only", "--set", "ON_ERROR_STOP=1", "--file", "-", where],
                input=statements, capture_output=True, text=True, check=True, timeout=60,
            ).stdout  # fmt: skip

        execute(_STOREFRONT)
        before = schema()
        with psycopg.connect(where, autocommit=True) as connection:
            migrate(connection)
            grant_roles(connection)
        run_refresh(Settings(DATABASE_URL=where, home=tmp_path))
        execute("create view mine as select count(*) from analytics.orders")
        execute("create role kofi login in role regulars_analyst")
        assert "regulars_orders_by_shop" in schema()
        assert execute(readers).split() == ["public", "|", "mine"]

        for statements in removal:
            execute(statements)
        execute("drop role kofi")
        assert schema() == before
        assert execute("select rolname from pg_roles where rolname like 'regulars%'").strip() == ""


def test_the_removal_is_about_the_columns_that_the_readme_asks_for() -> None:
    rows = re.findall(r"^\| `(user_shops|shop_orders)` \| (.+) \|$", _README.read_text(encoding="utf-8"), re.MULTILINE)
    for table, columns in rows:
        (made,) = re.findall(rf"create table {table} \((.+?)\);", _STOREFRONT, re.DOTALL)
        assert re.findall(r"`(\w+)", columns) == re.findall(r"(\w+) (?:uuid|text|numeric|timestamptz)", made), table
    assert len(rows) == 2
