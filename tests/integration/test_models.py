"""dbt's own tests, run where pytest sees them: unit tests, data tests, and whether these can fail."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from dbt.artifacts.schemas.run import RunExecutionResult
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import ModelNode

from flows.building.project import environment, run_dbt
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.storefront import add_forecasts, add_order, add_shop, fetch

_LINKED_OR_TOLD = "assert_every_sale_has_a_customer_or_a_written_reason"

# Tables in place of the materialized views, the views on them made again, no index, and a second copy of every row,
# of the views' too.
_UNGUARD = """
    do $$
    declare
        relation record;
        views jsonb := (
            select jsonb_object_agg(oid::regclass, pg_get_viewdef(oid)) from pg_class
            where relnamespace = 'building'::regnamespace and relkind = 'v' and relname <> 'reconciliation'
        );
    begin
        for relation in
            select relname from pg_class where relnamespace = 'building'::regnamespace and relkind = 'm'
        loop
            execute format('create table building.%1$I as table building.%2$I', 'copy_' || relation.relname,
                relation.relname);
        end loop;
        for relation in
            select relname, substr(relname, 6) as view from pg_class
            where relnamespace = 'building'::regnamespace and relkind = 'r' and starts_with(relname, 'copy_')
        loop
            execute format('drop materialized view if exists building.%I cascade', relation.view);
            execute format('alter table building.%I rename to %I', relation.relname, relation.view);
        end loop;
        for relation in select key as name, value as definition from jsonb_each_text(views) loop
            execute format(
                'create or replace view %s as select twice.* from (%s) as twice cross join generate_series(1, 2)',
                relation.name, trim(trailing ';' from relation.definition)
            );
        end loop;
        for relation in select conrelid::regclass as name, conname from pg_constraint where contype = 'p' and
            connamespace = 'building'::regnamespace
        loop
            execute format('alter table %s drop constraint %I', relation.name, relation.conname);
        end loop;
        for relation in select indexname from pg_indexes where schemaname = 'building' loop
            execute format('drop index building.%I', relation.indexname);
        end loop;
        for relation in select tablename from pg_tables where schemaname = 'building' loop
            execute format('insert into building.%1$I table building.%1$I', relation.tablename);
        end loop;
    end
    $$
"""

# Each makes some mart or view wrong in a way that one of the data tests is there to find.
_DAMAGE = """
    insert into building.rfm_cuts
        (shop_id, recency_date_2, recency_date_5, customers,
        recency_below_2, recency_below_3, recency_below_4, recency_below_5,
        frequency_below_2, frequency_below_3, frequency_below_4, frequency_below_5,
        monetary_below_2, monetary_below_3, monetary_below_4, monetary_below_5)
        select shop_id, date '2026-02-01', date '2026-01-01', 50, 9, 20, 30, 40, 50, 50, 50, 50, 50, 50, 50, 50
        from building.shops;
    insert into building.customer_segments
        (shop_id, shop_customer_id, recency_score, frequency_score, monetary_score, value_score, segment, total_spent)
        select shop_id, shop_customer_id, 0, 9, 9, 9, 'lost', 0 from building.customers;
    insert into building.segment_changes (shop_id, shop_customer_id, changed_at, from_segment, to_segment)
        select shop_id, shop_customer_id, date '2026-01-01', 'lost', 'lost' from building.customers;
    update building.orders set
        shop_id = '00000000-0000-0000-0000-000000000000', is_sale = false,
        gross_amount = -1, refunded_amount = 5, net_amount = 3,
        order_status = 'teleported', payment_status = 'barter';
    update building.purchases set
        purchase_number = 1, is_first_of_day = false, is_return_of_month = true,
        shop_customer_id = gen_random_uuid();
    update building.visits set utm_campaign = 'call 0241112223';
    update building.customers set
        total_purchases = 0, repeat_customer = true, last_purchase_at = first_purchase_at - interval '1 day';
    update building.shop_days set customers = sales + 1;
    update building.cohort_months set repeat_customers = active_customers + 1;
    update building.refunds set order_date = first_purchase_date - 1;
    update building.cohort_days set customers = 0;
    update building.link_months set visits = -1, came_back_customers = -1;
    update building.campaign_months set visits = -1;
    update building.network_months set active_customers = sales + 1;
    update building.network_switches set from_network = to_network;
    update building.purchase_gaps set gaps = 0;
    update building.monthly_movement set lapsed_customers = -1;
    update building.network_shares set share_of_sales = 2;
    update building.campaign_analytics set converted_visits = sales + 1;
    update building.forecast_fits set converged = false;
    update building.customer_forecasts set expected_purchases_30 = 9, probability_alive = 2;
    update building.slug_months set new_customers = customers + 1;
    update building.shop_balances set entries = 0;
    update building.ledger_entries set status = 'evaporated';
    update building.monthly_acquisition set active_customers = active_customers + 1, new_customers = 0;
    update building.repeat_rates set repeat_customers = customers + 1;
    update building.cohort_retention set active_customers = cohort_size + 1;
    update building.slug_analytics set sales = sales + 1;
    update building.shop_overview set available_balance = -1, total_customers = total_customers + 1;
