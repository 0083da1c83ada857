"""One morning of an owner, from the storefront to WhatsApp, whatever the screen, the language and the hand."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import httpx
import openpyxl
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from regulars.dashboard.schemas import CustomerRow
from regulars.dashboard.security.session import COOKIE
from tests.api import API, bearer
from tests.browser.conftest import Dashboard
from tests.browser.storefront_site import storefront_site
from tests.owners import count_this_month, settings_of

# Every width with every language and every scheme, and each of these with a thumb and with a keyboard.
MORNINGS = [
    (390, "light", "fr", "thumb"),
    (390, "dark", "en", "keyboard"),
    (768, "light", "en", "thumb"),
    (768, "dark", "fr", "keyboard"),
    (1280, "light", "fr", "keyboard"),
    (1280, "dark", "en", "thumb"),
]


class Hand:
    """Uses what is on the page as a thumb does, or without pointing at anything."""

    def __init__(self, kind: str) -> None:
        self._is_thumb = kind == "thumb"

    def use(self, element: Locator) -> None:
        if self._is_thumb:
            element.tap()
        else:
            element.focus()
            element.press("Enter")

    def write(self, element: Locator, text: str) -> None:
        if self._is_thumb:
            element.tap()
        else:
            element.focus()
        element.page.keyboard.type(text)


@contextmanager
def _page(browser: Browser, *, width: int, scheme: str, language: str, hand: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, locale=language, has_touch=hand == "thumb"
    )  # type: ignore[arg-type]
    try:
        yield context.new_page()
    finally:
        context.close()


@pytest.mark.parametrize(("width", "scheme", "language", "kind"), MORNINGS)
def test_an_owner_signs_in_compares_finds_the_silent_reaches_one_takes_the_list_switches_and_signs_out(
    browser: Browser, dashboard: Dashboard, width: int, scheme: str, language: str, kind: str
) -> None:
    count_this_month(dashboard.database, dashboard.owners)
    shop = dashboard.owners.shops["ama-data"]
    token = bearer(settings_of(dashboard.database), shop.user_id)
    hand = Hand(kind)
    with (
        storefront_site(dashboard.address, token) as storefront,
        _page(browser, width=width, scheme=scheme, language=language, hand=kind) as page,
    ):
        page.goto(storefront)
        hand.use(page.locator("a[href='/analytics']"))
        expect(page.locator("html")).to_have_attribute("lang", language)
        if page.locator(".shops [aria-current]").text_content() != "Ama-Data":
            _switch(page, hand, "Ama-Data")

        this = shop.month(datetime.now(UTC))
        sold = sum((order.total for order in shop.sales if shop.month(order.at) == this), Decimal(0))
        sentence = page.locator("#moved-net_amount .sentence").inner_text()
        # Without the separators, which each language has of its own. In a month's first hours nothing may be sold yet.
        digits = re.sub(r"\D", "", f"{sold:.2f}") if sold else "0"
        assert digits in re.sub(r"\D", "", sentence)

        hand.use(page.locator("nav a[href^='/customers']").first)
        hand.use(page.locator("#filters summary"))
        hand.write(page.locator("#filters [name=min_silent_days]"), "30")
        hand.use(page.locator("#filters button.button"))
        page.wait_for_url("**min_silent_days=30*")
        today = shop.day(datetime.now(UTC))
        silent = {
            phone: row["total_spent"]
            for phone, row in shop.customers().items()
            if (today - shop.day(row["last_purchase_at"])).days >= 30
        }
        assert 0 < len(silent) < len(shop.customers())
        expect(page.locator("#count strong")).to_have_text(str(len(silent)))

        row = page.locator(".people tbody tr").first
        phone = row.locator(".phone").inner_text()
        assert phone in silent
        whatsapp = row.locator("a[href^='https://wa.me/']")
        assert whatsapp.get_attribute("href") == f"https://wa.me/{phone.removeprefix('+')}"
        expect(whatsapp).to_be_visible()

        with page.expect_download() as download:
            hand.use(page.locator(".files a[href*='.xlsx']"))
        _assert_is_what_the_api_answers(download.value.path().read_bytes(), dashboard, token, silent)

        _switch(page, hand, "Ama-More")
        assert "min_silent_days=30" in page.url
        hand.use(page.locator("form[action='/sign-out'] button"))
        page.wait_for_url("**/sign-out")
        assert all(cookie.get("name") != COOKIE for cookie in page.context.cookies())


def _switch(page: Page, hand: Hand, shop: str) -> None:
    hand.use(page.locator(".shops summary"))
    hand.use(page.locator(".shops li a", has_text=shop))
    expect(page.locator(".shops summary")).to_contain_text(shop)


def _assert_is_what_the_api_answers(
    content: bytes, dashboard: Dashboard, token: dict[str, str], silent: dict[str, Decimal]
) -> None:
    sheet = openpyxl.load_workbook(BytesIO(content)).worksheets[0]
    # Each language has headings of its own.
    _, *lines = sheet.iter_rows(values_only=True)
    rows: list[dict[str, Any]] = [dict(zip(CustomerRow.model_fields, line, strict=True)) for line in lines]
    assert all(isinstance(row["last_purchase_at"], datetime) for row in rows)
    assert all(isinstance(row["total_purchases"], int) for row in rows)
    taken = {row["phone_number"]: Decimal(str(row["total_spent"])) for row in rows}
    assert taken == silent
    answer = httpx.get(
        f"{dashboard.address}{API}/list", headers=token,
        params={"shop": "ama-data", "min_silent_days": 30, "limit": 1000},
    )  # fmt: skip
    customers = answer.json(parse_float=Decimal)["customers"]
    assert {row["phone_number"]: row["total_spent"] for row in customers} == taken
