"""What somebody did between two refreshes: locks, drops, an open wall, views of their own on ours."""

import time
from collections.abc import Iterator

import pytest
from psycopg import sql

from flows import history
from flows.building import project
from flows.errors import Blocked, BuildFailed, NotPublished
from flows.lock import refresh_lock
from flows.publishing import relations
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import NAME, Database, Server
from tests.snapshot import snapshot
from tests.storefront import add_order, add_shop, fetch


@pytest.fixture(scope="module")
def standing_template(server: Server, built_template: str) -> str:
    database = server.create(NAME, template=built_template)
    with database.connect() as connection:
        for slug in ("ama-data", "kofi-data"):
            shop = add_shop(connection, slug)
            for number in range(6):
                add_order(connection, shop, phone=f"02412345{number % 4:02d}", total=f"{10 + number}.00")
    run_refresh(database.settings)
    # This one notes why there is no forecast, so that those of the tests have nothing to do.
    run_refresh(database.settings)
    return server.rename(database, f"{NAME}_standing")


@pytest.fixture
def standing(server: Server, standing_template: str) -> Iterator[Database]:
    """Two shops with customers, refreshed."""
    yield server.create(NAME, template=standing_template)
    server.drop(NAME)


def _change_something(connection: Connection) -> None:
    connection.execute("update shop_orders set total_price = total_price + 1")


def test_a_rebuild_removes_wrong_rows_that_somebody_has_added_beside_a_right_one(standing: Database) -> None:
    with standing.connect() as connection:
        before = snapshot(connection)
        connection.execute("alter table analytics.customers drop constraint customers_pkey")
        for changed in ("total_spent + 1", "total_spent + 2"):
            connection.execute(
                "create temporary table twice as select * from analytics.customers where total_spent = any("
                "select total_spent from building.customers limit 1);"
                f"update twice set total_spent = {changed}; insert into analytics.customers select * from twice;"  # type: ignore[arg-type]
                "drop table twice"
            )
        run_refresh(standing.settings, mode="rebuild")
        assert snapshot(connection) == before


def test_sums_that_somebody_changed_stop_the_refresh_of_their_shop_and_of_no_other(standing: Database) -> None:
    with standing.connect() as connection:
        shops = {slug: shop for shop, slug in fetch(connection, "select id, shop_slug from user_shops")}
        connection.execute(
            "update building.slug_months set new_customers = new_customers - 1 where shop_id = %s", [shops["ama-data"]]
        )
        add_order(connection, shops["kofi-data"], phone="0241234500")  # type: ignore[arg-type]
        assert run_refresh(standing.settings).mode == "refresh"
        before = snapshot(connection)
        add_order(connection, shops["ama-data"], phone="0241234500")  # type: ignore[arg-type]
        with pytest.raises(BuildFailed, match="assert_every_page_counts_the_same_customers"):
            run_refresh(standing.settings)
        assert snapshot(connection) == before


@pytest.mark.parametrize(
    ("relation", "mode"),
    [
        ("public.shop_orders", "access exclusive"),
        ("public.shop_orders", "share"),
        ("analytics.orders", "access exclusive"),
        ("analytics.customers", "exclusive"),
        ("analytics.shop_overview", "share"),
    ],
)
def test_a_refresh_that_meets_a_lock_gives_up_in_time_and_says_who_holds_it(
    standing: Database, relation: str, mode: str
) -> None:
    with standing.connect() as connection, standing.connect() as holder:
        _change_something(connection)
        before = snapshot(connection)
        holder.execute("set application_name = 'a migration'")
        holder.execute("begin")
        if relation == "analytics.shop_overview":
            holder.execute("create index on analytics.shop_overview (currency) where currency <> 'a secret'")
        else:
            holder.execute(f"lock table {relation} in {mode} mode")  # type: ignore[arg-type]
            holder.execute("select 'a secret'")

        start = time.monotonic()
        with pytest.raises(Blocked) as raised:
            run_refresh(standing.settings, patience=1)
        assert time.monotonic() - start < 30

        told = str(raised.value)
        assert f"pid {holder.info.backend_pid} (application a migration, user postgres)" in told
        assert f"on {relation} since 20" in told
        assert "last statement " in told
        assert "secret" not in told
        latest = history.last(connection)
        assert latest is not None
        assert latest.status == "failed"
        assert f"pid {holder.info.backend_pid}" in str(latest.error)
        with refresh_lock(standing.conninfo):
            pass
        holder.execute("rollback")
        assert snapshot(connection) == before
        assert run_refresh(standing.settings).mode == "refresh"


