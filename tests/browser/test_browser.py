"""What an owner does, in a real browser: on a phone and a desktop, light and dark, with JavaScript or without."""

import csv
import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO

import openpyxl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from regulars.dashboard.cards import CARDS
from regulars.dashboard.language.catalogue import LANGUAGES
from tests.browser.conftest import Dashboard, Looks, Visit
from tests.owners import Shop

SCREENS = [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
_CARDS = [card.name for card in CARDS]
_PICTURES = "figure img, .figure img"
_CHARTS = {"Retention": 5, "Links": 2, "Forecast": 0}
"""How many pictures each of these pages has."""
_SOLD = "?period=90"
"""A period with sales, which a month that has just begun may not have."""


def _number(text: str) -> Decimal:
    return Decimal(re.sub(r"[^0-9.]", "", text))


def _cards(dashboard: Dashboard, shop: Shop) -> list[Decimal]:
    """The cards, read from the database directly; that of the current month, counted from the sales."""
    this = shop.month(datetime.now(UTC))
    new = sum(shop.month(sales[0].at) == this for sales in shop.buyers.values())
    columns = [f"{new} as {name}" if name == "new_customers_month" else name for name in _CARDS]
    with dashboard.database.connect() as connection:
        row = connection.execute(
            f"select {', '.join(columns)} from analytics.shop_overview where shop_id = %s",  # type: ignore[arg-type]
            [shop.shop_id],
        ).fetchone()
    assert row
    return [Decimal(card) for card in row]


def _shown(page: Page) -> list[Decimal]:
    """The cards, read from the page; without the percentage beside one of them."""
    page.evaluate("document.querySelectorAll('.share').forEach(element => element.remove())")
    return [_number(page.locator(f"#{card} .value").inner_text()) for card in _CARDS]


def _assert_no_sideways_scroll(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def _assert_pictures_are_there(page: Page, *, number: int) -> None:
    page.wait_for_load_state("load")  # with the pictures; a function to wait for would be refused by the policy
    pictures = page.locator(_PICTURES).all()
    assert len(pictures) == number
    assert all(picture.evaluate("image => image.naturalWidth") > 0 for picture in pictures)
    assert all((picture.get_attribute("alt") or "").endswith(".") for picture in pictures)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_an_owner_reads_the_cards_sorts_finds_a_phone_opens_a_customer_and_takes_the_list_home(
    dashboard: Dashboard, looks: Looks, width: int, scheme: str
) -> None:
    shop = dashboard.owners.shops["kofi-data"]
    customers = shop.customers()
    with looks(width=width, scheme=scheme, shop=shop.slug) as visit:
        page = visit.page
        assert page.url == f"{dashboard.address}/"
        assert _shown(page) == _cards(dashboard, shop)
        for card in CARDS:
            assert page.locator(f"#{card.name} .value").inner_text().startswith("GHS") == (card.kind == "money")
        page.locator(f"#{CARDS[0].name} summary").click()
        expect(page.locator(f"#{CARDS[0].name} details")).to_contain_text(CARDS[0].meaning)
        page.goto(f"/{_SOLD}")
        _assert_pictures_are_there(page, number=2)
        _assert_no_sideways_scroll(page)

        for name, pictures in _CHARTS.items():
            page.get_by_role("link", name=name, exact=True).click()
            expect(page.locator(".top nav [aria-current]")).to_have_text(name)
            if name == "Links":
                page.goto(f"/links{_SOLD}")
            _assert_pictures_are_there(page, number=pictures)
            _assert_no_sideways_scroll(page)
            if pictures:
                page.locator(".figure details.table summary").first.click()
                expect(page.locator(".figure details.table table").first).to_be_visible()
                _assert_no_sideways_scroll(page)

        page.get_by_role("link", name="Customers", exact=True).click()
        expect(page.locator("#count")).to_have_text(f"{len(customers)} customers")
        _assert_no_sideways_scroll(page)
        _sort_by_spent(page, "Spent most", has_headings=width >= 600)
        expect(page.locator("th[aria-sort=descending]")).to_contain_text("Spent")
        spent = [_number(cell) for cell in page.locator(".people tbody td:nth-child(3)").all_inner_texts()]
        assert spent == sorted((row["total_spent"] for row in customers.values()), reverse=True)
        _sort_by_spent(page, "Spent least", has_headings=width >= 600)
        expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Spent")

        phone, sales = max(shop.buyers.items(), key=lambda buyer: len(buyer[1]))
        page.get_by_label("Phone, e-mail or name").fill(f"00233 {phone[4:6]} {phone[6:9]}-{phone[9:]}")
        expect(page.locator("#count")).to_contain_text("1 customer ·")
        assert "search=" in page.url, "the address holds the search"
        page.locator(".people tbody th > a").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(customers[phone]["customer_name"])
        expect(page.locator(".tag.sale")).to_have_count(len(sales))
        expect(page.locator(".contacts .phone")).to_have_text(phone)
        _assert_no_sideways_scroll(page)
        page.locator(".back a").click()
        expect(page.locator("#count")).to_contain_text("1 customer ·")  # the way back keeps the search

        page.get_by_role("link", name="Customers", exact=True).first.click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        with open(download.value.path(), encoding="utf-8-sig", newline="") as file:  # noqa: PTH123
            rows = list(csv.DictReader(file))
        assert {row["phone_number"].removeprefix("'"): row["total_spent"] for row in rows} == {
            phone: str(row["total_spent"]) for phone, row in customers.items()
        }
        assert visit.faults == []


def _sort_by_spent(page: Page, order: str, *, has_headings: bool) -> None:
    if has_headings:
        page.get_by_role("link", name="Spent GHS").click()
    else:
        page.get_by_label("Order").select_option(order)


@pytest.mark.parametrize("width", [390, 1280])
def test_an_owner_finds_the_silent_reaches_one_and_takes_their_phones_and_a_workbook(
    dashboard: Dashboard, looks: Looks, width: int
) -> None:
    shop = dashboard.owners.shops["kofi-data"]
    today = shop.day(datetime.now(UTC))
    silent = {
        phone: row
        for phone, row in shop.customers().items()
        if (today - shop.day(row["last_purchase_at"])).days >= 30 and row["total_spent"] >= 10
    }
    assert 0 < len(silent) < len(shop.customers())
    with looks(width=width, shop=shop.slug, permissions=["clipboard-read", "clipboard-write"]) as visit:
        page = visit.page
        page.get_by_role("link", name="Customers", exact=True).click()
        page.get_by_text("More filters").click()
        page.get_by_label("Silent for days, at least").fill("30")
        page.get_by_label("Spent GHS, at least").fill("10")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("#count")).to_have_text(re.compile(rf"^\s*{len(silent)} customers? "))
        row = page.locator(".people tbody tr").first
        phone = row.locator(".phone").inner_text()
        assert row.get_by_role("link", name="WhatsApp").get_attribute("href") == f"https://wa.me/{phone[1:]}"
        assert row.get_by_role("link", name="Call").get_attribute("href") == f"tel:{phone}"
        row.get_by_role("button", name="Copy").click()
        expect(row.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == phone
        page.get_by_role("button", name="Copy all phones").click()
        expect(page.locator("[data-copy-all]")).to_have_text("Copied")
        assert set(page.evaluate("navigator.clipboard.readText()").split()) == set(silent)
        with page.expect_download() as download:
            page.get_by_role("link", name="Excel").click()
        sheet = openpyxl.load_workbook(BytesIO(download.value.path().read_bytes())).worksheets[0]
        head, *cells = sheet.iter_rows(values_only=True)
        rows = [dict(zip(head, line, strict=True)) for line in cells]
        assert {line["phone_number"]: Decimal(str(line["total_spent"])) for line in rows} == {
            phone: row["total_spent"] for phone, row in silent.items()
        }
        assert visit.faults == []


def test_an_owner_of_several_shops_switches_between_them(dashboard: Dashboard, looks: Looks) -> None:
    with looks(width=390, shop="ama-data") as visit:
        page = visit.page
        page.locator(".shops summary").click()
        page.get_by_role("link", name="Ama-More").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Ama-More")
        expect(page.locator(".head")).to_contain_text("Pacific/Auckland")
        assert _shown(page) == _cards(dashboard, dashboard.owners.shops["ama-more"])
        page.get_by_role("link", name="Customers", exact=True).click()
        expect(page.locator("#count")).to_have_text(f"{len(dashboard.owners.shops['ama-more'].customers())} customers")
        _assert_no_sideways_scroll(page)
        assert visit.faults == []


def test_everything_works_without_javascript(dashboard: Dashboard, looks: Looks) -> None:
    shop = dashboard.owners.shops["ama-data"]
    phone = min(shop.buyers)
    with looks(width=390, shop=shop.slug, java_script_enabled=False) as visit:
        page = visit.page
        page.locator("#total_profit summary").click()
        expect(page.locator("#total_profit details p").first).to_be_visible()
        page.locator("#acquisition ~ details.table summary").click()
        expect(page.locator("#acquisition ~ details.table table")).to_be_visible()
        page.get_by_role("link", name="Customers", exact=True).click()
        page.get_by_label("Phone, e-mail or name").fill(f"0{phone[4:]}")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("#count")).to_contain_text("1 customer ·")
        page.get_by_role("link", name="show all").click()
        page.locator("#filters details summary").click()
        page.locator("[name=repeat]").select_option("Came back")
        page.get_by_role("button", name="Show").click()
        repeat = sum(row["repeat_customer"] for row in shop.customers().values())
        expect(page.locator("#count")).to_contain_text(f"{repeat} customers")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
        page.goto("/")
        expect(page.get_by_role("heading", level=1)).to_have_text("You are not signed in")


def test_an_owner_who_signed_out_elsewhere_learns_it_while_typing(looks: Looks) -> None:
    with looks(shop="kofi-data") as visit:
        visit.page.goto("/customers")
        visit.page.context.clear_cookies()
        visit.page.get_by_label("Phone, e-mail or name").fill("Ama")
        expect(visit.page.get_by_role("heading", level=1)).to_have_text("You are not signed in")


def test_every_picture_is_drawn_for_the_screen_and_its_colours(looks: Looks) -> None:
    with looks(shop="kofi-data") as visit:
        page = visit.page
        for path, number in (
            (f"/{_SOLD}", 2),
            ("/retention", _CHARTS["Retention"]),
            (f"/links{_SOLD}", _CHARTS["Links"]),
        ):
            page.goto(path)
            for width, scheme in SCREENS:
                _show_on(page, width, scheme)
                _assert_pictures_are_of(page, theme=scheme, size="narrow" if width == 390 else "wide")
                _assert_pictures_are_there(page, number=number)
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        # Still on the page of links, whose pictures are alone in their rows.
        _show_on(page, 768, "light")
        _assert_pictures_are_of(page, theme="light", size="middle")
        assert visit.faults == []


def _assert_pictures_are_of(page: Page, *, theme: str, size: str) -> None:
    """A browser changes pictures a moment after the screen."""
    until = time.monotonic() + 20
    while True:
        addresses = page.locator(_PICTURES).evaluate_all("images => images.map(i => i.complete ? i.currentSrc : '')")
        other = [address for address in addresses if f"theme={theme}" not in address or f"size={size}" not in address]
        if not other:
            return
        assert time.monotonic() < until, other


def test_the_keyboard_alone_reaches_everything(looks: Looks) -> None:
    with looks(shop="kofi-data") as visit:
        page = visit.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(
                page.evaluate(
                    "(document.activeElement.ariaLabel ?? document.activeElement.textContent)"
                    ".trim().replace(/\\s+/g, ' ').slice(0, 40)"
                )
            )
            assert page.evaluate(
                "document.activeElement === document.body || "
                "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            ), "the focused element is marked"
        assert {"Overview", "Customers", "Sign out", "What Available balance means", "30 days"} <= reached


_OF_COLOURS = ["color-contrast", "link-in-text-block"]


def _serious(page: Page) -> list[str]:
    """On every screen, of the page as it stands. What doesn't look at colours is the same in both schemes."""
    faults = []
    for width, scheme in SCREENS:
        _show_on(page, width, scheme)
        rules = {"runOnly": _OF_COLOURS} if scheme == "dark" else {}
        found = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
        faults += [
            f"{width} {scheme}, {fault['id']} ({fault['impact']}): {node['html'][:200]}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]
    return faults


def _show_on(page: Page, width: int, scheme: str) -> None:
    """Turns the screen of a page that is open: nothing but style sheets and pictures depends on it."""
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_axe_finds_no_serious_fault_on_any_page_and_any_screen(looks: Looks, language: str) -> None:
    with looks(shop="ama-data", locale=language) as visit:
        page = visit.page
        # It looks at what stands beside a picture and not into it, and every screen would load all of them anew.
        page.route("**/charts/**", lambda route: route.abort())
        faults = {}
        for path in ("/", "/retention", "/links", "/forecast", "/segments"):
            page.goto(f"{path}?shop=ama-data")
            assert page.evaluate("document.documentElement.lang") == language
            page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
            faults[path] = _serious(page)
        page.goto("/customers?shop=ama-data&limit=5&sort=-total_spent")
        faults["customers"] = _serious(page)
        page.locator(".people tbody th > a").first.click()
        faults["customer"] = _serious(page)
        page.goto("/customers?shop=ama-data&search=nobody")
        faults["nobody"] = _serious(page)
        page.context.clear_cookies()
        page.goto("/")
        faults["not signed in"] = _serious(page)
    assert {name: found for name, found in faults.items() if found} == {}


def test_touch_targets_are_large_enough(looks: Looks) -> None:
    with looks(shop="ama-data") as visit:
        small: list[str] = []
        for path in ("/", "/retention", "/links", "/forecast", "/segments", "/customers?shop=ama-data&limit=5"):
            visit.page.goto(path)
            for width in (390, 1280):
                _show_on(visit.page, width, "light")
                small += _small(visit)
    assert small == []


def _small(visit: Visit) -> list[str]:
    """Targets under 24 pixels (WCAG 2.2, 2.5.8), apart from links in running text."""
    found: list[str] = visit.page.evaluate(
        """() => [...document.querySelectorAll('a, button, summary, input:not([type=hidden]), select')]
            .filter(element => element.checkVisibility() && !element.closest('p') && !element.matches('.skip'))
            .map(element => [element.outerHTML, element.getBoundingClientRect()])
            .filter(([html, box]) => box.height < 24 || box.width < 24)
            .map(([html]) => html)"""
    )
    return found
