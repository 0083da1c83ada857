"""A served API with two owners behind it, and what every answer has at its head."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from psycopg import sql

from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from regulars.dashboard.security.tokens import Keys
from tests.conftest import Database
from tests.owners import Shop, TwoOwners
from tests.served import served

API = "/api/admin/customers"
NUMBERS = [
    "analytics", "acquisition", "repeat-rates", "movement", "cohorts", "lifetime-values", "cohort-windows", "links",
    "campaigns", "networks", "segments", "at-risk", "forecast", "slug-analytics",
    "period", "period-links",
]  # fmt: skip
"""The addresses of the answers about a whole shop."""


def bearer(settings: Settings, sub: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {Keys(settings).api_token(str(sub), lasts=timedelta(hours=1))}"}


@dataclass(frozen=True, slots=True)
class Api:
    owners: TwoOwners
    database: Database
    settings: Settings
    client: httpx.Client

    def ask(self, path: str, shop: Shop, **parameters: object) -> httpx.Response:
        """As the shop's owner."""
        return self.client.get(
            f"{API}/{path}", params={"shop": shop.slug, **parameters}, headers=bearer(self.settings, shop.user_id)
        )

    def read(self, path: str, shop: Shop, **parameters: object) -> Any:
        answer = self.ask(path, shop, **parameters)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text, parse_float=Decimal)

    @contextmanager
    def at(self, moment: datetime) -> Iterator["Api"]:
        """The same API while the views take this moment for now."""
        name = sql.Identifier(self.database.name)
        with self.database.connect() as connection:
            connection.execute(sql.SQL("alter database {} set regulars.now = {}").format(name, moment.isoformat()))
            try:
                # Sessions that began before keep their clock, so these are new ones.
                with served(create_app(self.settings), headers={}) as client:
                    yield replace(self, client=client)
            finally:
                connection.execute(sql.SQL("alter database {} reset regulars.now").format(name))


def months_of(shop: Shop) -> list[date]:
    """From the first sale to the last, none missing."""
    months = [shop.month(shop.sales[0].at)]
    while months[-1] < shop.month(shop.sales[-1].at):
        months.append(month_after(months[-1]))
    return months


def month_after(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


def assert_head(answer: dict[str, Any], shop: Shop) -> None:
    head = {"success": True, "shop_id": str(shop.shop_id), "currency": "GHS", "time_zone": shop.zone.key}
    assert {name: answer[name] for name in head} == head
    assert datetime.now(UTC) - datetime.fromisoformat(answer["as_of"]) < timedelta(hours=1)
    assert answer["stale"] is False