_PUBLISHED_DAMAGE = [
    # First: the others take it along.
    ("drop view analytics.reconciliation", "analytics.reconciliation"),
    ("drop table analytics.customers cascade", "analytics.customers"),
    ("drop table analytics.shop_overview cascade", "analytics.shop_overview"),
    ("alter table analytics.orders drop constraint orders_pkey", "analytics.orders"),
    ("alter table analytics.repeat_rates drop constraint repeat_rates_pkey", "analytics.repeat_rates"),
]
_WORKING_DAMAGE = [
    ("drop table building.customers cascade", "building.customers"),
    ("drop materialized view building.shop_overview cascade", "building.shop_overview"),
    ("drop view staging.stg_tracking cascade", "staging.stg_tracking"),
    ("drop table regulars.delta_orders", "regulars.delta_orders"),
    (
        "do $$ begin execute 'drop index building.' || quote_ident((select indexname from pg_indexes "
        "where schemaname = 'building' and tablename = 'repeat_rates')); end $$",
        "building.repeat_rates",
    ),
]


@pytest.mark.parametrize(("damage", "missing"), _PUBLISHED_DAMAGE + _WORKING_DAMAGE)
def test_what_is_missing_is_found(standing: Database, damage: str, missing: str) -> None:
    with standing.connect() as connection:
        assert relations.missing(connection, project.relations()) == []
        connection.execute(damage)  # type: ignore[arg-type]
        assert missing in relations.missing(connection, project.relations())


@pytest.mark.parametrize("damages", [_PUBLISHED_DAMAGE, _WORKING_DAMAGE], ids=["published", "working"])
def test_what_is_missing_makes_the_next_refresh_a_rebuild_though_nothing_changed(
    standing: Database, damages: list[tuple[str, str]]
) -> None:
    with standing.connect() as connection:
        before = snapshot(connection)
        for damage, _ in damages:
            connection.execute(damage)  # type: ignore[arg-type]
        done = run_refresh(standing.settings)
        assert done.mode == "rebuild"
        assert all(missing in str(done.reason) for _, missing in damages)
        assert str(done.reason).endswith(" missing")
        assert snapshot(connection) == before
        again = run_refresh(standing.settings)
        assert (again.mode, again.reason, again.warnings) == ("refresh", None, [])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("alter table analytics.orders disable row level security", "Row-level security was off on analytics.orders"),
        ("alter table analytics.orders force row level security", "Row-level security was forced"),
        ("drop policy regulars_owner_reads on analytics.orders", "The policy regulars_owner_reads of analytics.orders"),
        ("drop policy regulars_analyst_reads on analytics.visits", "The policy regulars_analyst_reads"),
        ("alter policy regulars_owner_reads on analytics.shops using (true)", "The policy regulars_owner_reads"),
        (
            "alter policy regulars_analyst_reads on analytics.shops to regulars_analyst, regulars_owner",
            "The policy regulars_analyst_reads",
        ),
        ("create policy hole on analytics.customers using (true)", "The policy hole of analytics.customers opened it"),
        ("drop view dashboard.customers", "The view dashboard.customers was missing"),
        ("drop view dashboard.shop_overview", "The view dashboard.shop_overview was missing"),
        ("alter view dashboard.customers set (security_invoker = false)", "The view dashboard.customers did not keep"),
        ("alter view dashboard.repeat_rates reset (security_invoker)", "The view dashboard.repeat_rates did not keep"),
    ],
)
def test_a_guard_that_was_damaged_is_put_right_by_a_refresh_without_work_and_told(
    standing: Database, damage: str, told: str
) -> None:
    with standing.connect() as connection:
        connection.execute(damage)  # type: ignore[arg-type]
        assert fetch(connection, "select count(*) from regulars.guard_faults()") != [(0,)]

        done = run_refresh(standing.settings)

        assert (done.mode, done.changes) == ("refresh", 0)
        assert [warning for warning in done.warnings if warning.startswith(told)], done.warnings
        assert fetch(connection, "select * from regulars.guard_faults()") == []
        _assert_owners_are_apart(connection)
        assert run_refresh(standing.settings).warnings == []


