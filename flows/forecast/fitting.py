"""Fits a shop to its published purchases, stores the result, and scores the shop's customers."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psycopg

from flows.forecast import bgnbd, gamma_gamma
from flows.forecast.due import DueShop
from flows.forecast.scoring import score
from ingest.storage.connections import Connection

# With fewer, the estimate varies too much by chance: docs/forecasts.md has the spread.
REPEAT_CUSTOMERS = 100
WEEKS = 12

# How long one refresh starts new fits. The remaining shops come first next time.
SECONDS = 300.0

_CUSTOMERS = """
    create temporary table forecast_customers on commit drop as
    select
        shop_customer_id,
        count(*) filter (where is_first_of_day) - 1 as repeats,
        max(order_date) - min(first_purchase_date) as last_days,
        %(through)s - min(first_purchase_date) as age_days,
        coalesce(sum(net_amount) filter (where order_date > first_purchase_date), 0) as repeat_amount
    from analytics.purchases
    where shop_id = %(shop_id)s and order_date <= %(through)s
    group by shop_customer_id
"""

_STORE = """
    insert into regulars.forecast_fits (
        shop_id, fitted_through, purchase_days, net_amount, customers, repeat_customers, r, alpha, a, b,
        log_likelihood, converged, reason, p, q, v, amount_log_likelihood, amount_reason, is_in_use
    )
    values (
        %(shop_id)s, %(through)s, %(purchase_days)s, %(net_amount)s, %(customers)s, %(repeat_customers)s, %(r)s,
        %(alpha)s, %(a)s, %(b)s, %(log_likelihood)s, %(reason)s::text is null, %(reason)s, %(p)s, %(q)s, %(v)s,
        %(amount_log_likelihood)s, %(amount_reason)s, %(reason)s::text is null
    )
    returning fit_id
"""

_FORGET_ERASED = """
    delete from regulars.forecasts as forecasts
    using regulars.customers as customers
    where
        forecasts.shop_id = %(shop_id)s
        and customers.shop_id = forecasts.shop_id
        and customers.id = forecasts.shop_customer_id
        and customers.erased_at is not null
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a shop: its fit, or why it has no fit; and why amounts are not predicted."""

    customers: int
    repeat_customers: int
    fit: bgnbd.Fit | None
    amounts: gamma_gamma.AmountFit
    reason: str | None


def fit_shops(connection: Connection, shops: Sequence[DueShop], *, seconds: float = SECONDS) -> int:
    """Fits and scores the shops, each in a transaction of its own, until `seconds` are over; returns how many are left.

    A shop that can't be fitted gets a row that says why, and keeps the last fit that was good.
    """
    deadline = time.monotonic() + seconds
    for place, shop in enumerate(shops):
        if time.monotonic() > deadline:
            return len(shops) - place
        # The shop was deleted meanwhile.
        with suppress(psycopg.errors.ForeignKeyViolation):
            fit_shop(connection, shop)
    return 0


def fit_shop(connection: Connection, shop: DueShop) -> Outcome:
    """Fits one shop to its purchases up to and with the day `through`, and scores its customers."""
    with connection.transaction():
        connection.execute("set local row_security = off; set local jit = off")
        # `create table as` takes no parameters from a prepared statement: they are written into it, quoted.
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute(_CUSTOMERS, {"shop_id": shop.shop_id, "through": shop.through})
        connection.execute("analyze pg_temp.forecast_customers")
        histories = _histories(connection)
        outcome = _fit(connection, histories)
        fit_id = _store(connection, shop, outcome)
        if fit_id is not None and outcome.fit is not None:
            score(connection, shop, fit_id, outcome.fit.parameters, outcome.amounts.parameters, histories)
        connection.execute("drop table pg_temp.forecast_customers")
    # People who were erased before this fit committed; later erasures find the forecasts by their trigger.
    connection.execute(_FORGET_ERASED, {"shop_id": shop.shop_id})
    return outcome


def _histories(connection: Connection) -> bgnbd.Histories:
    rows = connection.execute(
        "select repeats, last_days, age_days, count(*) from pg_temp.forecast_customers "
        "group by repeats, last_days, age_days order by repeats, last_days, age_days"
    ).fetchall()
    repeats, last, age, customers = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return bgnbd.Histories(repeats=repeats, last=last / 7, age=age / 7, customers=customers)


def _fit(connection: Connection, histories: bgnbd.Histories) -> Outcome:
    customers = int(histories.customers.sum())
    repeat_customers = int(histories.customers[histories.repeats > 0].sum())
    none = gamma_gamma.AmountFit(None, None, None)
    if reason := _below_floor(histories, repeat_customers):
        return Outcome(customers, repeat_customers, None, none, reason)
    fitted = bgnbd.fit(histories)
    if fitted.reason is not None:
        return Outcome(customers, repeat_customers, fitted, none, fitted.reason)
    amounts = gamma_gamma.fit(_spending(connection), floor=REPEAT_CUSTOMERS)
    return Outcome(customers, repeat_customers, fitted, amounts, None)


def _below_floor(histories: bgnbd.Histories, repeat_customers: int) -> str | None:
    if repeat_customers < REPEAT_CUSTOMERS:
        return f"{repeat_customers} customers have bought on two days or more; {REPEAT_CUSTOMERS} are needed"
    weeks = float(histories.age.max())
    if weeks < WEEKS:
        return f"the first sale was {int(weeks)} weeks ago; {WEEKS} are needed"
    return None


def _spending(connection: Connection) -> gamma_gamma.Spending:
    rows = connection.execute(
        "select repeats, (repeat_amount / repeats)::float8 from pg_temp.forecast_customers "
        "where repeats > 0 and repeat_amount > 0"
    ).fetchall()
    repeats, amounts = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    return gamma_gamma.Spending(repeats=repeats, amounts=amounts)


def _store(connection: Connection, shop: DueShop, outcome: Outcome) -> int | None:
    """Stores the attempt; returns the fit's id if it is the one in use now."""
    if outcome.reason is None:
        connection.execute(
            "update regulars.forecast_fits set is_in_use = false where shop_id = %s and is_in_use", [shop.shop_id]
        )
    parameters, amounts = outcome.fit and outcome.fit.parameters, outcome.amounts.parameters
    row = connection.execute(
        _STORE,
        {
            "shop_id": shop.shop_id,
            "through": shop.through,
            "purchase_days": shop.purchase_days,
            "net_amount": shop.net_amount,
            "customers": outcome.customers,
            "repeat_customers": outcome.repeat_customers,
            "r": parameters and parameters.r,
            "alpha": parameters and parameters.alpha,
            "a": parameters and parameters.a,
            "b": parameters and parameters.b,
            "log_likelihood": outcome.fit and outcome.fit.log_likelihood,
            "reason": outcome.reason,
            "p": amounts and amounts.p,
            "q": amounts and amounts.q,
            "v": amounts and amounts.v,
            "amount_log_likelihood": outcome.amounts.log_likelihood,
            "amount_reason": outcome.amounts.reason,
        },
    ).fetchone()
    return int(row[0]) if row and outcome.reason is None else None