"""


def _run(database: Database, *arguments: str) -> object:
    """Runs dbt as a refresh does, with all that a refresh leaves out."""
    variables = environment(database.settings, database.conninfo)
    return run_dbt(database.settings, arguments, variables=variables, target="target")


def _dbt(database: Database, *arguments: str) -> dict[str, str]:
    """Each node's name and what became of it."""
    results = _run(database, *arguments)
    assert isinstance(results, RunExecutionResult)
    return {result.node.unique_id: str(result.status) for result in results}


def _manifest(database: Database) -> Manifest:
    manifest = _run(database, "parse")
    assert isinstance(manifest, Manifest)
    return manifest


def _of(statuses: dict[str, str], kind: str) -> dict[str, str]:
    return {name: status for name, status in statuses.items() if name.startswith(f"{kind}.")}


def _wrong(statuses: dict[str, str]) -> dict[str, str]:
    return {name: told for name, told in statuses.items() if told not in ("success", "pass", "no-op")}


def _trade(connection: Connection) -> UUID:
    """Two shops, five customers in each over three months; refunds, links, networks, profits and withdrawals."""
    shops = [add_shop(connection, slug) for slug in ("ama-data", "kofi-data")]
    for shop in shops:
        for number in range(24):
            order = add_order(
                connection,
                shop,
                phone="not a phone" if number == 7 else f"02412345{number % 5:02d}",
                total=Decimal(10 + number),
                order_status="refunded" if number % 6 == 5 else "completed",
                at=datetime(2026, 1, 20, 9, tzinfo=UTC) + timedelta(days=3 * number),
                network="MTN" if number < 10 else "Telecel",
            )
            if number % 2:
                connection.execute(
                    "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at) "
                    "values (%s, %s, %s, '2026-02-01')",
                    [shop, order, "promo" if number % 3 else None],
                )
        connection.execute("insert into shop_slugs values (%s, 'promo') on conflict do nothing", [shop])
        connection.execute(
            "insert into shop_profits (shop_id, profit_amount, status) values (%s, 24, 'credited')", [shop]
        )
        connection.execute(
            "insert into withdrawal_requests (shop_id, amount, status) values (%s, 4, 'pending')", [shop]
        )
    return shops[0]


@pytest.fixture
def traded(built: Database) -> Database:
    with built.connect() as connection:
        _trade(connection)
    run_refresh(built.settings)
    return built


@pytest.mark.usefixtures("builds_models")
def test_everything_builds_and_passes_on_an_empty_storefront_twice_and_anew(
    migrated: Database,
) -> None:
    runs: Sequence[tuple[str, ...]] = [(), (), ("--full-refresh",)]
    for arguments in runs:
        statuses = _dbt(migrated, "build", *arguments)
        assert not _wrong(statuses)
        assert _of(statuses, "unit_test")
        assert _of(statuses, "test")


def test_a_relation_has_the_columns_and_types_that_its_description_names(built: Database) -> None:
    """A contract sees to it when a model is built; this looks at what stands. Staging's types are the storefront's."""
    described = {
        (schema, model.name, column.name, column.data_type if schema == "analytics" else None)
        for model in _manifest(built).nodes.values()
        if isinstance(model, ModelNode)
        for schema in [model.schema.replace("building", "analytics")]
        for column in model.columns.values()
    }
    with built.connect() as connection:
        found = fetch(
            connection,
            """
            select
                class.relnamespace::regnamespace::text,
                class.relname::text,
                attribute.attname::text,
                case
                    when class.relnamespace = 'analytics'::regnamespace
                        then format_type(attribute.atttypid, attribute.atttypmod)
                end
            from pg_class as class
            inner join pg_attribute as attribute on class.oid = attribute.attrelid
            where
                class.relnamespace in (to_regnamespace('analytics'), to_regnamespace('staging'))
                and class.relkind in ('r', 'v', 'm')
                and attribute.attnum > 0
                and not attribute.attisdropped
            """,
        )
    assert set(found) == described