def _assert_owners_are_apart(connection: Connection) -> None:
    for shop, owner in fetch(connection, "select id, user_id::text from user_shops"):
        for (view,) in fetch(
            connection,
            "select relname from pg_class where relnamespace = 'dashboard'::regnamespace and relname <> 'freshness'",
        ):
            with connection.transaction():
                connection.execute(
                    "select set_config('role', 'regulars_owner', true), "
                    "set_config('request.jwt.claims', jsonb_build_object('sub', %s::text)::text, true)",
                    [owner],
                )
                query = sql.SQL("select distinct shop_id from {}").format(sql.Identifier("dashboard", str(view)))
                assert {seen for (seen,) in connection.execute(query)} <= {shop}, view


def test_a_policy_for_others_than_owners_is_left_alone(standing: Database) -> None:
    with standing.connect() as connection:
        connection.execute("create policy reports on analytics.orders to regulars_analyst using (true)")
        assert run_refresh(standing.settings).warnings == []
        assert fetch(connection, "select count(*) from pg_policy where polname = 'reports'") == [(1,)]


def test_a_migration_over_a_mart_without_row_level_security_puts_it_right(standing: Database) -> None:
    with standing.connect() as connection:
        connection.execute("alter table analytics.orders disable row level security")
        connection.execute("select regulars.grant_roles()")
        assert fetch(connection, "select * from regulars.guard_faults()") == []


_VIEWS = """
    select class.oid::regclass::text, pg_get_viewdef(class.oid), relowner::regrole::text, relacl::text,
        reloptions, obj_description(class.oid), col_description(class.oid, 1)
    from pg_class as class where relnamespace = 'reports'::regnamespace and relkind = 'v' order by 1
"""


@pytest.fixture
def reports(standing: Database) -> Iterator[Database]:
    """Views of an analyst: on a published table, on that view, and on what owners see. A column has another type than
    its model's, as after a change of the model, so that a rebuild has to replace it under these views."""
    with standing.connect() as connection:
        connection.execute("drop view dashboard.repeat_rates")
        connection.execute("alter table analytics.repeat_rates alter column repeat_rate type text")
        connection.execute("select regulars.apply_row_security('analytics.repeat_rates')")
        connection.execute("drop role if exists regulars_test_esi")
        connection.execute("create role regulars_test_esi")
        connection.execute("create schema reports authorization regulars_test_esi")
        connection.execute("grant usage on schema analytics, dashboard to regulars_test_esi")
        connection.execute("grant select on analytics.repeat_rates, dashboard.repeat_rates to regulars_test_esi")
        connection.execute("set role regulars_test_esi")
        connection.execute(
            "create view reports.rates with (security_barrier = true) as "
            "select shop_id, month, repeat_rate from analytics.repeat_rates"
        )
        connection.execute("create view reports.best as select shop_id, max(repeat_rate) from reports.rates group by 1")
        connection.execute("create view reports.mine as select shop_id, month from dashboard.repeat_rates")
        connection.execute("comment on view reports.rates is 'What Esi shows on Mondays.'")
        connection.execute("comment on column reports.rates.shop_id is 'Whose.'")
        connection.execute("grant select on reports.rates to regulars_checkout with grant option")
        connection.execute("grant select (shop_id) on reports.best to public")
        connection.execute("reset role")
        yield standing
        connection.execute("drop owned by regulars_test_esi cascade")
        connection.execute("drop role regulars_test_esi")


_TYPE = """
    select format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = 'analytics.repeat_rates'::regclass and attname = 'repeat_rate'
"""


def test_views_of_somebody_else_on_a_column_that_is_replaced_are_there_again_as_they_were(reports: Database) -> None:
    with reports.connect() as connection:
        before = fetch(connection, _VIEWS)
        rates = "select shop_id, month, repeat_rate::numeric from reports.rates order by shop_id"
        read = fetch(connection, rates)
        assert fetch(connection, _TYPE) == [("text",)]

        run_refresh(reports.settings, mode="rebuild")

        assert fetch(connection, _TYPE) == [("numeric",)]
        assert len(before) == 3
        assert fetch(connection, _VIEWS) == before
        assert fetch(connection, rates) == read
        assert fetch(
            connection, "select has_table_privilege('regulars_test_esi', 'analytics.repeat_rates', 'select')"
        ) == [(True,)]


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("create materialized view reports.copy as select * from reports.rates", "reports.copy"),
        ("create rule told as on insert to reports.rates do instead nothing", "reports.rates"),
        (
            "create function reports.count() returns bigint begin atomic select count(*) from reports.rates; end",
            "reports.count()",
        ),
    ],
)
def test_what_cannot_be_made_again_is_named_and_nothing_is_published(reports: Database, made: str, named: str) -> None:
    with reports.connect() as connection:
        connection.execute(made)  # type: ignore[arg-type]
        views = fetch(connection, _VIEWS)
        before = fetch(connection, "select * from dashboard.freshness"), fetch(connection, _READ)
        _change_something(connection)
        with pytest.raises(NotPublished, match="repeat_rates") as raised:
            run_refresh(reports.settings, mode="rebuild")
        assert named in str(raised.value)
        assert "make it again" in str(raised.value)
        assert fetch(connection, _TYPE) == [("text",)]
        assert fetch(connection, _VIEWS) == views
        (moment,), rows = fetch(connection, "select * from dashboard.freshness"), fetch(connection, _READ)
        assert (moment[:2], rows) == (before[0][0][:2], before[1])


