"""Five shops that go on trading, and somebody who goes on reading their numbers, each in a thread of its own."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import psycopg

from ingest.storage.connections import Connection, connect
from ingest.storage.errors import DatabaseError

_OPEN = """
    insert into public.user_shops (id, user_id, shop_name, shop_slug)
    select gen_random_uuid(), gen_random_uuid(), 'Shop ' || n, 'shop-' || n
    from generate_series(1, 5) as n
"""

_SELL = """
    with shops as (
        select array_agg(id order by shop_slug) as ids from public.user_shops
    )

    insert into public.shop_orders (
        shop_id, customer_name, customer_phone, network, base_price, profit_amount, total_price, order_status,
        payment_status, created_at
    )
    select
        ids[1 + floor(5 * random())::int],
        'Buyer',
        '02455' || (10000 + floor(400 * random())::int),
        (array['MTN', 'Telecel', 'AT'])[1 + n %% 3],
        4 + n %% 50,
        1,
        5 + n %% 50,
        'completed',
        case when n %% 20 = 7 then 'failed' else 'completed' end,
        now() - interval '400 days' * random()
    from shops
    cross join generate_series(%(first)s::int, %(last)s::int) as n
"""

_VISIT = """
    insert into regulars.tracking (shop_id, accessed_via_slug, accessed_at)
    select id, 'link-' || floor(3 * random())::int, now() - interval '400 days' * random() from public.user_shops
"""

_CORRECT = """
    update public.shop_orders
    set
        total_price = total_price + 1,
        base_price = base_price + 1,
        order_status = case when order_status = 'completed' then 'refunded' else 'completed' end
    where id in (select id from public.shop_orders order by random() limit 3)
"""

_DELETE = "delete from public.shop_orders where id = (select id from public.shop_orders order by random() limit 1)"

# In one statement, so in one moment: the net amount of all sales, and of those that have a customer. (An order that
# a checkout holds while it is matched gets its customer in the next refresh.)
_READ = """
    select
        array[
            (select sum(net_amount) from analytics.orders),
            (select sum(net_amount) from analytics.shop_days),
            (select sum(net_amount) from analytics.slug_analytics)
        ],
        array[
            (select sum(net_amount) from analytics.purchases),
            (select sum(total_spent) from analytics.customers),
            (select sum(customer_revenue) from analytics.shop_overview)
        ]
"""


def open_shops(connection: Connection, *, orders: int) -> None:
    """Five shops with so many orders of 400 phones, over 400 days, and some visits."""
    connection.execute(_OPEN)
    connection.execute(_SELL, {"first": 1, "last": orders})
    for _ in range(20):
        connection.execute(_VISIT)


def sell(connection: Connection, *, number: int = 1) -> None:
    """One order more."""
    connection.execute(_SELL, {"first": number, "last": number})


class _Loop(ABC):
    """Calls `turn` again and again, until the block ends, on a connection that it opens anew whenever that is lost."""

    pause = 0.02

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @abstractmethod
    def turn(self, connection: Connection) -> None:
        """What is done again and again."""

    @abstractmethod
    def lost(self, error: Exception) -> None:
        """The connection was lost, or none was to be had."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._conninfo, application="regulars-benchmark") as connection:
                    # Longer is no wait for a lock, but a blocked reader or storefront.
                    connection.execute("set lock_timeout = '5s'")
                    while not self._stop.wait(self.pause):
                        self.turn(connection)
            except (DatabaseError, psycopg.OperationalError) as error:
                self.lost(error)
                self._stop.wait(0.1)


class Trade(_Loop):
    """Sells, corrects, refunds and deletes orders, and notes visits."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(conninfo)
        self.turns = 0

    def turn(self, connection: Connection) -> None:
        self.turns += 1
        sell(connection, number=self.turns)
        connection.execute(_CORRECT)
        if self.turns % 5 == 0:
            connection.execute(_VISIT)
            connection.execute(_DELETE)

    def lost(self, error: Exception) -> None:
        """A storefront goes on when the database is back."""


class Reader(_Loop):
    """Reads the same sum from several published relations in one statement, and notes what a reader must not meet:
    sums of two moments, nothing at all, an error, a wait for a lock. `may_be_cut`: the server is killed meanwhile."""

    pause = 0.01

    def __init__(self, conninfo: str, *, may_be_cut: bool) -> None:
        super().__init__(conninfo)
        self.wrong: list[str] = []
        self.reads = 0
        self._may_be_cut = may_be_cut

    def turn(self, connection: Connection) -> None:
        try:
            sums = connection.execute(_READ).fetchone() or ()
        except psycopg.Error as error:
            if connection.closed:
                raise
            self.wrong.append(f"a reader met {type(error).__name__}")
            return
        self.reads += 1
        if any(None in each or len(set(each)) > 1 for each in sums):
            self.wrong.append(f"a reader saw {sums}")

    def lost(self, error: Exception) -> None:
        if not self._may_be_cut:
            self.wrong.append(f"a reader lost the server ({type(error).__name__})")
