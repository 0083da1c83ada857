"""CDNOW's 69,659 purchases through a refresh: the published figures are those that Python counts in the file."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

import pytest

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.cdnow import purchases
from tests.conftest import NAME, Server
from tests.owners import rounded
from tests.storefront import add_purchases, add_shop, fetch

MONTHS = [date(1997, month, 1) for month in (1, 2, 3)]

Bought = list[tuple[date, Decimal]]


class Cdnow(NamedTuple):
    """The refreshed database, and each customer's purchases by day."""

    connection: Connection
    customers: dict[int, Bought]

    def cohort(self, month: date) -> list[Bought]:
        return [bought for bought in self.customers.values() if bought[0][0].replace(day=1) == month]


@pytest.fixture(scope="module")
def cdnow(server: Server, built_template: str) -> Iterator[Cdnow]:
    database = server.create(NAME, template=built_template)
    rows = sorted(purchases())
    with database.connect() as connection:
        shop = add_shop(connection, "cdnow", country="US", timezone="America/New_York")
        add_purchases(connection, shop, rows)
    run_refresh(database.settings)
    by_customer = groupby(rows, key=lambda row: row[0])
    customers = {customer: [(day, amount) for _, day, amount in bought] for customer, bought in by_customer}
    with database.connect() as connection:
        yield Cdnow(connection, customers)
    server.drop(NAME)


def test_retention_of_january_s_customers_is_what_the_file_says(cdnow: Cdnow) -> None:
    january = cdnow.cohort(MONTHS[0])
    active: Counter[int] = Counter()
    for bought in january:
        active.update({12 * (day.year - 1997) + day.month - 1 for day, _ in bought})
    found = fetch(
        cdnow.connection,
        "select months_since, active_customers, cohort_size, retention_rate from analytics.cohort_retention "
        "where cohort_month = '1997-01-01' order by months_since",
    )
    assert found == [
        (months, active[months], len(january), rounded(Decimal(active[months]) / len(january), "0.0001"))
        for months in range(18)
    ]
    by_month = {row[0]: row[1:3] for row in found}
    assert [by_month[months] for months in (1, 6, 12)] == [(1157, 7846), (720, 7846), (528, 7846)]


def test_repurchase_within_90_days_of_each_cohort_is_what_the_file_says(cdnow: Cdnow) -> None:
    counted = []
    for month in MONTHS:
        cohort = cdnow.cohort(month)
        again = sum(len(bought) > 1 and bought[1][0] <= bought[0][0] + timedelta(days=90) for bought in cohort)
        counted.append((month, len(cohort), again, rounded(Decimal(again) / len(cohort), "0.0001")))
    found = fetch(
        cdnow.connection,
        "select cohort_month, customers, repeat_customers, repurchase_rate from analytics.cohort_windows "
        "where window_days = 90 order by cohort_month",
    )
    assert found == counted
    assert [row[3] for row in found] == [Decimal("0.3068"), Decimal("0.2946"), Decimal("0.3001")]


def test_what_a_customer_of_each_cohort_is_worth_after_a_year_is_what_the_file_says(cdnow: Cdnow) -> None:
    counted = []
    for month in MONTHS:
        cohort = cdnow.cohort(month)
        years = ((amount for day, amount in b if day <= b[0][0] + timedelta(days=365)) for b in cohort)
        net = sum((sum(year, Decimal(0)) for year in years), Decimal(0))
        counted.append((month, net, rounded(net / len(cohort), "0.01")))
    found = fetch(
        cdnow.connection,
        "select cohort_month, net_amount, net_per_customer from analytics.cohort_windows "
        "where window_days = 365 order by cohort_month",
    )
    assert found == counted
    assert [row[2] for row in found] == [Decimal("94.06"), Decimal("89.28"), Decimal("89.24")]


def test_the_share_of_one_time_buyers_is_what_the_file_says(cdnow: Cdnow) -> None:
    repeat = sum(len(bought) > 1 for bought in cdnow.customers.values())
    assert (repeat, len(cdnow.customers)) == (11_662, 23_570)
    share = 1 - Decimal(repeat) / len(cdnow.customers)
    assert rounded(share, "0.001") == Decimal("0.505")
    overview = "select total_customers, repeat_customers, 100 - repeat_percentage from analytics.shop_overview"
    assert fetch(cdnow.connection, overview) == [(23_570, repeat, rounded(100 * share, "0.1"))]
