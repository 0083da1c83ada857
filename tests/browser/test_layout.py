"""No text is cut off or overlaps other text, at any width: computed from layout boxes, with the hardest shops."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import Browser, Page

from regulars.dashboard.language.catalogue import LANGUAGES, speaking
from regulars.dashboard.pages.charts import draw
from regulars.dashboard.pages.drawings import Size
from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.security.session import COOKIE
from tests.conftest import Server
from tests.hard_shops import SHOPS, HardShops, hard_shops
from tests.pages import FIGURES

_FAULTS = Path(__file__).with_name("layout.js").read_text()
_WIDTHS = (390, 768, 1280)


@pytest.fixture(scope="module")
def shops(server: Server, built_template: str) -> Iterator[HardShops]:
    with hard_shops(server, built_template) as shops:
        yield shops


@contextmanager
def _page(browser: Browser, shops: HardShops, shop: str, language: str) -> Iterator[Page]:
    context = browser.new_context(base_url=shops.address, locale=language)
    context.add_cookies([{"name": COOKIE, "value": shops.sessions[shop], "url": shops.address}])
    try:
        yield context.new_page()
    finally:
        context.close()


_OPEN = """isOpen => document.querySelectorAll("details:not(.shops)").forEach(element => {
    element.dataset.first ??= element.open;
    element.open = isOpen || element.dataset.first === "true";
})"""


def _faults(page: Page, widths: Sequence[int]) -> list[str]:
    """At every width, as the page came and with all that it opens: nothing but style sheets depends on the width."""
    found = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("window.innerWidth") == width
        for is_open in (False, True):
            page.evaluate(_OPEN, is_open)
            found += [f"{width}: {fault}" for fault in page.evaluate(_FAULTS)]
    return found


@pytest.mark.parametrize("language", list(LANGUAGES))
@pytest.mark.parametrize("shop", SHOPS)
def test_no_text_is_cut_or_overlaps_on_any_page(browser: Browser, shops: HardShops, shop: str, language: str) -> None:
    faults: dict[str, list[str]] = {}
    widths = _WIDTHS
    with _page(browser, shops, shop, language) as page:
        page.set_viewport_size({"width": widths[0], "height": 844})
        for path in shops.paths(shop):
            page.goto(path)
            assert page.evaluate("document.documentElement.lang") == language
            found = _faults(page, widths)
            if found:
                faults[path] = found
            # The next page begins where this one ends: each change of the width loads the pictures anew.
            widths = widths[::-1]
    assert faults == {}


@pytest.mark.parametrize("language", list(LANGUAGES))
@pytest.mark.parametrize("shop", ["hostile", "single"])
def test_no_label_of_a_picture_is_cut_or_overlaps(browser: Browser, shops: HardShops, shop: str, language: str) -> None:
    faults: dict[str, list[str]] = {}
    with _page(browser, shops, shop, language) as page:
        for name in FIGURES:
            for size in get_args(Size):
                address = f"/charts/{name}.svg?size={size}&period=year&shop={shop}"
                if page.request.get(address).status == 404:
                    continue  # there is nothing to draw yet
                page.goto(address)
                found = page.evaluate(_LABELS)
                if found:
                    faults[f"{name} {size}"] = found
    assert faults == {}


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_a_year_named_at_the_end_of_the_axis_is_not_cut(browser: Browser, tmp_path: Path, language: str) -> None:
    """Sixty-one months up to a February: only each January is named, and the last is beside the frame."""
    months = [date(2022 + n // 12, 1 + n % 12, 1).isoformat() for n in range(1, 62)]
    rows = tuple({"month": month, "kind": "Lifetime", "rate": 0.3, "unfinished": False} for month in months)
    page = browser.new_page()
    for size in get_args(Size):
        picture = tmp_path / f"{size}.svg"
        with speaking(language):
            picture.write_text(draw(Figure("repeat-rates", rows, ""), theme="light", size=size, currency="GHS"))
        page.goto(picture.as_uri())
        assert "2027" in page.evaluate("document.documentElement.textContent")
        assert page.evaluate(_LABELS) == [], size
    page.close()


_LABELS = """() => {
    const frame = document.documentElement.getBoundingClientRect();
    const texts = [...document.querySelectorAll("text")].filter(text => text.textContent.trim())
        .map(text => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
    const cut = texts.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1 ||
        box.top < frame.top - 2 || box.bottom > frame.bottom + 2).map(([text]) => `cut: ${text}`);
    const overlaps = texts.flatMap(([one, a], place) => texts.slice(place + 1).filter(([, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => `overlap: ${one} / ${other}`));
    return [...cut, ...overlaps];
}"""
