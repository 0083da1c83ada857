"""Where fifths begin, moved by what changed, is where counting all customers finds it, night after night."""

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import pytest

from flows.building.plan import Plan, plan_file
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.scores import FEWEST, Value
from tests.storefront import add_order, add_shop

_SHOPS = [UUID(int=number) for number in (1, 2, 3)]
_CUSTOMERS = 90


class _Customer(NamedTuple):
    last_purchase: date
    purchases: int
    spent: Decimal


Customers = dict[tuple[UUID, UUID], _Customer]

_EMPTY_DELTAS = "truncate regulars.delta_customers, regulars.delta_rfm_cuts, regulars.delta_customer_segments"

_REMOVE = """
    with removed as (
        delete from building.customers where shop_id = %s and shop_customer_id = %s returning *
    )
    insert into regulars.delta_customers select removed.*, nextval('regulars.delta_ids'), -1 from removed
"""
_ADD = """
    with added as (
        insert into building.customers (
            shop_id, shop_customer_id, first_purchase_at, last_purchase_at, first_purchase_month,
            first_purchase_date, last_purchase_date, total_purchases, purchase_days, total_spent, total_profit,
            average_order_value, repeat_customer
        )
        values (%s, %s, '2025-01-01', %s, '2025-01-01', '2025-01-01', %s, %s, 1, %s, 0, 1, false)
        returning *
    )
    insert into regulars.delta_customers select added.*, nextval('regulars.delta_ids'), 1 from added
"""


@pytest.mark.parametrize("seed", range(3))
def test_moved_cuts_are_those_counted_from_all_customers(built: Database, seed: int) -> None:
    chance = random.Random(seed)
    with built.connect() as connection:
        # So that dbt's statements are recorded. No sale, no customer.
        add_order(connection, add_shop(connection), payment_status="pending")
        run_refresh(built.settings)
        connection.execute(_EMPTY_DELTAS)
        customers: Customers = {}
        for _ in range(60):
            _change(connection, customers, chance)
            _build(built, "rfm_cuts", "customer_segments")
            assert _found_cuts(connection) == _expected_cuts(customers)
            assert _found_scores(connection) == _expected_scores(customers)
            # After a refresh that failed later on, the deltas stand.
            if chance.random() < 0.7:
                connection.execute(_EMPTY_DELTAS)


def _change(connection: Connection, customers: Customers, chance: random.Random) -> None:
    """A night in some of the shops: mostly few customers change, sometimes most of them do, or go."""
    for shop in chance.sample(_SHOPS, chance.randrange(1, 4)):
        number = chance.choice((1, 3, 10, _CUSTOMERS))
        goes = chance.choice((0.1, 0.1, 0.1, 0.9))
        values = chance.choice((2, 5, 1000))
        for each in chance.sample(range(_CUSTOMERS), number):
            key = (shop, UUID(int=each))
            if customers.pop(key, None):
                connection.execute(_REMOVE, key)
            if chance.random() >= goes:
                day = date(2026, 1, 1) + timedelta(days=chance.randrange(values))
                customer = _Customer(day, 1 + chance.randrange(min(values, 4)), Decimal(chance.randrange(values)) / 2)
                customers[key] = customer
                connection.execute(_ADD, [*key, day, *customer])


def _build(built: Database, *models: str) -> None:
    """Runs what a refresh would run for these models."""
    plan = Plan.model_validate_json(plan_file(built.settings).read_bytes())
    nodes = {node.name: node for node in plan.nodes if not node.is_test}
    # dbt's temporary tables go with the session.
    with built.connect() as connection:
        for model in models:
            with connection.transaction():
                for statement in nodes[model].statements:
                    if statement != "COMMIT":
                        connection.execute(statement.encode())


Cuts = dict[UUID, tuple[object, ...]]


def _found_cuts(connection: Connection) -> Cuts:
    cuts = ", ".join(
        f"recency_date_{fifth}, recency_below_{fifth}, frequency_{fifth}, frequency_below_{fifth}, "
        f"monetary_amount_{fifth}, monetary_below_{fifth}"
        for fifth in range(2, 6)
    )
    rows = connection.execute(f"select shop_id, customers, {cuts} from building.rfm_cuts")  # type: ignore[arg-type]
    return {shop: tuple(rest) for shop, *rest in rows}


def _by_shop(customers: Customers) -> dict[UUID, list[_Customer]]:
    shops = defaultdict(list)
    for (shop, _), customer in customers.items():
        shops[shop].append(customer)
    return {shop: members for shop, members in shops.items() if len(members) >= FEWEST}


def _expected_cuts(customers: Customers) -> Cuts:
    cuts: Cuts = {}
    for shop, members in _by_shop(customers).items():
        measures: list[Sequence[date] | Sequence[int] | Sequence[Decimal]] = list(zip(*members, strict=True))
        cuts[shop] = (
            len(members),
            *(part for fifth in range(2, 6) for values in measures for part in _cut(values, fifth)),  # type: ignore[type-var]
        )
    return cuts


def _cut(values: Sequence[Value], fifth: int) -> tuple[Value | None, int]:
    """The first value of a fifth, and how many values are below it."""
    for value in sorted(set(values)):
        below = sum(other < value for other in values)
        if 5 * below >= (fifth - 1) * len(values):
            return value, below
    return None, len(values)


Scores = dict[tuple[UUID, UUID], tuple[int, int, int]]


def _found_scores(connection: Connection) -> Scores:
    rows = connection.execute(
        "select shop_id, shop_customer_id, recency_score, frequency_score, monetary_score "
        "from building.customer_segments"
    )
    return {(shop, customer): (recency, frequency, monetary) for shop, customer, recency, frequency, monetary in rows}


def _expected_scores(customers: Customers) -> Scores:
    shops = _by_shop(customers)
    return {
        (shop, who): (
            _fifth(customer.last_purchase, [other.last_purchase for other in shops[shop]]),
            _fifth(customer.purchases, [other.purchases for other in shops[shop]]),
            _fifth(customer.spent, [other.spent for other in shops[shop]]),
        )
        for (shop, who), customer in customers.items()
        if shop in shops
    }


def _fifth(value: Value, values: Sequence[Value]) -> int:
    return 1 + 5 * sum(other < value for other in values) // len(values)
