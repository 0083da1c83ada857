"""Fixtures that several modules share."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest.spool.file import SPOOL, Spool
from ingest.storage.connections import Connection
from tests.conftest import NAME, Database, Server
from tests.person import KEY
from tests.project import Project, keep_what_dbt_parsed
from tests.storefront import add_order, add_shop

if TYPE_CHECKING:
    from tests.api import Api
    from tests.pages import Dashboard, Walk


@pytest.fixture
def erasure_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, set in the environment."""
    monkeypatch.setenv("REGULARS_ERASURE_KEY", KEY)


@pytest.fixture
def connection(migrated: Database) -> Iterator[Connection]:
    with migrated.connect() as connection:
        yield connection


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / SPOOL)


@pytest.fixture
def checkout_login(migrated: Database) -> Iterator[str]:
    """The connection string of a login that is a member of regulars_checkout, and nothing else."""
    name = f"regulars_test_{uuid4().hex[:12]}"
    role = sql.Identifier(name)
    with migrated.connect() as admin:
        admin.execute(
            sql.SQL("create role {} login password {} in role regulars_checkout").format(role, sql.Literal(name))
        )
        try:
            yield make_conninfo(migrated.conninfo, user=name, password=name)
        finally:
            admin.execute(sql.SQL("drop role {}").format(role))


@pytest.fixture(scope="module")
def api(server: Server, built_template: str) -> Iterator["Api"]:
    from regulars.dashboard.app import create_app
    from tests.api import Api
    from tests.owners import copy_of, settings_of, two_owners
    from tests.served import served

    owners = two_owners(server, built_template)
    with copy_of(server, owners, name=f"{NAME}_api") as database:
        settings = settings_of(database)
        with served(create_app(settings), headers={}) as client:
            yield Api(owners, database, settings, client)


@pytest.fixture(scope="module")
def dashboard(server: Server, built_template: str) -> Iterator["Dashboard"]:
    from flows.steps import run_refresh
    from regulars.dashboard.app import create_app
    from tests.owners import copy_of, settings_of, two_owners
    from tests.pages import Dashboard, write_hostile
    from tests.served import served

    owners = two_owners(server, built_template)
    quiet = uuid4()
    # Under the tests' own name: dbt parses its project anew for another.
    with copy_of(server, owners, name=NAME) as database:
        with database.connect() as connection:
            write_hostile(database, owners.shops["kofi-data"])
            shop_id = add_shop(connection, "quiet")
            connection.execute("update user_shops set user_id = %s where id = %s", [quiet, shop_id])
        run_refresh(database.settings)
        settings = settings_of(database, dashboard_connections=8)
        with served(create_app(settings), headers={}) as client:
            yield Dashboard(owners, database, settings, str(client.base_url), quiet)


@pytest.fixture(scope="module")
def walks(dashboard: "Dashboard") -> dict[UUID, "Walk"]:
    from tests.pages import walk

    return {owner: walk(dashboard, owner) for owner in (dashboard.owners.ama, dashboard.owners.kofi)}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path / "project", monkeypatch)


@pytest.fixture(scope="session")
def trading_template(server: Server, built_template: str) -> str:
    """A shop with customers who come back, refreshed."""
    from flows.steps import run_refresh

    database = server.create(NAME, template=built_template)
    with database.connect() as connection:
        shop = add_shop(connection)
        for number in range(30):
            add_order(
                connection,
                shop,
                phone=f"02412345{number % 9:02d}",
                total=f"{10 + number}.00",
                network=("MTN", "Telecel", None)[number % 3],
                at=datetime(2026, 1, 20, 9, tzinfo=UTC) + timedelta(days=3 * number),
            )
        connection.execute(
            "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at) "
            "select shop_id, id, 'promo', now() from shop_orders where total_price < 20"
        )
        add_order(connection, shop, phone="0241234500", order_status="refunded", at=datetime(2026, 4, 30, tzinfo=UTC))
        connection.execute("insert into shop_slugs (shop_id, slug, label) values (%s, 'promo', 'WhatsApp')", [shop])
        connection.execute(
            "insert into shop_profits (shop_id, profit_amount, status) values (%s, 9, 'credited')", [shop]
        )
    run_refresh(database.settings)
    return server.rename(database, f"{NAME}_trading")


@pytest.fixture
def trading(server: Server, trading_template: str, project: Project, tmp_path: Path) -> Iterator[Database]:  # noqa: ARG001
    """That shop, refreshed with the copy of the models; dbt has a folder of its own."""
    database = server.create(NAME, template=trading_template)
    keep_what_dbt_parsed(database.settings.home, tmp_path)
    yield replace(database, settings=database.settings.model_copy(update={"home": tmp_path}))
    server.drop(NAME)
