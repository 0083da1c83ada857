"""Scores the customers of a shop: numpy computes each distinct history once, and the database does the rest."""

import io

import numpy as np
import psycopg

from flows.forecast import bgnbd, gamma_gamma
from flows.forecast.due import DueShop
from ingest.storage.connections import Connection

HORIZONS = (30, 90, 365)

_SCORES = """
    create temporary table forecast_scores (
        repeats bigint, last_days integer, age_days integer, alive numeric, purchases_30 numeric,
        purchases_90 numeric, purchases_365 numeric
    ) on commit drop
"""

# The expected amount of a purchase day is gamma_gamma.expected_amount. Four decimals, since many customers are expected
# to spend less than a cent in 30 days, and the sums are of these.
_SCORED = """
    create temporary table forecast_scored on commit drop as
    select
        customers.shop_customer_id,
        scores.alive,
        scores.purchases_30,
        scores.purchases_90,
        scores.purchases_365,
        round(scores.purchases_30 * customers.amount, 4) as amount_30,
        round(scores.purchases_90 * customers.amount, 4) as amount_90,
        round(scores.purchases_365 * customers.amount, 4) as amount_365
    from (
        select
            *,
            (
                %(p)s::float8 * (%(v)s::float8 + greatest(repeat_amount, 0)::float8)
                / (%(p)s::float8 * repeats + %(q)s::float8 - 1)
            )::numeric as amount
        from pg_temp.forecast_customers
    ) as customers
    inner join pg_temp.forecast_scores as scores
        on
            customers.repeats = scores.repeats
            and customers.last_days = scores.last_days
            and customers.age_days = scores.age_days
"""

# An erased person's purchases count in the shop's sums, as everywhere, but the person has no prediction.
_INSERT = """
    insert into regulars.forecasts (
        shop_id, shop_customer_id, fit_id, probability_alive, expected_purchases_30, expected_purchases_90,
        expected_purchases_365, expected_net_amount_30, expected_net_amount_90, expected_net_amount_365
    )
    select
        %(shop_id)s, scored.shop_customer_id, %(fit_id)s, scored.alive, scored.purchases_30, scored.purchases_90,
        scored.purchases_365, scored.amount_30, scored.amount_90, scored.amount_365
    from pg_temp.forecast_scored as scored
    inner join regulars.customers as customers
        on customers.shop_id = %(shop_id)s and scored.shop_customer_id = customers.id
    where customers.erased_at is null
    order by scored.shop_customer_id
"""
_SUMS = """
    insert into regulars.shop_forecasts (
        shop_id, fit_id, horizon_days, from_day, matures_on, customers, expected_purchases, expected_net_amount
    )
    select
        %(shop_id)s, %(fit_id)s, horizons.days, %(through)s::date + 1, %(through)s::date + 1 + horizons.days,
        totals.customers, horizons.purchases, horizons.amount
    from (
        select
            count(*) as customers,
            sum(purchases_30) as purchases_30,
            sum(purchases_90) as purchases_90,
            sum(purchases_365) as purchases_365,
            sum(amount_30) as amount_30,
            sum(amount_90) as amount_90,
            sum(amount_365) as amount_365
        from pg_temp.forecast_scored
    ) as totals
    cross join lateral (
        values
        (30, totals.purchases_30, totals.amount_30),
        (90, totals.purchases_90, totals.amount_90),
        (365, totals.purchases_365, totals.amount_365)
    ) as horizons (days, purchases, amount)
"""


def score(
    connection: Connection,
    shop: DueShop,
    fit_id: int,
    parameters: bgnbd.Parameters,
    amounts: gamma_gamma.AmountParameters | None,
    histories: bgnbd.Histories,
) -> None:
    """Replaces the shop's forecasts by those of this fit, and keeps their sums. It runs in the fit's transaction and
    reads the table of customers that the fit made."""
    facts = {
        "shop_id": shop.shop_id,
        "through": shop.through,
        "fit_id": fit_id,
        "p": amounts and amounts.p,
        "q": amounts and amounts.q,
        "v": amounts and amounts.v,
    }
    connection.execute(_SCORES)
    _copy_scores(connection, parameters, histories)
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(_SCORED, facts)
    connection.execute("delete from regulars.forecasts where shop_id = %s", [shop.shop_id])
    connection.execute(_INSERT, facts)
    connection.execute(_SUMS, facts)
    connection.execute("drop table pg_temp.forecast_scores, pg_temp.forecast_scored")


def _copy_scores(connection: Connection, parameters: bgnbd.Parameters, histories: bgnbd.Histories) -> None:
    columns = [
        histories.repeats,
        np.rint(histories.last * 7),
        np.rint(histories.age * 7),
        bgnbd.probability_alive(parameters, histories),
        *(bgnbd.expected_purchases(parameters, histories, weeks=days / 7) for days in HORIZONS),
    ]
    text = io.BytesIO()
    np.savetxt(text, np.column_stack(columns), fmt=["%d"] * 3 + ["%.6f"] * 4, delimiter="\t")
    with connection.cursor().copy("copy pg_temp.forecast_scores from stdin") as copy:
        copy.write(text.getvalue())
    connection.execute("analyze pg_temp.forecast_scores")