_READ = """
    select string_agg(read::text, ' ' order by read::text) from (
        select 'orders', orders::text from analytics.orders
        union all select 'overview', overview::text from analytics.shop_overview as overview
        union all select 'rates', rates::text from dashboard.repeat_rates as rates
    ) as read
"""


_UNCOMMENTED = """
    select class.oid::regclass::text || coalesce('.' || attribute.attname, '')
    from pg_class as class
    inner join (
        select attrelid, attnum, attname from pg_attribute where attnum > 0 and not attisdropped
        union all
        select oid, 0, null from pg_class
    ) as attribute on class.oid = attribute.attrelid
    left join pg_description as said
        on said.classoid = 'pg_class'::regclass and class.oid = said.objoid and attribute.attnum = said.objsubid
    where
        class.relnamespace in ('analytics'::regnamespace, 'dashboard'::regnamespace)
        and class.relkind in ('r', 'm', 'v')
        and coalesce(said.description, '') = ''
"""


def test_every_relation_and_column_that_somebody_reads_has_a_comment(standing: Database) -> None:
    with standing.connect() as connection:
        assert fetch(connection, _UNCOMMENTED) == []
        connection.execute("comment on column analytics.orders.order_id is 'Nonsense.'")
        connection.execute("comment on table analytics.customers is null")
        run_refresh(standing.settings, mode="rebuild")
        assert fetch(connection, _UNCOMMENTED) == []
        assert "as the storefront" in str(
            fetch(connection, "select col_description('analytics.orders'::regclass, 1)")[0][0]
        )


def test_a_refresh_whose_models_are_the_same_writes_no_comment_where_somebody_reads(standing: Database) -> None:
    comments = "select identity from public.comments where not starts_with(identity, 'building.')"
    with standing.connect() as connection:
        connection.execute("create table public.comments (identity text)")
        connection.execute(
            "create function public.note() returns event_trigger language plpgsql as $$ begin "
            "insert into public.comments select object_identity from pg_event_trigger_ddl_commands(); end $$"
        )
        connection.execute(
            "create event trigger noted on ddl_command_end when tag in ('COMMENT') execute function public.note()"
        )
        _change_something(connection)
        run_refresh(standing.settings)
        run_refresh(standing.settings)
        run_refresh(standing.settings, mode="rebuild")
        assert fetch(connection, comments) == []
        # The trigger can tell.
        connection.execute("comment on table analytics.customers is null")
        run_refresh(standing.settings, mode="rebuild")
        assert len(fetch(connection, comments)) == 2


def test_an_index_that_was_dropped_is_made_again_by_the_next_refresh_and_somebody_elses_is_left(
    standing: Database,
) -> None:
    with standing.connect() as connection:
        ((name,),) = fetch(
            connection,
            "select indexname from pg_indexes where schemaname = 'analytics' "
            "and tablename = 'customers' and strpos(indexdef, 'total_spent') > 0",
        )
        connection.execute(sql.SQL("drop index {}").format(sql.Identifier("analytics", str(name))))
        connection.execute("create index esi on analytics.customers (preferred_network)")
        run_refresh(standing.settings)
        indexes = fetch(
            connection, "select indexdef from pg_indexes where schemaname = 'analytics' and tablename = 'customers'"
        )
        assert len([definition for (definition,) in indexes if "total_spent" in str(definition)]) == 1
        assert len([definition for (definition,) in indexes if " esi " in str(definition)]) == 1
