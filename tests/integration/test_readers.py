"""An owner reads every endpoint again and again while refreshes and a rebuild run."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx

from flows.steps import run_refresh
from regulars.dashboard.app import create_app
from regulars.dashboard.security.tokens import Keys
from tests.conftest import NAME, Server
from tests.owners import Shop, copy_of, settings_of, two_owners
from tests.served import served
from tests.waiting import wait_until

_API = "/api/admin/customers"


def _sum(rows: str, amount: str) -> Callable[[dict[str, Any]], Decimal]:
    return lambda told: sum((row[amount] for row in told[rows]), Decimal(0))


# The part of each endpoint's response that must be the shop's revenue as of one refresh, never a mix of two.
_REVENUE: dict[str, Callable[[dict[str, Any]], Decimal]] = {
    "analytics": lambda told: told["total_revenue"],
    "list?limit=200": _sum("customers", "total_spent"),
    "slug-analytics": _sum("slugs", "net_amount"),
    "acquisition": _sum("months", "net_amount"),
    "cohorts": _sum("cohorts", "net_amount"),
}


def _cards_agree(told: dict[str, Any]) -> bool:
    return bool(
        abs(told["average_ltv"] - told["total_revenue"] / told["total_customers"]) < Decimal("0.01")
        and abs(told["repeat_percentage"] - Decimal(100) * told["repeat_customers"] / told["total_customers"])
        < Decimal("0.1")
    )


class _Reader:
    """Reads each endpoint in turn until it is stopped, and records what was wrong."""

    def __init__(self, client: httpx.Client, shop: Shop, token: str, *, revenues: set[Decimal], history: str) -> None:
        self.wrong: list[str] = []
        self.seen: dict[str, Counter[Decimal]] = {path: Counter() for path in _REVENUE}
        self._client, self._shop, self._revenues = client, shop, revenues
        self._headers = {"Authorization": f"Bearer {token}"}
        self._others = ["repeat-rates", "export.csv", f"{history}/history"]
        self._stop = threading.Event()
        self._rounds = 0
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "_Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_a_round(self) -> None:
        """Until each endpoint has been read from now on."""
        after = self._rounds + 2
        wait_until(lambda: self._rounds >= after)

    def _ask(self, path: str) -> httpx.Response | None:
        sign = "&" if "?" in path else "?"
        answer = self._client.get(f"{_API}/{path}{sign}shop={self._shop.slug}", headers=self._headers)
        if answer.status_code != 200:
            self.wrong.append(f"{path}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    def _read(self) -> None:
        while not self._stop.is_set():
            for path, revenue_of in _REVENUE.items():
                if (answer := self._ask(path)) is not None:
                    told = json.loads(answer.text, parse_float=Decimal)
                    revenue = Decimal(revenue_of(told))
                    self.seen[path][revenue] += 1
                    if revenue not in self._revenues:
                        self.wrong.append(f"{path}: a revenue of {revenue} was never published")
                    if path == "analytics" and not _cards_agree(told):
                        self.wrong.append(f"{path}: its cards don't agree: {told}")
            for path in self._others:
                self._ask(path)
            self._rounds += 1


def test_no_response_fails_or_mixes_two_refreshes_while_refreshes_and_a_rebuild_run(
    server: Server, built_template: str
) -> None:
    owners = two_owners(server, built_template)
    shop = owners.shops["ama-data"]
    revenue = sum((order.total for order in shop.sales), Decimal(0))
    revenues = {revenue + added * len(shop.sales) for added in range(4)}
    with copy_of(server, owners, name=f"{NAME}_readers") as database:
        settings = settings_of(database)
        token = Keys(settings).api_token(str(shop.user_id), lasts=timedelta(hours=1))
        with served(create_app(settings), headers={}) as client, database.connect() as connection:
            history = connection.execute(
                "select shop_customer_id::text from analytics.customers where shop_id = %s limit 1", [shop.shop_id]
            ).fetchone()
            assert history is not None
            with _Reader(client, shop, token, revenues=revenues, history=history[0]) as reader:
                for mode in (None, "rebuild", None):
                    connection.execute(
                        "update shop_orders set total_price = total_price + 1, base_price = base_price + 1"
                    )
                    run_refresh(settings, mode=mode)  # type: ignore[arg-type]
                    reader.wait_for_a_round()
    assert reader.wrong == []
    for path, seen in reader.seen.items():
        assert len(seen) >= 3, path
