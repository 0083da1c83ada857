"""Forecasts from the published marts to the published marts: when shops are fitted, to what, and what stays of it."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest

from flows.forecast.due import DueShop, due_shops
from flows.history import Mode, Refresh
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.cdnow import CALIBRATION_END, purchase_days
from tests.conftest import NAME, Database, Server
from tests.snapshot import snapshot
from tests.storefront import add_purchases, add_shop, fetch

# The day after the literature's calibration period; noon in New York.
NEXT_DAY = datetime(1997, 10, 1, 16, 0, tzinfo=UTC)
HORIZONS = (30, 90, 365)


def _regulars(*, customers: int, weeks: int, first: date) -> list[tuple[int, date, Decimal]]:
    """Customers who all buy every week and never leave: no parameters of the model are the likeliest."""
    return [
        (customer, first + timedelta(weeks=week), Decimal(10)) for customer in range(customers) for week in range(weeks)
    ]


def _refresh(database: Database, *, as_of: datetime, mode: Mode | None = None) -> Refresh:
    """A refresh after one whose numbers hold as of `as_of`."""
    with database.connect() as connection:
        connection.execute("update regulars.refreshes set as_of = %s", [as_of])
    return run_refresh(database.settings, mode=mode)


def _shop(connection: Connection, slug: str) -> UUID:
    return UUID(str(fetch(connection, "select id from user_shops where shop_slug = %s", slug)[0][0]))


@pytest.fixture(scope="module")
def published_template(server: Server, built_template: str) -> str:
    """CDNOW's sample and four shops that can't be fitted, or not wholly; published, and not fitted yet."""
    database = server.create(NAME, template=built_template)
    chance = np.random.default_rng(1)
    free = []
    for customer in range(600):
        day, dropout = date(1997, 1, 1) + timedelta(days=customer % 80), chance.beta(1, 3)
        pause = 1 / chance.gamma(1, 0.04)
        while day <= CALIBRATION_END:
            free.append((customer, day, Decimal(0)))
            day += timedelta(days=1 + int(chance.exponential(pause)) if chance.random() > dropout else 1000)
    sample = [
        (customer, day, amount) for customer, days in purchase_days(sample=True).items() for day, amount in days.items()
    ]
    with database.connect() as connection:
        for slug, purchases in (
            ("cdnow", sample),
            ("free", free),
            ("no-sales", []),
            ("one-customer", [(1, date(1997, 1, 1), Decimal(5)), (1, date(1997, 2, 1), Decimal(5))]),
            ("young", _regulars(customers=110, weeks=4, first=CALIBRATION_END - timedelta(weeks=4))),
        ):
            shop = add_shop(connection, slug, country="US", timezone="America/New_York")
            add_purchases(connection, shop, purchases)
    run_refresh(database.settings)
    return server.rename(database, f"{NAME}_forecast_published")


@pytest.fixture(scope="module")
def fitted_template(server: Server, published_template: str) -> str:
    database = server.create(NAME, template=published_template)
    _refresh(database, as_of=NEXT_DAY)
    return server.rename(database, f"{NAME}_forecast_fitted")


@pytest.fixture
def published(server: Server, published_template: str) -> Iterator[Database]:
    yield server.create(NAME, template=published_template)
    server.drop(NAME)


@pytest.fixture
def fitted(server: Server, fitted_template: str) -> Iterator[Database]:
    yield server.create(NAME, template=fitted_template)
    server.drop(NAME)


def test_the_published_fit_of_cdnow_is_that_of_the_literature(fitted: Database) -> None:
    with fitted.connect() as connection:
        rows = fetch(
            connection,
            "select fitted_through, customers, round(r::numeric, 3), round(alpha::numeric, 2), round(a::numeric, 3), "
            "round(b::numeric, 2), round(log_likelihood::numeric, 1), round(p::numeric, 1), round(q::numeric, 1), "
            "converged, reason, amount_reason, is_in_use from analytics.forecast_fits where shop_id = %s",
            _shop(connection, "cdnow"),
        )
    assert rows == [
        (
            CALIBRATION_END, 2357, Decimal("0.243"), Decimal("4.41"), Decimal("0.793"), Decimal("2.43"),
            Decimal("-9582.4"), Decimal("6.2"), Decimal("3.7"), True, None, None, True,
        )
    ]  # fmt: skip


def test_every_prediction_names_the_fit_in_use_and_they_add_up_to_the_shop_s(fitted: Database) -> None:
    with fitted.connect() as connection:
        for days in HORIZONS:
            rows = fetch(
                connection,
                f"""
                select count(*), count(distinct customers.fit_id), bool_and(fits.is_in_use),
                    sum(customers.expected_purchases_{days}) = min(shops.expected_purchases),
                    sum(customers.expected_net_amount_{days}) = min(shops.expected_net_amount),
                    min(shops.customers), min(shops.from_day), min(shops.matures_on - shops.from_day)
                from analytics.customer_forecasts as customers
                inner join analytics.forecast_fits as fits using (shop_id, fit_id)
                inner join analytics.shop_forecasts as shops using (shop_id, fit_id)
                where shop_id = %s and shops.horizon_days = {days}
                """,
                _shop(connection, "cdnow"),
            )
            assert rows == [(2357, 1, True, True, True, 2357, CALIBRATION_END + timedelta(days=1), days)]


def test_what_is_expected_of_a_customer_in_sql_is_what_the_models_say(fitted: Database) -> None:
    from flows.forecast import bgnbd, gamma_gamma

    phone = "+1213" + str(2_000_000 + 4)
    with fitted.connect() as connection:
        shop = _shop(connection, "cdnow")
        parameters = fetch(
            connection, "select r, alpha, a, b, p, q, v from analytics.forecast_fits where shop_id = %s", shop
        )[0]
        found = fetch(
            connection,
            "select probability_alive, expected_purchases_90, expected_net_amount_90 "
            "from analytics.customer_forecasts where shop_id = %s and shop_customer_id = ("
            "select id from regulars.customers where shop_id = %s and phone_number = %s)",
            shop, shop, phone,
        )[0]  # fmt: skip
    bought = {day: amount for day, amount in purchase_days(sample=True)[4].items() if day <= CALIBRATION_END}
    first, last, repeats = min(bought), max(bought), len(bought) - 1
    history = bgnbd.Histories(
        *(
            np.array([value], dtype=np.float64)
            for value in (repeats, (last - first).days / 7, (CALIBRATION_END - first).days / 7, 1)
        )
    )
    r, alpha, a, b, p, q, v = (float(str(value)) for value in parameters)
    fit = bgnbd.Parameters(r, alpha, a, b)
    purchases = bgnbd.expected_purchases(fit, history, weeks=90 / 7)[0]
    mean = sum(float(amount) for day, amount in bought.items() if day > first) / repeats
    amount = gamma_gamma.expected_amount(
        gamma_gamma.AmountParameters(p, q, v), repeats=np.array([repeats]), amounts=np.array([mean])
    )[0]
    assert [float(str(value)) for value in found] == pytest.approx(
        [bgnbd.probability_alive(fit, history)[0], purchases, purchases * amount], abs=1e-4
    )


@pytest.mark.parametrize(
    ("slug", "converged", "reason", "amount_reason"),
    [
        ("no-sales", False, "0 customers have bought on two days or more; 100 are needed", None),
        ("one-customer", False, "1 customers have bought on two days or more; 100 are needed", None),
        ("young", False, "the first sale was 4 weeks ago; 12 are needed", None),
        ("free", True, None, "0 customers have repeat purchases with a positive amount; 100 are needed"),
    ],
)
def test_a_shop_of_which_too_little_is_known_says_why(
    fitted: Database, slug: str, converged: bool, reason: str | None, amount_reason: str | None
) -> None:
    with fitted.connect() as connection:
        shop = _shop(connection, slug)
        fits = fetch(
            connection,
            "select converged, is_in_use, reason, amount_reason from analytics.forecast_fits where shop_id = %s",
            shop,
        )
        predicted = fetch(
            connection,
            "select count(*), count(expected_net_amount_30) from analytics.customer_forecasts where shop_id = %s",
            shop,
        )
    assert fits == [(converged, converged, reason, amount_reason)]
    assert predicted == [(600 if converged else 0, 0)]


def test_a_shop_is_fitted_again_after_a_week_if_it_sold_something(fitted: Database) -> None:
    def attempts() -> dict[str, list[tuple[date, bool]]]:
        with fitted.connect() as connection:
            rows = fetch(
                connection,
                "select shop_slug, fitted_through, is_in_use from analytics.forecast_fits "
                "inner join analytics.shops using (shop_id) order by fit_id",
            )
        found: dict[str, list[tuple[date, bool]]] = {}
        for slug, through, is_in_use in rows:
            found.setdefault(str(slug), []).append((through, bool(is_in_use)))  # type: ignore[arg-type]
        return found

    before = attempts()
    assert _refresh(fitted, as_of=NEXT_DAY + timedelta(days=6)).changes == 0
    assert attempts() == before
    assert _refresh(fitted, as_of=NEXT_DAY + timedelta(days=7)).changes == 1
    after = attempts()
    assert after.pop("cdnow") == [(CALIBRATION_END, False), (CALIBRATION_END + timedelta(days=7), True)]
    # The others sold nothing in that week.
    assert after == {slug: rows for slug, rows in before.items() if slug != "cdnow"}
    with fitted.connect() as connection:
        kept = fetch(
            connection,
            "select count(distinct fit_id), count(*) filter (where is_in_use) from analytics.shop_forecasts "
            "where shop_id = %s",
            _shop(connection, "cdnow"),
        )
    assert kept == [(2, 3)]
    assert _refresh(fitted, as_of=NEXT_DAY + timedelta(days=7)).changes == 0


def test_a_fit_that_does_not_converge_says_so_and_keeps_the_last_good_one(fitted: Database) -> None:
    with fitted.connect() as connection:
        shop = _shop(connection, "cdnow")
        before = fetch(connection, "select * from analytics.customer_forecasts order by shop_id, shop_customer_id")
        connection.execute("delete from shop_orders where shop_id = %s", [shop])
        add_purchases(connection, shop, _regulars(customers=120, weeks=30, first=date(1997, 3, 12)))
    run_refresh(fitted.settings, mode="rebuild")
    done = _refresh(fitted, as_of=NEXT_DAY + timedelta(days=7))
    assert done.status == "succeeded"
    with fitted.connect() as connection:
        good, bad = fetch(
            connection,
            "select converged, is_in_use, reason from analytics.forecast_fits where shop_id = %s order by fit_id",
            shop,
        )
        assert good == (True, True, None)
        assert bad[:2] == (False, False)
        assert "the search ran to its limit" in str(bad[2])
        assert before == fetch(
            connection, "select * from analytics.customer_forecasts order by shop_id, shop_customer_id"
        )


def test_a_fit_whose_predictions_cant_be_computed_keeps_the_last_good_one_and_fails_no_refresh(
    fitted: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.forecast import bgnbd

    # No small shop leads the search there, so its end is injected: 2F1 overflows with parameters in the thousands.
    found = SimpleNamespace(x=np.log((9_000.0, 1.0, 9_000.0, 9_000.0)), success=True)
    monkeypatch.setattr(bgnbd, "minimize", lambda *_, **__: found)
    predicted = "select * from analytics.customer_forecasts order by shop_id, shop_customer_id"
    with fitted.connect() as connection:
        before = fetch(connection, predicted)
        assert _refresh(fitted, as_of=NEXT_DAY + timedelta(days=7)).status == "succeeded"
        assert fetch(
            connection,
            "select converged, is_in_use, reason from analytics.forecast_fits where shop_id = %s order by fit_id",
            _shop(connection, "cdnow"),
        ) == [(True, True, None), (False, False, "what its parameters predict can't be computed")]
        assert fetch(connection, predicted) == before


def test_many_customers_who_bought_once_fail_no_fit(published: Database) -> None:
    from flows.forecast.fitting import fit_shop

    with published.connect() as connection:
        shop = _shop(connection, "young")
        # Beside the young shop's 110: customers who came a day apart for a year and bought once.
        connection.execute(
            """
            insert into analytics.purchases
            select bought.*
            from (
                select purchases as template
                from analytics.purchases as purchases
                where shop_id = %s and purchase_number = 1
                limit 1
            ) as one
            cross join generate_series(1, 100000) as number
            cross join jsonb_populate_record(
                one.template,
                jsonb_build_object(
                    'order_id', gen_random_uuid(),
                    'shop_customer_id', gen_random_uuid(),
                    'order_date', '1997-09-01'::date - number %% 365,
                    'first_purchase_date', '1997-09-01'::date - number %% 365
                )
            ) as bought
            """,
            [shop],
        )
        outcome = fit_shop(connection, DueShop(shop, CALIBRATION_END, 0, Decimal(0)))
        assert outcome.customers == 100_110
        assert outcome.repeat_customers == 110
        rows = fetch(
            connection, "select converged, reason, customers from regulars.forecast_fits where shop_id = %s", shop
        )
        assert rows == [(outcome.reason is None, outcome.reason, 100_110)]
        assert outcome.reason is None or "limit" in outcome.reason


def test_a_prediction_is_held_against_what_came_once_it_has_matured(fitted: Database) -> None:
    known = purchase_days(sample=True)
    days = [day for bought in known.values() for day in bought if 0 < (day - CALIBRATION_END).days <= 30]
    amounts = [
        amount for bought in known.values() for day, amount in bought.items() if 0 < (day - CALIBRATION_END).days <= 30
    ]
    query = (
        "select fit_id is not null, actual_purchases, actual_net_amount, purchases_error, net_amount_error, "
        "expected_purchases, expected_net_amount, next_matures_on "
        "from analytics.forecast_accuracy where shop_id = %s and horizon_days = 30"
    )
    with fitted.connect() as connection:
        shop = _shop(connection, "cdnow")
        # Somebody who comes later is not the prediction's error.
        connection.execute(
            "insert into shop_orders (id, shop_id, customer_phone, base_price, profit_amount, total_price, "
            "order_status, payment_status, created_at) values (gen_random_uuid(), %s, '+12132999999', 500, 0, 500, "
            "'completed', 'completed', '1997-10-05 16:00+00')",
            [shop],
        )
    run_refresh(fitted.settings, mode="rebuild")
    with fitted.connect() as connection:
        with connection.transaction():
            connection.execute("set local regulars.now = '1997-10-30 23:59 America/New_York'")
            assert fetch(connection, query, shop) == [(False, *[None] * 6, date(1997, 10, 31))]
        with connection.transaction():
            connection.execute("set local regulars.now = '1997-10-31 00:00 America/New_York'")
            found = fetch(connection, query, shop)[0]
    is_matured, purchases, amount, error, amount_error, expected, expected_amount, following = found
    assert (is_matured, purchases, amount, following) == (True, len(days), sum(amounts), None)
    for share, wanted, came in ((error, expected, purchases), (amount_error, expected_amount, amount)):
        assert float(str(share)) == pytest.approx(
            100 * (float(str(wanted)) - float(str(came))) / float(str(came)), abs=0.051
        )


def test_a_rebuild_from_nothing_keeps_every_forecast(fitted: Database) -> None:
    with fitted.connect() as connection:
        before = snapshot(connection)
        assert before["customer_forecasts"]
        run_refresh(fitted.settings, mode="rebuild")
        assert snapshot(connection) == before


def test_a_customer_who_is_erased_or_deleted_leaves_the_forecasts_and_a_shop_takes_all_of_its_own(
    fitted: Database,
) -> None:
    with fitted.connect() as connection:
        shop, free = _shop(connection, "cdnow"), _shop(connection, "free")
        erased, deleted = (
            row[0]
            for row in fetch(
                connection, "select id from regulars.customers where shop_id = %s order by id limit 2", shop
            )
        )
        sums = fetch(connection, "select * from analytics.shop_forecasts where shop_id = %s order by 1, 2, 3", shop)
        connection.execute(
            "update regulars.customers set phone_number = null, email = null, customer_name = null, erased_at = now() "
            "where shop_id = %s and id = %s",
            [shop, erased],
        )
        connection.execute("delete from regulars.customers where shop_id = %s and id = %s", [shop, deleted])
        connection.execute("delete from shop_orders where shop_id = %s", [free])
        connection.execute("delete from user_shops where id = %s", [free])
    _refresh(fitted, as_of=NEXT_DAY)
    with fitted.connect() as connection:
        left = fetch(
            connection,
            "select count(*), count(*) filter (where shop_customer_id in (%s, %s)) from analytics.customer_forecasts "
            "where shop_id = %s",
            erased, deleted, shop,
        )  # fmt: skip
        assert left == [(2355, 0)]
        assert sums == fetch(
            connection, "select * from analytics.shop_forecasts where shop_id = %s order by 1, 2, 3", shop
        )
        for relation in ("forecast_fits", "customer_forecasts", "shop_forecasts", "forecast_accuracy"):
            assert fetch(connection, f"select count(*) from analytics.{relation} where shop_id = %s", free) == [(0,)]


def test_fitting_stops_when_its_time_is_over_and_the_rest_stay_due(published: Database) -> None:
    from flows.forecast.fitting import fit_shops

    with published.connect() as connection:
        connection.execute("update regulars.refreshes set as_of = %s", [NEXT_DAY])
        due = due_shops(connection)
        assert len(due) == 5
        assert fit_shops(connection, due, seconds=-1) == 5
        assert due_shops(connection) == due
        assert fit_shops(connection, due[:2]) == 0
        assert due_shops(connection) == due[2:]


@pytest.mark.usefixtures("takes_long")
def test_a_refresh_without_a_shop_to_fit_does_not_import_scipy() -> None:
    code = "import sys, flows.steps, regulars.cli.app; sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
