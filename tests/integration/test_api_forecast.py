"""The forecast in the API and on its page: what the fit in use expects, and its error as Python counts it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from flows.steps import run_refresh
from regulars.dashboard.app import create_app
from regulars.dashboard.pages.formatting import day
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.api import Api, assert_head
from tests.owners import rounded
from tests.pages import Seen
from tests.served import served
from tests.storefront import fetch


def test_a_shop_with_too_few_customers_is_told_why_it_has_no_forecast(api: Api) -> None:
    shop = api.owners.shops["kofi-data"]
    run_refresh(api.database.settings)  # fits what the one before has published
    answer = api.read("forecast", shop)
    assert_head(answer, shop)
    assert answer["horizons"] == answer["errors"] == []
    known = date.fromisoformat(answer["latest_fit"]["fitted_through"])
    assert known < shop.day(datetime.now(UTC))  # A fit knows the days that are over.
    days = ({shop.day(order.at) for order in sales if shop.day(order.at) <= known} for sales in shop.buyers.values())
    again = sum(len(bought_on) > 1 for bought_on in days)
    assert answer["latest_fit"]["repeat_customers"] == again
    assert answer["latest_fit"]["reason"].startswith(f"{again} customers have bought on two days or more")
    with served(create_app(api.settings), headers={}) as client:
        client.cookies.set(COOKIE, Keys(api.settings).session(str(shop.user_id)))
        page = Seen(client.get("/forecast").text)
    assert f"Not predicted yet: {answer['latest_fit']['reason']}." in page.text


def test_a_forecast_names_its_fit_and_its_error_is_what_python_counts(api: Api) -> None:
    shop = api.owners.shops["ama-data"]
    today = shop.day(datetime.now(UTC))
    begun = today - timedelta(days=95)
    horizons = {90: (begun, Decimal("12.5"), Decimal("80")), 365: (begun, Decimal("60"), Decimal("400.5"))}
    with api.database.connect() as connection:
        ((fit_id,),) = fetch(
            connection,
            "insert into regulars.forecast_fits (shop_id, fitted_through, purchase_days, net_amount, customers, "
            "repeat_customers, r, alpha, a, b, log_likelihood, converged, is_in_use) "
            "values (%s, %s, 40, 300, 30, 12, 1, 1, 1, 1, -9, true, true) returning fit_id",
            shop.shop_id, begun - timedelta(days=1),
        )  # fmt: skip
        for days, (first, purchases, amount) in horizons.items():
            connection.execute(
                "insert into regulars.shop_forecasts (shop_id, fit_id, horizon_days, from_day, matures_on, customers, "
                "expected_purchases, expected_net_amount) values (%s, %s, %s, %s, %s, 30, %s, %s)",
                [shop.shop_id, fit_id, days, first, first + timedelta(days=days), purchases, amount],
            )
    run_refresh(api.database.settings)
    answer = api.read("forecast", shop)
    assert answer["horizons"] == [
        {
            "horizon_days": days,
            "fit_id": fit_id,
            "from_day": first.isoformat(),
            "matures_on": (first + timedelta(days=days)).isoformat(),
            "customers": 30,
            "expected_purchases": purchases,
            "expected_net_amount": amount,
        }
        for days, (first, purchases, amount) in horizons.items()
    ]
    known = [sales for sales in shop.buyers.values() if shop.day(sales[0].at) < begun]
    came = [o for sales in known for o in sales if begun <= shop.day(o.at) < begun + timedelta(days=90)]
    days_bought = len({(order.phone, shop.day(order.at)) for order in came})
    net = sum((order.total for order in came), Decimal(0))
    assert days_bought > 0
    quarter, year = answer["errors"]
    assert (quarter["fit_id"], quarter["actual_purchases"], quarter["actual_net_amount"]) == (fit_id, days_bought, net)
    assert quarter["purchases_error"] == rounded(100 * (Decimal("12.5") - days_bought) / days_bought, "0.1")
    assert quarter["net_amount_error"] == rounded(100 * (80 - net) / net, "0.1")
    assert (year["fit_id"], year["actual_purchases"], year["purchases_error"]) == (None, None, None)
    assert year["next_matures_on"] == (begun + timedelta(days=365)).isoformat()
    with served(create_app(api.settings), headers={}) as client:
        client.cookies.set(COOKIE, Keys(api.settings).session(str(shop.user_id)))
        page = Seen(client.get("/forecast", params={"shop": shop.slug}).text)
        picture = client.get("/charts/forecast.svg", params={"shop": shop.slug})
    assert f"The last such prediction expected 12, and {days_bought} came" in page.text
    assert f"from {day(begun + timedelta(days=365))}" in page.text
    assert "Came" in picture.text


def test_what_is_expected_of_a_customer_is_in_their_history_and_on_their_page_or_why_there_is_nothing(api: Api) -> None:
    shop = api.owners.shops["ama-more"]
    begun = shop.day(datetime.now(UTC)) - timedelta(days=3)
    reason = "12 customers have repeat purchases with a positive amount; 100 are needed"
    known, unknown = api.read("list", shop, limit=2)["customers"]
    with api.database.connect() as connection:
        ((fit_id,),) = fetch(
            connection,
            "insert into regulars.forecast_fits (shop_id, fitted_through, purchase_days, net_amount, customers, "
            "repeat_customers, r, alpha, a, b, log_likelihood, converged, is_in_use, amount_reason) "
            "values (%s, %s, 40, 300, 30, 12, 1, 1, 1, 1, -9, true, true, %s) returning fit_id",
            shop.shop_id, begun - timedelta(days=1), reason,
        )  # fmt: skip
        connection.execute(
            "insert into regulars.forecasts (shop_id, shop_customer_id, fit_id, probability_alive, "
            "expected_purchases_30, expected_purchases_90, expected_purchases_365) "
            "values (%s, %s, %s, 0.625, 1.25, 3.5, 10.75)",
            [shop.shop_id, known["customer_id"], fit_id],
        )
        connection.execute(
            "insert into regulars.shop_forecasts (shop_id, fit_id, horizon_days, from_day, matures_on, customers, "
            "expected_purchases) values (%s, %s, 30, %s, %s, 1, 1.25)",
            [shop.shop_id, fit_id, begun, begun + timedelta(days=30)],
        )
    run_refresh(api.database.settings)
    answer = api.read(f"{known['customer_id']}/history", shop)
    assert (answer["forecast_reason"], answer["forecast"]) == (
        None,
        {
            "fit_id": fit_id,
            "fitted_through": (begun - timedelta(days=1)).isoformat(),
            "probability_alive": Decimal("0.625"),
            "expected_purchases_30": Decimal("1.25"),
            "expected_purchases_90": Decimal("3.5"),
            "expected_purchases_365": Decimal("10.75"),
            **{f"expected_net_amount_{days}": None for days in (30, 90, 365)},
            "amount_reason": reason,
        },
    )
    other = api.read(f"{unknown['customer_id']}/history", shop)
    assert other["forecast"] is None
    assert other["forecast_reason"].endswith(f"the latest prediction, which begins on {begun}")
    few = api.owners.shops["kofi-data"]
    (first,) = api.read("list", few, limit=1)["customers"]
    none = api.read(f"{first['customer_id']}/history", few)
    assert (none["forecast"], none["forecast_reason"]) == (None, api.read("forecast", few)["latest_fit"]["reason"])
    with served(create_app(api.settings), headers={}) as client:
        client.cookies.set(COOKIE, Keys(api.settings).session(str(shop.user_id)))
        page = Seen(client.get(f"/customers/{known['customer_id']}", params={"shop": shop.slug}).text)
        empty = Seen(client.get(f"/customers/{unknown['customer_id']}", params={"shop": shop.slug}).text)
    for text in ("10.75", "63%", f"Revenue is not predicted: {reason}."):
        assert text in page.text
    assert f"No purchases are predicted: {other['forecast_reason']}." in empty.text
