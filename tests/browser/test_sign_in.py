"""From the storefront to the dashboard and out again, in a real browser and between two sites."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from regulars.dashboard.security.session import COOKIE
from tests.api import bearer
from tests.browser.conftest import Dashboard
from tests.browser.storefront_site import storefront_site
from tests.owners import settings_of


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


def _session(page: Page) -> str | None:
    return next((each.get("value") for each in page.context.cookies() if each.get("name") == COOKIE), None)


def test_an_owner_clicks_once_in_the_storefront_is_signed_out_by_nobody_else_and_then_for_good(
    dashboard: Dashboard, page: Page
) -> None:
    token = bearer(settings_of(dashboard.database), dashboard.owners.kofi)
    with storefront_site(dashboard.address, token) as storefront:
        page.goto(storefront)
        page.get_by_role("link", name="Analytics").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Kofi-Data")
        assert page.url == f"{dashboard.address}/"
        session = _session(page)

        page.goto(storefront)
        page.get_by_role("button", name="Win a phone").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("You are still signed in")
        assert _session(page) == session
        page.goto(f"{dashboard.address}/retention")
        expect(page.get_by_role("heading", level=1)).to_have_text("Who comes back")

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
        assert _session(page) is None
    assert httpx.get(f"{dashboard.address}/", cookies={COOKIE: session or ""}).status_code == 401


def test_an_owner_of_several_shops_switches_on_the_page_with_what_they_searched(
    dashboard: Dashboard, page: Page
) -> None:
    page.goto(dashboard.link("ama-data"))
    page.goto(f"{dashboard.address}/customers?shop=ama-data&repeat=true")
    page.get_by_label("Phone, e-mail or name").fill("Kofi")
    expect(page).to_have_url(re.compile("search=Kofi"))
    page.locator(".shops summary").click()
    page.get_by_role("link", name="Ama-More").click()
    page.wait_for_url("**/customers?*shop=ama-more*")
    asked = httpx.URL(page.url).params
    assert (asked["search"], asked["repeat"]) == ("Kofi", "true")
