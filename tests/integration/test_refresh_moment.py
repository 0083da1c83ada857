"""What owners and analysts read belongs to one moment, whatever becomes of the refreshes meanwhile."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from flows.errors import BuildFailed
from flows.history import Mode
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch

# Of each relation what it says about a shop's whole history: where two say something of the same name, they must say
# the same. `{s}` is the schema: an analyst's or an owner's.
_FACTS = {
    "orders": {
        "orders": "count(*)",
        "sales": "count(*) filter (where is_sale)",
        "net": "sum(net_amount)",
        "refunded": "sum(refunded_amount)",
        "profit": "sum(profit_amount) filter (where is_sale)",
        "customers": "count(distinct shop_customer_id) filter (where is_sale)",
        "known sales": "count(shop_customer_id) filter (where is_sale)",
        "revenue": "sum(net_amount) filter (where shop_customer_id is not null)",
    },
    "purchases": {
        "known sales": "count(*)",
        "revenue": "sum(net_amount)",
        "customers": "count(distinct shop_customer_id)",
        "repeat": "count(*) filter (where purchase_number = 2)",
    },
    "customers": {
        "customers": "count(*)",
        "repeat": "count(*) filter (where repeat_customer)",
        "known sales": "sum(total_purchases)",
        "revenue": "sum(total_spent)",
    },
    "visits": {"visits": "count(*)"},
    "ledger_entries": {
        "entries": "count(*)",
        "balance": "sum(case when kind = 'profit' then amount else -amount end)",
    },
    "shop_balances": {"entries": "sum(entries)", "balance": "sum(credited_profit - withdrawn)"},
    "shop_days": {
        "orders": "sum(orders)",
        "sales": "sum(sales)",
        "net": "sum(net_amount)",
        "refunded": "sum(refunded_amount)",
        "profit": "sum(profit_amount)",
    },
    "slug_months": {
        "sales": "sum(sales)",
        "net": "sum(net_amount)",
        "visits": "sum(visits)",
        "customers": "sum(new_customers)",
    },
    "cohort_months": {
        "known sales": "sum(sales)",
        "revenue": "sum(net_amount)",
        "customers": "sum(active_customers) filter (where order_month = cohort_month)",
        "active": "sum(active_customers)",
        "repeat": "sum(second_purchases)",
    },
    "shop_overview": {
        "sales": "sum(total_orders)",
        "profit": "sum(total_profit)",
        "customers": "sum(total_customers)",
        "repeat": "sum(repeat_customers)",
        "revenue": "sum(customer_revenue)",
        "balance": "sum(available_balance)",
    },
    "monthly_acquisition": {
        "sales": "sum(sales)",
        "net": "sum(net_amount)",
        "customers": "sum(new_customers)",
        "active": "sum(active_customers)",
    },
    "repeat_rates": {"active": "sum(customers)"},
    "slug_analytics": {
        "sales": "sum(sales)",
        "net": "sum(net_amount)",
        "visits": "sum(visits)",
        "customers": "sum(new_customers)",
    },
    "cohort_retention": {"revenue": "sum(net_amount)", "customers": "sum(cohort_size) filter (where months_since = 0)"},
}

_DISAGREEMENTS = "select fact, jsonb_object_agg(relation, value) from ({}) as said group by fact {}".format(
    " union all ".join(
        f"select '{fact}' as fact, '{relation}' as relation, coalesce(({query}), 0)::numeric as value "
        f"from {{s}}.{relation}"
        for relation, facts in _FACTS.items()
        for fact, query in facts.items()
    ),
    "having count(distinct value) > 1",
)

# What can't be seen in sums: each row with the rows that it is made of.
_ROWS = {
    "a customer without their orders": """
        select customers.shop_customer_id
        from {s}.customers
        full join (
            select shop_id, shop_customer_id, count(*) as sales, sum(net_amount) as net
            from {s}.orders where is_sale and shop_customer_id is not null group by shop_id, shop_customer_id
        ) as orders using (shop_id, shop_customer_id)
        where (customers.total_purchases, customers.total_spent) is distinct from (orders.sales, orders.net)
    """,
    "a day that is not the sum of its orders": """
        select order_date
        from {s}.shop_days as days
        full join (
            select shop_id, order_date, count(*) filter (where is_sale) as sales, sum(net_amount) as net
            from {s}.orders group by shop_id, order_date
        ) as orders using (shop_id, order_date)
        where (days.sales, days.net_amount) is distinct from (orders.sales, orders.net)
    """,
    "a month that is not the sum of its days": """
        select month
        from {s}.monthly_acquisition as months
        full join (
            select shop_id, date_trunc('month', order_date)::date as month, sum(sales) as sales, sum(net_amount) as net
            from {s}.shop_days where sales > 0 group by 1, 2
        ) as days using (shop_id, month)
        where months.sales > 0 and (months.sales, months.net_amount) is distinct from (days.sales, days.net)
    """,
}

_MOMENT = "select as_of, (select sum(customer_revenue) from dashboard.shop_overview) from dashboard.freshness"


class _Reader:
    """Compares every relation with every other, again and again, each time in one statement, and keeps what differs."""

    def __init__(self, database: Database) -> None:
        self.torn: list[object] = []
        self.moments: dict[object, object] = {}
        self.reads = 0
        self._database = database
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(role,)) for role in ("owner", "analyst")]

    def __enter__(self) -> "_Reader":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, role: str) -> None:
        schema = {"owner": "dashboard", "analyst": "analytics"}[role]
        with self._database.connect() as connection:
            ((owner,),) = fetch(connection, "select user_id::text from user_shops")
            connection.execute("set statement_timeout = '5s'")
            while not self._stop.is_set():
                try:
                    with connection.transaction():
                        connection.execute(
                            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                            [f"regulars_{role}", json.dumps({"sub": owner})],
                        )
                        self._look(connection, schema)
                except psycopg.Error as error:
                    self.torn.append(f"{role}: {error}")

    def _look(self, connection: Connection, schema: str) -> None:
        self.torn += fetch(connection, _DISAGREEMENTS.format(s=schema))
        for what, query in _ROWS.items():
            self.torn += [(what, key) for (key,) in fetch(connection, query.format(s=schema))]
        if schema == "analytics":
            self.torn += fetch(connection, "select * from analytics.reconciliation where not is_reconciled")
        else:
            ((as_of, revenue),) = fetch(connection, _MOMENT)
            if self.moments.setdefault(as_of, revenue) != revenue:
                self.torn.append(("one moment, two revenues", as_of, self.moments[as_of], revenue))
        self.reads += 1


def _published(connection: Connection) -> dict[object, object]:
    """Each relation that owners or analysts read, as one text; and as of when it holds. Reconciliation is live."""
    names = fetch(
        connection,
        "select relnamespace::regnamespace::text, relname from pg_class "
        "where relnamespace in ('analytics'::regnamespace, 'dashboard'::regnamespace) and relkind in ('r', 'm', 'v') "
        "and relname not in ('freshness', 'reconciliation')",
    )
    found: dict[object, object] = {
        (schema, name): fetch(
            connection,
            sql.SQL("select string_agg(said::text, ' ' order by said::text) from {} as said")
            .format(sql.Identifier(str(schema), str(name)))
            .as_string(),
        )
        for schema, name in names
    }
    found["as_of"] = fetch(connection, "select as_of, refreshed_at from dashboard.freshness")
    return found


@pytest.fixture
def trading(built: Database) -> Database:
    """A shop with customers who come back, by links, and with a balance; refreshed."""
    with built.connect() as connection:
        shop = add_shop(connection)
        for number in range(24):
            order = add_order(
                connection,
                shop,
                phone="not a phone" if number == 7 else f"02412345{number % 5:02d}",
                total=f"{10 + number}.00",
                order_status="refunded" if number == 5 else "completed",
            )
            connection.execute(
                "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at) "
                "values (%s, %s, 'promo', now())",
                [shop, order],
            )
        connection.execute(
            "insert into shop_profits (shop_id, profit_amount, status) values (%s, 99, 'credited')", [shop]
        )
    run_refresh(built.settings)
    return built


def _change(connection: Connection) -> None:
    """Something of which every relation has to know."""
    ((shop,),) = fetch(connection, "select id from user_shops")
    connection.execute("update shop_orders set total_price = total_price + 1 where order_status = 'completed'")
    add_order(connection, shop, phone=f"02077{time.time_ns() % 100000:05d}", total="7.00")  # type: ignore[arg-type]
    connection.execute(
        "insert into regulars.tracking (shop_id, accessed_via_slug, accessed_at) values (%s, 'promo', now())", [shop]
    )
    connection.execute("insert into shop_profits (shop_id, profit_amount, status) values (%s, 1, 'credited')", [shop])


# A fault in the database itself: a purchase's customer is gone when the data test looks. A rebuild makes the mart anew,
# and the fault with it.
_LOSE = """
    create function public.lose() returns trigger language plpgsql as 'begin return null; end';
    create trigger lose before insert on building.customers for each row execute function public.lose();
    create function public.lose_in_a_rebuild() returns event_trigger language plpgsql as $$ begin
        if 'building.customers__dbt_tmp' in (select object_identity from pg_event_trigger_ddl_commands()) then
            delete from building.customers__dbt_tmp;
        end if;
    end $$;
    create event trigger lose on ddl_command_end when tag in ('CREATE TABLE AS')
    execute function public.lose_in_a_rebuild();
