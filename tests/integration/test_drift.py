"""Drift, where what is published differs from its raw rows: an audit finds it, and the shop is computed anew."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import sql

from flows import steps
from flows.alarms.record import open_alarms
from flows.audit.raw import SOURCES, copy_rows
from flows.building import project
from flows.building.shop_rebuild import SEGMENT_RECORD, ask_for_rebuild
from flows.errors import BuildFailed
from flows.history import Refresh
from flows.shapes import PUBLISHED, WORKING, shapes
from flows.steps import Run, Step, run_refresh
from ingest.storage.connections import Connection
from ingest.storage.errors import UnknownShop
from tests.conftest import NAME, Database, Server
from tests.integration.test_command import regulars
from tests.owners import TwoOwners, copy_of, two_owners
from tests.snapshot import Snapshot, snapshot
from tests.storefront import add_forecasts, add_order, fetch

_SHOP = "ama-data"

# A key that no row has.
_NOWHERE = {
    "uuid": "00000000-0000-0000-0000-000000000001", "date": "2001-01-01", "timestamp with time zone": "2001-01-01",
    "text": "nowhere", "integer": 999, "bigint": 999,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Platform:
    """Three shops with links, visits, refunds, profits, withdrawals and forecasts, refreshed."""

    database: Database
    connection: Connection
    owners: TwoOwners

    def refresh(self) -> Refresh:
        return run_refresh(self.database.settings)

    def published(self) -> Snapshot:
        return snapshot(self.connection)

    def working(self) -> Snapshot:
        return snapshot(self.connection, WORKING)

    def let_a_week_pass(self) -> None:
        """The next refresh finds an audit due."""
        self.connection.execute("update regulars.refreshes set finished_at = finished_at - interval '8 days'")
        self.connection.execute("update regulars.audits set audited_at = audited_at - interval '8 days'")

    def damage(self, schema: str) -> None:
        """Does to the marts of one shop what no refresh does: some rows are gone, some have another count, and one has
        another key."""
        for name in _marts(self.connection) - {SEGMENT_RECORD}:
            table = shapes(self.connection, schema)[name]
            counts = [c.name for c in table.columns if c.name not in table.key and c.data_type in ("numeric", "bigint")]
            parts = {
                "table": table.identifier,
                "shop": sql.Literal(self.owners.shops[_SHOP].shop_id),
                "chance": sql.SQL("get_byte(decode(md5(rows::text), 'hex'), 0)"),
                "count": sql.Identifier((counts or ["none"])[0]),
                "key": sql.Literal(table.key[-1]),
                "nowhere": sql.Literal(_NOWHERE[{c.name: c.data_type for c in table.columns}[table.key[-1]]]),
            }
            if len(table.key) > 1:
                self.connection.execute(
                    sql.SQL(
                        "insert into {table} "
                        "select (jsonb_populate_record(rows, jsonb_build_object({key}, {nowhere}))).* "
                        "from {table} as rows where shop_id = {shop} limit 1"
                    ).format(**parts)
                )
            self.connection.execute(
                sql.SQL("delete from {table} as rows where shop_id = {shop} and {chance} % 3 = 0").format(**parts)
            )
            if counts:
                self.connection.execute(
                    sql.SQL(
                        "update {table} as rows set {count} = {count} + 1 where shop_id = {shop} and {chance} % 2 = 0"
                    ).format(**parts)
                )


def _marts(connection: Connection) -> set[str]:
    return {name for name, table in shapes(connection, WORKING).items() if table.kind == "r"}


@pytest.fixture(scope="module")
def platform_template(server: Server, built_template: str) -> Iterator[tuple[TwoOwners, str]]:
    owners = two_owners(server, built_template)
    with copy_of(server, owners, name=NAME) as database:
        # This one fits the first forecasts, so that those of the tests have none to fit.
        run_refresh(database.settings)
        with database.connect() as connection:
            add_forecasts(connection)
        run_refresh(database.settings)
        yield owners, server.rename(database, f"{NAME}_platform")
    server.drop(f"{NAME}_platform")


@pytest.fixture
def platform(server: Server, platform_template: tuple[TwoOwners, str]) -> Iterator[Platform]:
    owners, template = platform_template
    database = server.create(NAME, template=template)
    with database.connect() as connection:
        yield Platform(database, connection, owners)
    server.drop(NAME)


@pytest.mark.parametrize("damaged", [(WORKING,), (PUBLISHED,), (WORKING, PUBLISHED)], ids="-".join)
def test_a_shop_that_is_computed_anew_is_right_whatever_was_done_to_its_marts(
    platform: Platform, damaged: tuple[str, ...]
) -> None:
    published, working = platform.published(), platform.working()
    for schema in damaged:
        platform.damage(schema)
    assert (platform.published(), platform.working()) != (published, working)
    ask_for_rebuild(platform.connection, _SHOP)
    assert platform.refresh().mode == "refresh"
    assert platform.published() == published
    assert platform.working() == working
    # Asked for once.
    assert platform.refresh().changes == 0


def test_no_row_of_another_shop_is_touched(platform: Platform) -> None:
    shop = platform.owners.shops[_SHOP].shop_id

    def versions() -> list[tuple[object, ...]]:
        return [
            row
            for name in sorted(_marts(platform.connection))
            for schema in (WORKING, PUBLISHED)
            for row in fetch(
                platform.connection,
                f"select '{schema}.{name}', xmin::text, ctid::text from {schema}.{name} where shop_id <> %s order by 3",
                shop,
            )
        ]

    before = versions()
    platform.damage(WORKING)
    ask_for_rebuild(platform.connection, _SHOP)
    platform.refresh()
    assert versions() == before


@pytest.mark.parametrize("dies_at", [steps.build_marts, steps.judge_volume, steps.publish], ids=lambda s: s.__name__)
def test_killed_at_any_step_the_next_refresh_goes_on(platform: Platform, dies_at: Step) -> None:
    published, working = platform.published(), platform.working()
    platform.damage(WORKING)
    ask_for_rebuild(platform.connection, _SHOP)

    class Killed(Exception):
        pass

    def perform(step: Step, run: Run) -> object:
        if step is dies_at:
            raise Killed
        return step(run)

    with pytest.raises(Killed):
        run_refresh(platform.database.settings, perform=perform)
    assert platform.published() == published
    platform.refresh()
    assert platform.published() == published
    assert platform.working() == working


def test_a_shop_that_does_not_exist_is_named(platform: Platform) -> None:
    with pytest.raises(UnknownShop, match="'nowhere'"):
        ask_for_rebuild(platform.connection, "nowhere")


def test_the_command_computes_one_shop_anew(platform: Platform, home: Path) -> None:
    where = {"home": home, "database_url": platform.database.conninfo}
    published = platform.published()
    platform.damage(PUBLISHED)
    done = regulars("rebuild", "--shop", _SHOP, **where)
    assert done.returncode == 0, done.stderr
    assert "changes were applied" in done.stdout
    assert platform.published() == published
    done = regulars("rebuild", "--shop", "nowhere", **where)
    assert done.returncode == 1
    assert "No shop has the slug 'nowhere'" in done.stderr


def test_a_sound_platform_has_no_drift_and_every_relation_is_looked_at(platform: Platform) -> None:
    platform.let_a_week_pass()
    assert platform.refresh().warnings == []
    ((shops, relations, differences),) = fetch(
        platform.connection, "select shops, relations, differences from regulars.audits"
    )
    assert (len(shops), differences) == (3, 0)  # type: ignore[arg-type]
    readable = {
        name
        for (name,) in fetch(
            platform.connection,
            "select table_name from information_schema.columns "
            "where table_schema = 'analytics' and column_name = 'shop_id'",
        )
    }
    # What records the past, what reads the record, and what compares the raw rows itself.
    assert readable - set(relations) == {"segment_changes", "segment_sizes", "reconciliation"}  # type: ignore[call-overload]
    # A week has not passed since.
    platform.refresh()
    assert fetch(platform.connection, "select count(*) from regulars.audits") == [(1,)]
    assert (
        fetch(platform.connection, "select nspname from pg_namespace where nspname in ('audit', 'audit_sources')") == []
    )


def test_drift_is_found_told_and_made_good(platform: Platform) -> None:
    published = platform.published()
    # What no sum shows.
    platform.connection.execute(
        "update analytics.customers set first_source_slug = 'elsewhere' where shop_id = %s "
        "and shop_customer_id = (select min(shop_customer_id::text)::uuid from analytics.customers where shop_id = %s)",
        [platform.owners.shops[_SHOP].shop_id] * 2,
    )
    platform.let_a_week_pass()
    (warning,) = platform.refresh().warnings
    assert warning.startswith("The audit found 2 rows of ama-data that differ from its raw rows (customers")
    assert fetch(
        platform.connection,
        "select relation, was_published, coalesce(contents ->> 'first_source_slug', '') = 'elsewhere' "
        "from regulars.drift where relation = 'customers' order by 2",
    ) == [("customers", False, False), ("customers", True, True)]
    (alarm,) = open_alarms(platform.connection)
    assert (alarm.cause_name, alarm.shops) == ("drift", [_SHOP])

    assert platform.refresh().mode == "refresh"
    assert platform.published() == published
    assert open_alarms(platform.connection) == []


def test_a_shop_whose_change_waits_for_the_next_refresh_is_not_audited(platform: Platform) -> None:
    shop = platform.owners.shops[_SHOP].shop_id
    platform.let_a_week_pass()

    def perform(step: Step, run: Run) -> object:
        if step is steps.audit_shops:
            add_order(platform.connection, shop)
        return step(run)

    assert run_refresh(platform.database.settings, perform=perform).warnings == []
    ((shops,),) = fetch(platform.connection, "select shops from regulars.audits")
    assert len(shops) == 2  # type: ignore[arg-type]
    assert shop not in shops  # type: ignore[operator]


def test_an_audit_copies_no_contact(platform: Platform) -> None:
    copy_rows(platform.connection, [shop.shop_id for shop in platform.owners.shops.values()])
    columns = fetch(
        platform.connection,
        "select table_name, column_name from information_schema.columns where table_schema = %s "
        "and column_name ~ 'phone|mail|customer_name'",
        SOURCES,
    )
    assert columns == []
    ((copied, orders),) = fetch(
        platform.connection,
        f"select (select count(*) from {SOURCES}.shop_orders), (select count(*) from public.shop_orders)",
    )
    assert copied == orders


def test_an_audit_that_fails_is_a_warning_and_leaves_nothing_behind(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = project.build

    def fail(*arguments: object, **options: object) -> object:
        # A fault that is injected.
        if options.get("target") == "audit":
            raise BuildFailed("no room")
        return build(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(project, "build", fail)
    platform.let_a_week_pass()
    done = platform.refresh()
    assert done.status == "succeeded"
    assert done.warnings == ["The audit was not finished: no room"]
    assert fetch(platform.connection, "select to_regnamespace('audit'), to_regnamespace(%s)", SOURCES) == [(None, None)]
