"""The pages about retention and links: their tables are what Python counts, and a young shop is told from when on."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from flows.steps import run_refresh
from tests.api import month_after, months_of
from tests.owners import Shop, count_this_month
from tests.pages import Dashboard, Seen
from tests.storefront import add_order, add_shop


def _cells(html: str, section: str, *, table: int = 0) -> list[list[str]]:
    """The rows of a section's table, as text."""
    tables = html.split(f'id="{section}"')[1].split("</section>")[0].split("<table")[1:]
    rows = re.findall(r"<tr>(.*?)</tr>", tables[table].split("<tbody>")[1], re.DOTALL)
    return [
        [Seen(cell).text.strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows
    ]


def _page(dashboard: Dashboard, path: str, shop: Shop) -> str:
    with dashboard.owner(shop.user_id) as client:
        return client.get(path, params={"shop": shop.slug}).text


def _active(shop: Shop, month: date) -> set[str]:
    return {order.phone for order in shop.sales if shop.month(order.at) == month}


def _written(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def test_the_table_of_movement_is_what_python_counts_and_who_lapsed_in_this_month_is_unknown(
    dashboard: Dashboard,
) -> None:
    count_this_month(dashboard.database, dashboard.owners)
    for shop in dashboard.owners.of(dashboard.owners.ama):
        months, this = months_of(shop), shop.month(datetime.now(UTC))
        expected, before, ever = [], set[str](), set[str]()
        for month in months:
            active = _active(shop, month)
            counts = (active, active - ever, active & before, (active & ever) - before)
            lapsed = "–" if month >= this else str(len(before - active))
            expected.append(
                [f"{month:%b %Y}{' so far' if month >= this else ''}", *(str(len(who)) for who in counts), lapsed]
            )
            before, ever = active, ever | active
        assert _cells(_page(dashboard, "/retention", shop), "movement") == expected[::-1]


def test_a_cohorts_repurchase_is_a_share_or_the_day_from_which_on_it_is_known(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    today, expected = shop.day(datetime.now(UTC)), []
    for month in reversed(months_of(shop)):
        cohort = [sales for sales in shop.buyers.values() if shop.month(sales[0].at) == month]
        if not cohort:
            continue
        row = [f"{month:%b %Y}", str(len(cohort))]
        for days in (30, 60, 90):
            due = max(shop.day(sales[0].at) for sales in cohort) + timedelta(days=days + 1)
            again = sum(
                len(sales) > 1 and (shop.day(sales[1].at) - shop.day(sales[0].at)).days <= days for sales in cohort
            )
            share = (Decimal(100 * again) / len(cohort)).quantize(Decimal("0.0001"))
            row.append(f"from {_written(due)}" if today < due else f"{share:.1f}% ({again})")
        expected.append(row)
    cells = _cells(_page(dashboard, "/retention", shop), "repurchase")
    assert any("from" in cell for row in cells for cell in row)
    assert any("%" in cell for row in cells for cell in row)
    assert cells == expected


def test_first_touch_and_last_touch_of_the_links_each_add_up_to_the_shops_revenue(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    rows = _cells(_page(dashboard, "/links", shop), "all-links")
    assert {row[0] for row in rows} == {"promo", "flyer", "poster", "no link"}
    revenue = sum(order.total for order in shop.sales)
    for column in (7, 8):
        assert sum(Decimal(row[column].replace(",", "")) for row in rows) == revenue
    by_link = {row[0]: row for row in rows}
    for link in ("promo", "flyer"):
        sales = [order for order in shop.sales if order.slug == link]
        new = sum(buyer[0].slug == link for buyer in shop.buyers.values())
        orders = sum(order.slug == link for order in shop.orders)
        assert by_link[link][2:4] == [str(orders), str(len(sales))]
        assert by_link[link][5] == str(new)


def test_shares_of_networks_and_campaigns_are_on_the_page_of_links(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    html = _page(dashboard, "/links", shop)
    assert {row[0] for row in _cells(html, "campaigns")} == {"whatsapp · status · spring", "print", "no campaign"}
    for row, month in zip(_cells(html, "networks"), reversed(months_of(shop)), strict=True):
        sales = [order for order in shop.sales if shop.month(order.at) == month]
        counts = sorted(
            sum((order.network or "unknown") == name for order in sales) for name in ("MTN", "Telecel", "unknown")
        )
        assert sorted(int(found) for cell in row[1:] for found in re.findall(r"\((\d+)\)", cell)) == [
            count for count in counts if count
        ]


def test_a_shop_in_its_first_month_is_told_from_which_day_on_each_section_is_known(dashboard: Dashboard) -> None:
    owner, today = uuid4(), datetime.now(UTC).date()
    with dashboard.database.connect() as connection, dashboard.owner(owner) as client:
        shop_id = add_shop(connection, "young")
        connection.execute("update user_shops set user_id = %s where id = %s", [owner, shop_id])
        add_order(connection, shop_id, at=datetime.now(UTC))
        run_refresh(dashboard.database.settings)
        retention, links = Seen(client.get("/retention").text), Seen(client.get("/links").text)
    next_month = month_after(today.replace(day=1))
    due = today + timedelta(days=31)
    assert retention.text.count(f"From {_written(next_month)} on: ") == 3 + (due == next_month)
    assert f"From {_written(due)} on: 30 days after the last of {today:%B}'s new customers." in retention.text
    assert "0 of 1 customers have bought at least twice: 0.0%." in retention.text
    assert f"From {_written(next_month + timedelta(days=30))} on, 30 days after the first month" in links.text
    assert "No visit has named a campaign yet." in links.text
    assert not any("/charts/" in lead and "repurchase" in lead for lead in retention.leads)
