"""Models that change under readers: columns, types, keys, indexes, queries; models that come and go."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

import flows.building.project
from flows import history
from flows.errors import BuildFailed, NotPublished
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.security.tokens import Owner
from tests.conftest import Database
from tests.model_changes import (
    CHANGES,
    add_a_column,
    add_models,
    change_a_key,
    change_types,
    take_columns_out,
    take_models_out,
)
from tests.project import Project
from tests.snapshot import snapshot
from tests.storefront import add_order, fetch


class _Readers:
    """Four owners and an analyst who look at everything, again and again, and wait for nothing as long as a second."""

    def __init__(self, database: Database) -> None:
        self.failures: list[str] = []
        self.reads = 0
        self._database = database
        self._stop = threading.Event()
        with database.connect() as connection:
            ((self._owner,),) = fetch(connection, "select user_id from user_shops")
            names = fetch(
                connection,
                "select relname from pg_class where relnamespace = 'analytics'::regnamespace and relkind in ('r', 'v') "
                "and relname not in ('reconciliation', 'time_spine') order by relname",
            )
            # Some have no row for a shop like this one, which is too small for segments and forecasts.
            models = [
                str(name) for (name,) in names if fetch(connection, f"select count(*) from analytics.{name}") != [(0,)]
            ]
        assert len(models) > 20
        shown = [*models, "customer_contacts", "shop_profiles"]
        self._shown = [sql.Identifier("dashboard", name) for name in shown]
        self._marts = [sql.Identifier("analytics", name) for name in models]
        self._threads = [threading.Thread(target=self._read, args=(number,)) for number in range(5)]

    def __enter__(self) -> "_Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, number: int) -> None:
        role, relations = ("regulars_owner", self._shown) if number < 4 else ("regulars_analyst", self._marts)
        with self._database.connect() as connection:
            connection.execute("set statement_timeout = '1s'")
            # As the dashboard has it: a prepared statement can't outlive the columns that it answers.
            connection.prepare_threshold = None
            while not self._stop.is_set():
                for relation in relations[number:] + relations[:number]:
                    # The refresh is in this process, and would wait for the interpreter.
                    self._stop.wait(0.01)
                    try:
                        with connection.transaction():
                            connection.execute(
                                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                                [role, json.dumps({"sub": str(self._owner)})],
                            )
                            cursor = connection.execute(sql.SQL("select * from {}").format(relation))
                            rows = cursor.fetchall()
                    except psycopg.Error as error:
                        self.failures.append(f"{role}, {relation.as_string()}: {type(error).__name__} {error}")
                    else:
                        self.reads += 1
                        counts = [
                            number
                            for number, column in enumerate(cursor.description or ())
                            if column.name in ("sales", "total_orders", "total_purchases")
                        ]
                        if any(row[number] is None for row in rows for number in counts):
                            self.failures.append(f"{relation.as_string()} has lost a number")
                        if not rows:
                            self.failures.append(f"{relation.as_string()} is empty")


@pytest.mark.usefixtures("counts_on_time")
def test_models_change_in_every_way_and_four_owners_and_an_analyst_meet_no_error_and_no_wait(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection:
        ((shop,),) = fetch(connection, "select id from user_shops")
        assert isinstance(shop, UUID)
        with _Readers(trading) as readers:
            for number, change in enumerate(CHANGES):
                change(project)
                done = run_refresh(trading.settings)
                assert (done.mode, done.reason, done.warnings) == ("partial", "the models changed", []), change.__name__
                assert readers.failures == [], change.__name__
                if number % 2:
                    # A refresh follows sales into what was just changed.
                    connection.execute(
                        "update shop_orders set order_status = 'refunded' where total_price < %s", [12 + number]
                    )
                    add_order(connection, shop, phone=f"02099999{number // 4:02d}", total=f"{77 + number}.00")
                    assert run_refresh(trading.settings).mode == "refresh"
                    assert readers.failures == [], change.__name__
        assert readers.reads > 500
        assert _is_sound(connection) == []

        refreshed, shape = snapshot(connection), _shape(connection)
        connection.execute("drop schema analytics, building cascade")
        run_refresh(trading.settings, mode="rebuild")
        assert snapshot(connection) == refreshed
        assert _shape(connection) == shape


def _shape(connection: Connection) -> set[tuple[object, ...]]:
    """Columns, their types, whether they are required, their comments; keys and indexes: in whatever order."""
    columns = fetch(
        connection,
        """
        select
            class.relnamespace::regnamespace::text, class.relname, attribute.attname,
            format_type(atttypid, atttypmod), attnotnull, col_description(class.oid, attnum),
            obj_description(class.oid, 'pg_class')
        from pg_class as class
        inner join pg_attribute as attribute on class.oid = attribute.attrelid
        where
            class.relnamespace::regnamespace::text in ('analytics', 'dashboard')
            and class.relkind in ('r', 'v', 'm') and attnum > 0 and not attisdropped
        """,
    )
    indexes = fetch(
        connection,
        """
        select index.indrelid::regclass::text, indisprimary, indisunique,
            array_to_string(array(
                select attname from unnest(indkey::int2[]) with ordinality as place (attnum, number)
                inner join pg_attribute as attribute on attrelid = index.indrelid and attribute.attnum = place.attnum
                order by number
            ), ', ')
        from pg_index as index
        inner join pg_class as class on index.indrelid = class.oid
        where class.relnamespace = 'analytics'::regnamespace and class.relkind = 'r'
        """,
    )
    return {*columns, *indexes}


def _is_sound(connection: Connection) -> list[str]:
    """Nothing is left half-way: columns, indexes, constraints and relations are those of the models."""
    return [
        str(name)
        for (name,) in fetch(
            connection,
            """
            select attrelid::regclass || '.' || attname from pg_attribute
            where attname ~ '__next$|__old_'
            union all
            select indexrelid::regclass::text from pg_index where not indisvalid
            union all
            select conname from pg_constraint where conname ~ '__is_there$'
            union all
            select relation || ': ' || fault from regulars.guard_faults()
            union all
            select relname || ' has no key' from pg_class as class
            where
                relnamespace = 'analytics'::regnamespace and relkind = 'r'
                and not exists (select from pg_index where indrelid = class.oid and indisprimary)
            """,
        )
    ]


def test_a_model_taken_out_goes_and_what_somebody_else_made_stays_and_is_named(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection:
        add_models(project)
        run_refresh(trading.settings)
        assert fetch(connection, "select networks from dashboard.network_counts") == [(3,)]
        assert fetch(connection, "select count(*) from analytics.networks") == [(3,)]
        connection.execute("create view public.kept as select * from analytics.networks")
        connection.execute("create table analytics.notes (note text)")
        take_models_out(project)

        done = run_refresh(trading.settings)

        assert done.warnings == [
            "No model makes analytics.networks any more, but view kept depends on table analytics.networks."
        ]
        assert fetch(connection, "select to_regclass('analytics.network_counts')::text") == [(None,)]
        assert fetch(connection, "select to_regclass('dashboard.network_counts')::text") == [(None,)]
        connection.execute("drop view public.kept")
        run_refresh(trading.settings, mode="rebuild")
        assert fetch(connection, "select to_regclass('analytics.networks')::text") == [(None,)]
        assert fetch(connection, "select note from analytics.notes") == []
        assert run_refresh(trading.settings).mode == "refresh"


def test_a_column_that_could_not_be_added_for_a_reader_who_stays_names_the_reader_and_is_added_the_next_time(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection, trading.connect() as reader:
        reader.execute("set application_name = 'a report'")
        reader.execute("begin")
        reader.execute("select count(*) from analytics.customers")
        add_a_column(project)
        with pytest.raises(Exception, match=r"In the way") as raised:
            run_refresh(trading.settings, patience=2)
        assert "analytics.customers" in str(raised.value)
        reader.execute("commit")
        assert run_refresh(trading.settings).mode == "partial"
        assert fetch(connection, "select count(*) from analytics.customers where largest is null") == [(0,)]


def test_a_build_that_fails_shows_readers_nothing_of_a_column_to_come(trading: Database, project: Project) -> None:
    with trading.connect() as connection:
        before = fetch(connection, "select * from dashboard.customers")
        add_a_column(project)
        project.change("marts/orders.sql", ("orders.order_id,", "orders.order_id / 0 as order_id,"))
        with pytest.raises(BuildFailed):
            run_refresh(trading.settings)
        assert fetch(connection, "select * from dashboard.customers") == before
        project.change("marts/orders.sql", ("orders.order_id / 0 as order_id,", "orders.order_id,"))
        assert run_refresh(trading.settings).mode == "partial"
        assert _is_sound(connection) == []


def test_a_view_of_somebody_else_on_a_column_of_another_type_now_reads_the_new_one(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection:
        connection.execute("create view public.esi as select shop_id, order_date, sales from analytics.shop_days")
        connection.execute("create view public.kojo as select order_date, sales from dashboard.shop_days")
        connection.execute("comment on view public.esi is 'What Esi shows on Mondays.'")
        change_types(project)
        assert run_refresh(trading.settings).warnings == []
        connection.execute("update shop_orders set order_status = 'refunded' where total_price < 15")
        run_refresh(trading.settings)
        for view, model in (("public.esi", "analytics.shop_days"), ("public.kojo", "analytics.shop_days")):
            assert fetch(connection, f"select order_date, sales from {view} order by 1") == fetch(
                connection, f"select order_date, sales from {model} order by 1"
            )
            assert fetch(connection, f"select pg_typeof(sales)::text from {view} limit 1") == [("numeric",)]
        assert fetch(connection, "select obj_description('public.esi'::regclass)") == [("What Esi shows on Mondays.",)]
        assert _is_sound(connection) == []


def test_a_column_that_somebody_elses_view_reads_is_not_taken_out_and_the_view_is_named(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection:
        connection.execute("create view public.esi as select shop_id, total_profit from analytics.customers")
        before = fetch(connection, "select * from public.esi order by total_profit")
        take_columns_out(project)
        for _ in range(2):
            with pytest.raises(NotPublished, match=r"the view public\.esi can't be made again") as raised:
                run_refresh(trading.settings)
            assert "total_profit" in str(raised.value)
            assert fetch(connection, "select * from public.esi order by total_profit") == before
        connection.execute("drop view public.esi")
        assert run_refresh(trading.settings).mode == "partial"
        assert _is_sound(connection) == []


def test_what_is_no_view_and_reads_a_column_taken_out_keeps_it_and_is_named(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection:
        connection.execute("create materialized view public.esi as select total_profit from analytics.customers")
        take_columns_out(project)
        (warning,) = run_refresh(trading.settings).warnings
        assert warning.startswith("No model makes analytics.customers.total_profit__old_")
        assert "materialized view esi" in warning
        assert "total_profit" not in str(
            fetch(connection, "select pg_get_viewdef('dashboard.customers'::regclass)")[0][0]
        )
        # Rows go in without it, and the next rebuild drops it.
        ((shop,),) = fetch(connection, "select id from user_shops")
        assert isinstance(shop, UUID)
        add_order(connection, shop, phone="0209999999")
        assert run_refresh(trading.settings).mode == "refresh"
        connection.execute("drop materialized view public.esi")
        assert run_refresh(trading.settings, mode="rebuild").warnings == []
        assert _is_sound(connection) == []


def test_a_foreign_key_of_somebody_else_on_a_key_that_changes_is_named(trading: Database, project: Project) -> None:
    with trading.connect() as connection:
        connection.execute(
            "create table public.esi (shop_id uuid, slug text, month date, "
            "constraint esi_reads foreign key (shop_id, slug, month) references analytics.slug_months)"
        )
        change_a_key(project)
        with pytest.raises(NotPublished, match=r"^Nothing was published: .*esi_reads.*Drop it, and run it again\.$"):
            run_refresh(trading.settings)
        connection.execute("drop table public.esi")
        assert run_refresh(trading.settings).mode == "partial"
        assert _is_sound(connection) == []


def test_a_mart_built_by_hand_over_changed_columns_is_refused_and_told_how(trading: Database, project: Project) -> None:
    add_a_column(project)
    with pytest.raises(BuildFailed, match="regulars refresh"):
        flows.building.project.build(trading.settings, trading.conninfo, "--select", "customers")


def test_an_owner_who_begins_while_a_type_changes_finds_every_number(
    trading: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_locked, may_end = threading.Event(), threading.Event()
    succeed = history.succeed

    def wait(*arguments: Any, **options: Any) -> Any:
        # Publishing holds all of its locks here, and commits next.
        is_locked.set()
        assert may_end.wait(30)
        return succeed(*arguments, **options)

    monkeypatch.setattr(history, "succeed", wait)
    with trading.connect() as connection:
        ((owner,),) = fetch(connection, "select user_id from user_shops")
    reader = Reader(trading.settings)
    reader.open()

    def read() -> list[tuple[Any, ...]]:
        with reader.as_owner(Owner(str(owner))) as connection:
            return connection.execute("select sales from dashboard.shop_days").fetchall()

    before = read()
    change_types(project)
    with ThreadPoolExecutor(2) as pool:
        refresh = pool.submit(run_refresh, trading.settings)
        assert is_locked.wait(60)
        found = pool.submit(read)
        # Long enough for it to begin.
        time.sleep(1)
        may_end.set()
        assert sorted(found.result()) == sorted(before)
        assert refresh.result().mode == "partial"
    reader.close()


def test_views_on_views_are_found_once_however_many_columns_each_reads(migrated: Database) -> None:
    with migrated.connect() as connection:
        connection.execute("create materialized view lowest as select 1 as a, 2 as b, 3 as c, 4 as d")
        below, chain = "lowest", [f"view_{number:02d}" for number in range(30)]
        for name in chain:
            connection.execute(f"create view {name} as select a, b, c, d from {below}")  # type: ignore[arg-type]
            below = name
        connection.execute("create view over_two as select view_03.a, lowest.b from view_03 cross join lowest")
        # Where each column makes a way of its own, there are more ways than can be followed.
        connection.execute("set statement_timeout = '20s'")
        found = "select v ->> 'name' from jsonb_array_elements(regulars.views_on(array['lowest'::regclass])) as v"
        names = [str(name).removeprefix("public.") for (name,) in fetch(connection, found)]
        assert [name for name in names if name != "over_two"] == chain[::-1]
        # The outermost first: what reads a view comes before it.
        assert names.index("over_two") < names.index("view_03")