def test_a_marts_column_may_be_null_unless_its_contract_requires_it(built: Database) -> None:
    required = {
        (model.name, column.name)
        for model in _manifest(built).nodes.values()
        if isinstance(model, ModelNode) and model.config.materialized == "incremental"
        for column in model.columns.values()
        if any(constraint.type == "not_null" for constraint in column.constraints)
    }
    with built.connect() as connection:
        found = fetch(
            connection,
            """
            select class.relname::text, attribute.attname::text
            from pg_class as class
            inner join pg_attribute as attribute on class.oid = attribute.attrelid
            where
                class.relnamespace = 'building'::regnamespace
                and class.relkind = 'r'
                and attribute.attnum > 0
                and attribute.attnotnull
            """,
        )
    assert set(found) == required


def test_the_unique_index_of_a_model_is_the_primary_key_of_what_is_published(built: Database) -> None:
    wanted = {
        (model.name, ", ".join(index["columns"]))
        for model in _manifest(built).nodes.values()
        if isinstance(model, ModelNode)
        for index in model.config.extra.get("indexes", [])
        if index.get("unique")
    }
    with built.connect() as connection:
        found = fetch(
            connection,
            "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint "
            "where contype = 'p' and connamespace = 'analytics'::regnamespace",
        )
    assert {(f"analytics.{name}", f"PRIMARY KEY ({key})") for name, key in wanted} == set(found)


def _months(connection: Connection, view: str, column: str) -> list[object]:
    return [month for (month,) in fetch(connection, f"select distinct {column} from analytics.{view} order by 1")]


def test_months_and_cohorts_end_with_the_shops_last_sale_whoever_bought(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        add_order(connection, shop, at=datetime(2026, 1, 20, tzinfo=UTC))
        add_order(connection, shop, phone="not a phone", at=datetime(2026, 4, 20, tzinfo=UTC))
        run_refresh(built.settings)
        assert _months(connection, "cohort_retention", "months_since") == [0, 1, 2, 3]
        assert [str(month) for month in _months(connection, "monthly_acquisition", "month")] == [
            "2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01",
        ]  # fmt: skip


@pytest.mark.parametrize(("back", "months"), [(datetime(2024, 2, 1), 26), (datetime(2024, 3, 1), 2)])
def test_a_pause_of_two_years_is_filled_in_and_a_longer_one_is_not(
    built: Database, back: datetime, months: int
) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        for at in (datetime(2022, 1, 31), back):
            add_order(connection, shop, at=at.replace(tzinfo=UTC))
        run_refresh(built.settings)
        assert len(_months(connection, "monthly_acquisition", "month")) == months
        assert len(_months(connection, "cohort_retention", "months_since")) == months


def test_every_data_test_passes_on_a_storefront_that_trades(traded: Database) -> None:
    statuses = _dbt(traded, "test", "--exclude", "test_type:unit")
    assert not _wrong(statuses)
    with traded.connect() as connection:
        assert fetch(connection, "select count(*) from analytics.customers") == [(10,)]


def test_every_data_test_can_fail(traded: Database) -> None:
    with traded.connect() as connection:
        add_forecasts(connection)
        run_refresh(traded.settings)
        connection.execute(_UNGUARD)
        connection.execute(_DAMAGE)
        _forget_a_sale(connection)

    statuses = _dbt(traded, "test", "--exclude", "test_type:unit")

    assert statuses
    assert {name for name, status in statuses.items() if status not in ("fail", "warn")} == set()


def test_a_sale_that_waits_for_the_next_refresh_or_has_its_reason_is_no_failure(traded: Database) -> None:
    with traded.connect() as connection:
        shop = fetch(connection, "select id from user_shops where shop_slug = 'ama-data'")[0][0]
        assert isinstance(shop, UUID)
        add_order(connection, shop)
        late = add_order(connection, shop, at=datetime.now(UTC))
        connection.execute("delete from regulars.changes where entity_id = %s", [late])
        assert fetch(connection, "select count(*) from regulars.unreadable_phones") == [(2,)]

        assert set(_dbt(traded, "test", "--select", _LINKED_OR_TOLD).values()) == {"pass"}
        connection.execute("delete from regulars.changes")
        assert set(_dbt(traded, "test", "--select", _LINKED_OR_TOLD).values()) == {"warn"}


def test_after_a_shop_moved_to_another_country_its_orders_wait_for_the_next_refresh(traded: Database) -> None:
    with traded.connect() as connection:
        connection.execute("update user_shops set country = 'NG' where shop_slug = 'ama-data'")
        assert fetch(connection, "select count(*) from regulars.unreadable_phones") == [(1,)]
        assert set(_dbt(traded, "test", "--select", _LINKED_OR_TOLD).values()) == {"pass"}


def _forget_a_sale(connection: Connection) -> None:
    """A sale that stood before the last refresh and that nothing knows of."""
    shop = fetch(connection, "select id from user_shops limit 1")[0][0]
    assert isinstance(shop, UUID)
    add_order(connection, shop)
    connection.execute("delete from regulars.changes")
