"""Who reads and who buys while a benchmark does something else: each in a process of its own, each at its own pace.

An owner opens pages, a program reads the API, an analyst asks the marts, and eight checkouts a second are tracked.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from ingest import Checkout, track
from ingest.storage.connections import Connection, connect
from regulars.dashboard.security.session import COOKIE

CHECKOUTS_A_SECOND = 8

# How long each waits between two reads, so that all of them leave something of two cores.
_PAUSE = 0.1

_PAGES = ("/", "/customers", "/retention", "/links")
_API = ("analytics", "acquisition", "list?limit=20", "cohorts", "slug-analytics")
_ASKED = (
    "select shop_id, total_orders, total_customers, customer_revenue from analytics.shop_overview",
    "select sum(net_amount), sum(sales) from analytics.shop_days where shop_id = %(shop)s having count(*) > 0",
    "select order_month, sum(net_amount) from analytics.purchases where shop_id = %(shop)s group by order_month",
    "select * from analytics.customers where shop_id = %(shop)s order by total_spent desc limit 100",
    "select * from analytics.customer_rhythms where shop_id = %(shop)s limit 100",
)

_SELL = """
    insert into public.shop_orders (
        id, shop_id, customer_name, customer_phone, network, base_price, profit_amount, total_price, order_status,
        payment_status
    )
    values (%s, %s, 'Buyer', %s, 'MTN', 4, 1, 5, 'completed', 'completed')
"""


@dataclass(frozen=True, slots=True)
class Place:
    """What is read: the database, the dashboard's address, a shop, and a session and a token of its owner."""

    conninfo: str
    dashboard: str
    shop: str
    session: str
    api_token: str


@dataclass(frozen=True, slots=True)
class Act:
    """One read or checkout. `began`: by the clock that all processes share. `size`: what came, in rows or bytes."""

    who: str
    what: str
    began: float
    seconds: float
    size: int
    error: str | None


class Audience:
    """What all of them did so far."""

    def __init__(self, processes: Sequence[BaseProcess], seen: list[Act]) -> None:
        self._processes = processes
        self._seen = seen

    def between(self, began: float, ended: float) -> list[Act]:
        """What began in this time; waits for the end of all of it."""
        while {act.who for act in list(self._seen) if act.began >= ended} != _WORK.keys():
            if not all(process.is_alive() for process in self._processes):
                raise RuntimeError("a reader or the checkout broke")
            time.sleep(_PAUSE)
        return [act for act in list(self._seen) if began <= act.began < ended]


@contextmanager
def audience(place: Place) -> Iterator[Audience]:
    """Everybody at work, until the block ends."""
    spawn = get_context("spawn")
    acts: Any = spawn.SimpleQueue()
    end = spawn.Event()
    processes = [spawn.Process(target=_work, args=(who, place, acts, end)) for who in _WORK]
    seen: list[Act] = []
    # All the time: a process that has more to say than the queue holds stands still until it is read.
    listener = threading.Thread(target=lambda: seen.extend(iter(acts.get, None)))
    listener.start()
    for process in processes:
        process.start()
    try:
        yield Audience(processes, seen)
    finally:
        end.set()
        for process in processes:
            process.join()
        acts.put(None)
        listener.join()


def _work(who: str, place: Place, acts: "SimpleQueue[Act]", end: Event) -> None:
    def note(what: str, act: Callable[[], int]) -> None:
        began = time.monotonic()
        size, error = 0, None
        try:
            size = act()
        except (httpx.HTTPError, psycopg.Error) as failure:
            error = f"{type(failure).__name__}: {failure}".splitlines()[0]
        acts.put(Act(who, what, began, time.monotonic() - began, size, error))

    _WORK[who](place, note, end)


_Note = Callable[[str, Callable[[], int]], None]


def _open_pages(place: Place, note: _Note, end: Event) -> None:
    # As a browser that opens pages.
    headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=place.dashboard, timeout=60, headers=headers, cookies={COOKIE: place.session}) as client:
        _in_turns(_PAGES, lambda page: note(page, lambda: _fetch(client, page)), end)


def _read_api(place: Place, note: _Note, end: Event) -> None:
    headers = {"Authorization": f"Bearer {place.api_token}"}
    with httpx.Client(base_url=f"{place.dashboard}/api/admin/customers/", timeout=60, headers=headers) as client:
        _in_turns(_API, lambda path: note(path, lambda: _fetch(client, path)), end)


def _fetch(client: httpx.Client, path: str) -> int:
    return len(client.get(path).raise_for_status().content)


def _ask(place: Place, note: _Note, end: Event) -> None:
    with connect(place.conninfo, application="regulars-analyst") as connection:
        # A prepared statement can't outlive the columns that it answers.
        connection.prepare_threshold = None
        _in_turns(_ASKED, lambda query: note(query, lambda: _rows(connection, query, place.shop)), end)


def _rows(connection: Connection, query: str, shop: str) -> int:
    with connection.transaction():
        connection.execute("set local role regulars_analyst")
        return len(connection.execute(query.encode(), {"shop": shop}).fetchall())


def _buy(place: Place, note: _Note, end: Event) -> None:
    with connect(place.conninfo, application="regulars-checkout") as connection:
        number, due = 0, time.monotonic()
        while not end.wait(max(0.0, due - time.monotonic())):
            number, due = number + 1, due + 1 / CHECKOUTS_A_SECOND
            order, phone = uuid4(), f"024 {9_000_000 + number // 2:07d}"
            note("order", lambda order=order, phone=phone: _sell(connection, order, place.shop, phone))  # type: ignore[misc]
            checkout = Checkout(shop_id=place.shop, order_id=order, phone=phone, slug="link-1")
            note("track", lambda checkout=checkout: len(str(track(connection, checkout))))  # type: ignore[misc]


def _sell(connection: Connection, *values: object) -> int:
    return connection.execute(_SELL, values, prepare=True).rowcount


def _in_turns(things: tuple[str, ...], act: Callable[[str], None], end: Event) -> None:
    number = 0
    while not end.wait(_PAUSE):
        act(things[number % len(things)])
        number += 1


_WORK: dict[str, Callable[[Place, _Note, Event], None]] = {
    "owner": _open_pages,
    "API": _read_api,
    "analyst": _ask,
    "checkout": _buy,
}
