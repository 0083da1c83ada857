"""The owners' pages on a real server and a real database: the numbers, and the notice where there are none."""

import csv
import io
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from flows.steps import run_refresh
from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from regulars.dashboard.cards import CARDS
from regulars.dashboard.pages import charts
from regulars.dashboard.queries import metrics
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.owners import SECRET, count_this_month
from tests.pages import DRAWN, FIGURES, NOBODY, PAGES, Dashboard, Seen
from tests.served import served
from tests.storefront import add_order, add_shop


def test_the_cards_are_what_python_counts_of_the_orders(dashboard: Dashboard) -> None:
    count_this_month(dashboard.database, dashboard.owners)
    for shop in dashboard.owners.of(dashboard.owners.ama):
        with dashboard.owner(shop.user_id) as client:
            seen = Seen(client.get("/", params={"shop": shop.slug}).text)
        customers = shop.customers().values()
        spent = sum(row["total_spent"] for row in customers)
        repeat = sum(row["repeat_customer"] for row in customers)
        this = shop.month(datetime.now(UTC))
        new = sum(shop.month(row["first_purchase_at"]) == this for row in customers)
        for card in (
            "Available balance GHS 19.50", f"Total profit GHS {sum(order.profit for order in shop.sales):,.2f}",
            f"Total orders {len(shop.sales)} ", "Pending withdrawals 1 ", f"Total customers {len(customers)} ",
            f"Repeat customers {repeat} {100 * repeat / len(customers):.1f}% ", f"New this month {new} so far in ",
            f"Average LTV GHS {spent / len(customers):,.2f}", f"Customer revenue GHS {spent:,.2f}",
        ):  # fmt: skip
            assert card in seen.text


def test_each_card_says_what_it_means_its_window_and_its_zone(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.ama) as client:
        seen = Seen(client.get("/", params={"shop": "ama-more"}).text)
    asked = [a["aria-label"] for tag, a in seen.elements if tag == "summary" and "aria-label" in a]
    assert {f"What {card.label} means" for card in CARDS} <= set(asked)
    assert "What this means" not in seen.text, "each definition is behind a question mark, not a sentence"
    assert seen.text.count("Days are those of Pacific/Auckland.") == len(CARDS)
    assert all(f"{card.meaning} {card.window}" in seen.text for card in CARDS)


def test_every_page_says_as_of_when_in_the_shops_zone(dashboard: Dashboard) -> None:
    with dashboard.database.connect() as connection:
        row = connection.execute("select max(as_of) from regulars.refreshes where status = 'succeeded'").fetchone()
    assert row
    with dashboard.owner(dashboard.owners.ama) as client:
        for shop in dashboard.owners.of(dashboard.owners.ama):
            local = row[0].astimezone(shop.zone)
            said = f"As of {local.day} {local:%b %Y, %H:%M} ({shop.zone})"
            for path in (*PAGES, f"/customers/{dashboard.ids(shop)[0]}"):
                assert said in Seen(client.get(path, params={"shop": shop.slug}).text).text


def test_a_shop_without_a_sale_has_unknown_rates_and_no_picture(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.quiet) as client:
        seen = Seen(client.get("/").text)
        assert "Repeat customers 0 ?" in seen.text, "a percentage of nobody is not shown"
        assert "Average LTV not known yet" in seen.text
        assert "Total orders 0 " in seen.text
        assert "Nobody has bought yet" in seen.text
        for page in PAGES:
            assert not any("/charts/" in lead for lead in Seen(client.get(page).text).leads), page
        assert {client.get(f"/charts/{name}.svg").status_code for name in FIGURES} == {404}
        assert "Nobody has bought yet" in client.get("/customers").text


@pytest.mark.parametrize("path", [*PAGES, NOBODY])
def test_a_shop_that_no_refresh_has_counted_shows_no_number(dashboard: Dashboard, path: str) -> None:
    late = uuid4()
    with dashboard.database.connect() as connection, dashboard.owner(late) as client:
        shop_id = add_shop(connection, "late")
        connection.execute("update user_shops set user_id = %s where id = %s", [late, shop_id])
        seen = Seen(client.get(path).text)
        connection.execute("delete from user_shops where id = %s", [shop_id])
    assert seen.text.count("Your numbers will be here tomorrow morning.") == 2
    assert "As of" in seen.text
    assert not re.search(r"\d", seen.text.rsplit("tomorrow morning.", 1)[1].split("As of")[0])


@contextmanager
def _history(dashboard: Dashboard, change: str, back: str) -> Iterator[None]:
    with dashboard.database.connect() as connection:
        connection.execute(change)  # type: ignore[arg-type]
        try:
            yield
        finally:
            connection.execute(back)  # type: ignore[arg-type]