"""
_LOSE_NO_MORE = "drop event trigger lose; drop function public.lose_in_a_rebuild; drop function public.lose cascade"

_REFRESH_IN_A_PROCESS = """
import sys, time
from pathlib import Path
from flows.steps import run_refresh
from ingest.storage.settings import Settings

def perform(step, run):
    if step.__name__ == "publish":
        print("built", flush=True)
        if sys.argv[4] == "before":
            time.sleep(60)
    step(run)

settings = Settings(DATABASE_URL=sys.argv[1], home=Path(sys.argv[2]))
run_refresh(settings, mode=sys.argv[3] or None, perform=perform)
"""


@contextmanager
def _held(database: Database, relation: str) -> Iterator[None]:
    """Somebody keeps writers out of a relation."""
    with database.connect() as holder:
        holder.execute("begin")
        holder.execute(f"lock table {relation} in share mode")  # type: ignore[arg-type]
        yield
        holder.execute("rollback")


def _kill_a_refresh(database: Database, *, mode: Mode | None, when: str) -> None:
    """Kills it when everything is built and nothing published, or in the middle of the publishing transaction."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", "-c", _REFRESH_IN_A_PROCESS),
            *(database.conninfo, str(database.settings.home), mode or "", when),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with _held(database, "analytics.slug_analytics"), database.connect() as connection:
        assert process.stdout.readline() == "built\n"
        if when == "amid":
            for _ in range(200):
                waits = fetch(
                    connection,
                    "select 1 from pg_stat_activity where datname = current_database() "
                    "and application_name = 'regulars-refresh' and wait_event_type = 'Lock'",
                )
                if waits:
                    break
                time.sleep(0.05)
            assert waits
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    for _ in range(200):
        with database.connect() as connection:
            # The server notices that its client is gone within a second or so.
            if not fetch(
                connection,
                "select 1 from pg_stat_activity where datname = current_database() "
                "and application_name = 'regulars-refresh'",
            ):
                return
        time.sleep(0.05)
    raise AssertionError("the killed refresh is still connected")


@pytest.mark.parametrize("mode", [None, "rebuild"], ids=["refresh", "rebuild"])
def test_a_reader_never_finds_two_moments_and_a_refresh_that_fails_or_is_killed_changes_nothing(
    trading: Database, mode: Mode | None
) -> None:
    with trading.connect() as connection, _Reader(trading) as reader:
        before = _published(connection)

        connection.execute(_LOSE)
        _change(connection)
        with pytest.raises(BuildFailed, match="every_purchase_is_of_a_customer"):
            run_refresh(trading.settings, mode=mode)
        assert _published(connection) == before
        connection.execute(_LOSE_NO_MORE)

        for when in ("before", "amid"):
            _change(connection)
            _kill_a_refresh(trading, mode=mode, when=when)
            assert _published(connection) == before, when

        for _ in range(2):
            _change(connection)
            run_refresh(trading.settings, mode=mode)
        assert _published(connection) != before
    assert reader.torn == []
    assert reader.reads > 50
    assert len(reader.moments) == 3