def test_old_numbers_are_marked_as_old_on_every_page(dashboard: Dashboard) -> None:
    (kofi,) = dashboard.owners.of(dashboard.owners.kofi)
    paths = (*PAGES, f"/customers/{dashboard.ids(kofi)[0]}")
    with dashboard.owner(kofi.user_id) as client:
        assert not any("These numbers are old" in client.get(path).text for path in paths)
        with _history(
            dashboard,
            "update regulars.refreshes set as_of = as_of - interval '70 days'",
            "update regulars.refreshes set as_of = as_of + interval '70 days'",
        ):
            pages = [client.get(path).text for path in paths]
    assert all("These numbers are old" in page for page in pages)
    # A month that began after the last refresh is unknown.
    assert "is not counted yet" in pages[0]
    assert Seen(pages[0]).text.count("not known yet") >= 6


def test_a_failed_refresh_is_shown_until_one_succeeds(dashboard: Dashboard) -> None:
    with (
        dashboard.owner(dashboard.owners.kofi) as client,
        _history(
            dashboard,
            "insert into regulars.refreshes (mode, status, fingerprint) values ('refresh', 'failed', 'the last')",
            "delete from regulars.refreshes where fingerprint = 'the last'",
        ),
    ):
        assert all("The last refresh failed" in client.get(path).text for path in PAGES)
    with dashboard.owner(dashboard.owners.kofi) as client:
        assert "The last refresh failed" not in client.get("/").text


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A dashboard without a database behind it."""
    settings = Settings(
        DATABASE_URL="host=127.0.0.1 port=1", home=tmp_path_factory.mktemp("lost"), jwt_secret=SecretStr(SECRET)
    )
    with served(create_app(settings), headers={}) as client:
        client.cookies.set(COOKIE, Keys(settings).session(str(uuid4())))
        yield client


@pytest.mark.parametrize("path", [*PAGES, NOBODY, "/charts/links.svg"])
def test_without_a_database_the_page_says_so_and_holds_no_number(lost: httpx.Client, path: str) -> None:
    answer = lost.get(path)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    seen = Seen(answer.text)
    assert "We can't show your numbers now. Your sales are safe. Try again in a minute." in seen.text
    assert not re.search(r"\d", seen.text)
    assert set(PAGES) <= set(seen.leads)


def test_a_phone_is_found_in_any_spelling_and_a_name_by_a_part(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    phone = sorted(shop.buyers)[3]
    with dashboard.owner(shop.user_id) as client:
        for written in (phone, f"0{phone[4:]}", f"00233 {phone[4:6]} {phone[6:]}", f"{phone[1:]}"):
            seen = Seen(client.get("/customers", params={"shop": shop.slug, "search": written}).text)
            assert "1 customer ·" in seen.text, written
            assert phone in seen.text
        assert "No customer matches" in client.get("/customers", params={"shop": shop.slug, "search": "zzz"}).text


def test_filters_stay_while_the_owner_sorts_turns_pages_and_downloads(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    asked = {"shop": shop.slug, "repeat": "true", "sort": "total_spent", "limit": "5"}
    expected = sorted(
        (row for row in shop.customers().values() if row["repeat_customer"]), key=lambda row: row["total_spent"]
    )
    with dashboard.owner(shop.user_id) as client:
        spent, address = [], f"/customers?{httpx.QueryParams(asked)}"
        while address:
            seen = Seen(client.get(address).text)
            assert ("th", {"scope": "col", "aria-sort": "ascending"}) in seen.elements
            spent += re.findall(r"Copy \d+ GHS (\d+\.\d\d) ", seen.text)
            address = next((a["href"] or "" for _, a in seen.elements if a.get("rel") == "next"), "")
        assert [float(amount) for amount in spent] == [float(row["total_spent"]) for row in expected]
        download = next(lead for lead in seen.leads if lead.startswith("/customers.csv"))
        rows = list(csv.DictReader(io.StringIO(client.get(download).content.decode("utf-8-sig"))))
    assert [row["total_spent"] for row in rows] == [str(row["total_spent"]) for row in expected]


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=NaN", "offset=1000000000000", "sort=name", "repeat=perhaps", "cursor=x", "other=1"]
)
def test_a_query_that_cannot_be_read_is_422_and_not_guessed(dashboard: Dashboard, query: str) -> None:
    with dashboard.owner(dashboard.owners.kofi) as client:
        answer = client.get(f"/customers?{query}")
    assert answer.status_code == 422
    assert "can’t be read" in answer.text


def test_a_page_past_the_last_one_leads_back(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.kofi) as client:
        seen = Seen(client.get("/customers?offset=500").text)
    assert "There are no customers on this page" in seen.text
    assert "/customers" in seen.leads


def test_a_customers_history_holds_every_order_whatever_became_of_it(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    with dashboard.database.connect() as connection, dashboard.owner(shop.user_id) as client:
        for phone in list(shop.buyers)[:5]:
            row = connection.execute(
                "select id from regulars.customers where shop_id = %s and phone_number = %s", [shop.shop_id, phone]
            ).fetchone()
            assert row
            orders = [order for order in shop.orders if order.phone == phone]
            html = client.get(f"/customers/{row[0]}", params={"shop": shop.slug}).text
            table = html.split('id="orders"')[1].split('id="visits"')[0]
            assert table.count("<tr>") - 1 == len(orders)
            assert table.count(">Sale<") == sum(order.is_sale for order in orders)
            assert table.count("tag refunded") == sum(
                order.payment_status == "completed" and order.order_status in ("refunded", "reversed")
                for order in orders
            )


def test_an_erased_person_has_no_name_and_keeps_the_sums(dashboard: Dashboard) -> None:
    (kofi,) = dashboard.owners.of(dashboard.owners.kofi)
    with dashboard.database.connect() as connection, dashboard.owner(kofi.user_id) as client:
        person = dashboard.ids(kofi)[0]
        before = connection.execute("select * from regulars.customers where id = %s", [person]).fetchone()
        connection.execute(
            "update regulars.customers set erased_at = now(), customer_name = null, email = null, phone_number = null "
            "where id = %s", [person],
        )  # fmt: skip
        assert before
        seen = Seen(client.get(f"/customers/{person}").text)
        listed = Seen(client.get("/customers").text)
    assert "This person was erased on" in seen.text
    assert "Purchases" in seen.text
    assert "Erased" in listed.text


def test_a_picture_is_sent_once_for_each_refresh(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.ama) as client:
        for name in DRAWN:
            address = f"/charts/{name}.svg?shop=ama-data&period=90"  # the month may have no sale yet
            answer = client.get(address)
            assert answer.headers["content-type"] == "image/svg+xml"
            assert "private" in answer.headers["cache-control"]
            again = client.get(address, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            assert client.get(f"{address}&theme=dark").headers["etag"] != answer.headers["etag"]
            assert client.get(f"{address}&size=narrow").headers["etag"] != answer.headers["etag"]
        assert client.get("/charts/links.svg?shop=ama-more&period=90").headers["etag"] != answer.headers["etag"]
        assert client.get("/charts/other.svg").status_code == 422


def test_a_page_and_its_tables_load_where_a_picture_cannot_be_drawn(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise ValueError("no font")

    monkeypatch.setattr(charts.vl_convert, "vegalite_to_svg", fail)
    with dashboard.owner(dashboard.owners.ama) as client:
        # A picture that no other test has drawn, so it is not cached.
        answer = client.get("/charts/cohorts.svg?shop=ama-more&theme=dark&size=narrow")
        page = client.get("/retention?shop=ama-more")
    assert answer.status_code == 503
    assert page.status_code == 200
    assert page.text.count("<table") == 6


def test_no_page_fails_or_mixes_two_refreshes_while_refreshes_run(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition = metrics.acquisition

    def take_time(*arguments: Any) -> object:
        time.sleep(0.3)  # between the cards and the months, so that something is published in between
        return acquisition(*arguments)

    monkeypatch.setattr(metrics, "acquisition", take_time)
    shop, stop, told = dashboard.owners.shops["kofi-data"], threading.Event(), []

    def look() -> None:
        with dashboard.owner(shop.user_id) as client:
            while not stop.is_set():
                answer = client.get("/")
                table = answer.text.split('id="acquisition"')[1].split("</section>")[0]
                by_month = re.findall(r"<td>([\d,]+)</td><td>[^<]*</td></tr>", table)
                card = re.findall(r'id="total_orders">.*?([\d,]+)</p>', answer.text, re.DOTALL)
                told.append((answer.status_code, int(card[0]), sum(map(int, by_month))))

    with ThreadPoolExecutor(1) as threads, dashboard.database.connect() as connection:
        looking = threads.submit(look)
        try:
            for mode in ("refresh", "rebuild"):
                for _ in range(3):
                    add_order(connection, shop.shop_id)
                run_refresh(dashboard.database.settings, mode=mode)  # type: ignore[arg-type]
        finally:
            stop.set()
        looking.result(60)
    assert {status for status, _, _ in told} == {200}
    assert all(card == by_month for _, card, by_month in told)
    assert len({card for _, card, _ in told}) >= 2, "nothing was published while the pages were loaded"


def test_pages_are_compressed_and_static_files_kept_until_they_change(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.ama) as client:
        page = client.get("/?shop=ama-data")
        assert page.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in page.headers["vary"].lower()
        assert int(page.headers["content-length"]) < len(page.content) / 3
        plain = client.get("/?shop=ama-data", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.text == page.text
        for address in {tag["href"] for name, tag in Seen(page.text).elements if name == "link"}:
            kept = client.get(address)
            assert "immutable" in kept.headers["cache-control"]
            assert client.get(address.partition("?")[0]).headers["cache-control"] == "no-cache"
        assert "cache-control" not in client.get("/static/missing.css?v=1").headers


def test_templates_and_static_files_are_in_the_package() -> None:
    package = Path(charts.__file__).parents[1]
    assert {path.name for path in (package / "static").iterdir()} == {"icon.svg", "regulars.css", "regulars.js"}
    assert {path.suffix for path in (package / "templates").iterdir()} == {".html"}
