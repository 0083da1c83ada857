"""The pages in another language: every text is in the catalogue, and who asks for French reads French."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import openpyxl
import pytest
from babel import Locale
from babel.messages.pofile import read_po, write_po

from regulars.dashboard.errors import NotLoaded, TooManyAtOnce
from regulars.dashboard.language import catalogue
from regulars.dashboard.language.choice import COOKIE as LANGUAGE_COOKIE
from regulars.dashboard.pages.formatting import shortened
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.conftest import Server
from tests.hard_shops import NAMES, SHOPS, HardShops, hard_shops
from tests.pages import FIGURES, NOBODY, Dashboard, Seen
from tests.storefront import add_shop

_BEGIN, _END = "⟦", "⟧"

_ATTRIBUTES = ("title", "aria-label", "alt", "placeholder", "data-label", "data-done")
# Data, and the names of languages.
_SKIPPED_TAGS = {"bdi", "time", "code", "script", "style"}
_SKIPPED_CLASSES = {"phone", "unit", "slug", "languages", "zone", "email"}
_EMPTY_TAGS = {"meta", "link", "img", "source", "input", "br"}
_NAMES = {"Regulars", "WhatsApp", "Excel", "CSV", "English", "Français"}


def _marked(text: object) -> object:
    return f"{_BEGIN}{text}{_END}" if isinstance(text, str) else tuple(map(_marked, text))  # type: ignore[call-overload]


@pytest.fixture
def every_text_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In place of French, a catalogue of the same ids whose translations are the English texts between marks."""
    where = Path("fr") / "LC_MESSAGES" / "regulars.po"
    with (catalogue.LOCALE / where).open("rb") as file:
        texts = read_po(file, locale="fr")
    for message in texts:
        if message.id:
            message.string = _marked(message.id)  # type: ignore[assignment]
    (tmp_path / where).parent.mkdir(parents=True)
    with (tmp_path / where).open("wb") as file:
        write_po(file, texts)
    monkeypatch.setattr(catalogue, "LOCALE", tmp_path)
    catalogue._translations.cache_clear()
    yield
    catalogue._translations.cache_clear()


@dataclass
class _Texts(HTMLParser):
    """What a page shows outside of marks, apart from data."""

    html: str
    data: set[str] = field(default_factory=set)
    unmarked: str = ""
    _open: list[bool] = field(default_factory=list)
    _depth: int = 0
    _option: str | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        assert self._depth == 0, "marks that don't close"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        classes = set(given.get("class", "").split())
        is_data = tag in _SKIPPED_TAGS or bool(classes & _SKIPPED_CLASSES)
        if not (is_data or any(self._open)):
            for name in _ATTRIBUTES:
                self._read(given.get(name, ""))
        self._option = given.get("value") if tag == "option" else None
        if tag not in _EMPTY_TAGS:
            self._open.append(is_data)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _EMPTY_TAGS:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        is_choice = self._option is not None and data == shortened(self._option, 40)
        if not (any(self._open) or is_choice):
            self._read(data)

    def _read(self, text: str) -> None:
        for letter in text:
            self._depth += (letter == _BEGIN) - (letter == _END)
            if self._depth == 0 and letter != _END:
                self.unmarked += letter
        self.unmarked += " "

    @property
    def words(self) -> set[str]:
        """Two letters or more that are neither data nor the name of a month."""
        plain = self.unmarked
        for known in sorted(self.data, key=len, reverse=True):
            plain = plain.replace(known, " ")
        return set(re.findall(r"[^\W\d_]{2,}", plain)) - _months() - _NAMES


def _months() -> set[str]:
    names = Locale.parse("fr").months["format"]
    return {name.rstrip(".") for width in ("wide", "abbreviated") for name in names[width].values()}


@pytest.fixture(scope="module")
def shops(server: Server, built_template: str) -> Iterator[HardShops]:
    with hard_shops(server, built_template) as shops:
        yield shops


def _reader(shops: HardShops, shop: str, language: str = "fr") -> httpx.Client:
    cookies = {COOKIE: shops.sessions[shop], LANGUAGE_COOKIE: language}
    return httpx.Client(base_url=shops.address, cookies=cookies, timeout=60)


@pytest.mark.usefixtures("every_text_is_marked")
@pytest.mark.parametrize("shop", SHOPS)
def test_no_page_shows_a_text_that_is_not_in_the_catalogue(shops: HardShops, shop: str) -> None:
    with shops.database.connect() as connection:
        names = {name for (name,) in connection.execute("select shop_name from user_shops").fetchall() if name}
    data = {*names, *map(shortened, names), *(shortened(name, 24) for name in names), *NAMES}
    outside = {}
    with _reader(shops, shop) as client:
        for path in shops.paths(shop):
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert _BEGIN in answer.text
            outside[path] = _Texts(answer.text, data).words
    assert {path: words for path, words in outside.items() if words} == {}


@pytest.mark.usefixtures("every_text_is_marked")
def test_no_picture_shows_a_text_that_is_not_in_the_catalogue(shops: HardShops) -> None:
    outside, drawn = {}, set()
    with _reader(shops, "hostile") as client:
        for name in FIGURES:
            answer = client.get(f"/charts/{name}.svg", params={"shop": "hostile", "period": "year", "size": "wide"})
            if answer.status_code == 404:
                continue  # there is nothing to draw yet
            drawn.add(name)
            texts = re.findall(r"<text[^>]*>([^<]*)</text>", answer.text)
            # A label that is too long for its place loses its end, and the mark with it.
            plain = [text for text in texts if not text.startswith(_BEGIN)]
            known = re.compile(r"link-very|NetNet|MTN|GHS|k$|M$")
            words = {
                word for text in plain if not known.search(text) for word in re.findall(r"[^\W\d_]{2,}", text)
            } - _months()
            if words:
                outside[name] = words
    assert outside == {}
    assert drawn == set(FIGURES)


@pytest.mark.usefixtures("every_text_is_marked")
def test_no_notice_shows_a_text_that_is_not_in_the_catalogue(shops: HardShops, monkeypatch: pytest.MonkeyPatch) -> None:
    late, link = uuid4(), Keys(shops.settings).sign_in_link_token(str(uuid4()))
    with shops.database.connect() as connection:
        shop_id = add_shop(connection, "late")
        connection.execute("update user_shops set user_id = %s where id = %s", [late, shop_id])

    def fail(kind: type[Exception]) -> object:
        def raise_it(*_: object, **__: object) -> None:
            raise kind

        return raise_it

    with _reader(shops, "single") as client, httpx.Client(base_url=shops.address) as stranger:
        stranger.cookies.set(LANGUAGE_COOKIE, "fr")
        answers = [
            stranger.get("/"), stranger.get("/sign-in", params={"token": link}),
            stranger.get("/sign-in", params={"token": "forged"}),
            stranger.get("/nothing", headers={"Accept": "text/html"}),
            stranger.post("/sign-out"), stranger.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"}),
            client.get(NOBODY), client.get("/?shop=another"), client.get("/customers?limit=many"),
        ]  # fmt: skip
        with _reader(shops, "none") as newcomer:
            newcomer.cookies.set(COOKIE, Keys(shops.settings).session(str(late)))
            answers.append(newcomer.get("/"))
        # Faults that a test can't bring about without hurting its neighbours.
        with monkeypatch.context() as patched:
            for kind in (NotLoaded, TooManyAtOnce):
                patched.setattr(Reader, "as_owner", fail(kind))
                answers.append(client.get("/"))
        with monkeypatch.context() as patched:
            patched.setattr(Reader, "end_token", fail(NotLoaded))
            answers += [client.post("/sign-out"), stranger.get(f"/sign-in?token={link}&pressed=yes")]
    titles = [re.search("<h1>(.*?)</h1>", answer.text) for answer in answers]
    assert all(titles), [answer.status_code for answer, title in zip(answers, titles, strict=True) if not title]
    assert len({title[1] for title in titles if title}) == 10, "each notice was shown"
    data = {"Single", "Late"}
    assert [words for answer in answers if (words := _Texts(answer.text, data).words)] == []


def test_a_page_is_in_the_language_of_the_address_then_the_cookie_then_the_browser(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.ama) as client:
        english = client.get("/")
        french = client.get("/", headers={"Accept-Language": "fr-CI,fr;q=0.9,en;q=0.5"})
        assert [answer.headers["content-language"] for answer in (english, french)] == ["en", "fr"]
        assert ['<html lang="en">' in english.text, '<html lang="fr">' in french.text] == [True, True]
        assert {"accept-language", "cookie"} <= set(re.split(r",\s*", english.headers["vary"].lower()))
        chosen = client.get("/customers?shop=ama-more&lang=fr&search=a%26b")
        assert (chosen.status_code, chosen.headers["location"]) == (303, "/customers?shop=ama-more&search=a%26b")
        cookie = chosen.headers["set-cookie"].lower()
        assert all(part in cookie for part in (f"{LANGUAGE_COOKIE}=fr", "httponly", "samesite=lax", "path=/"))
        assert client.get("/", headers={"Accept-Language": "en"}).headers["content-language"] == "fr"
        client.get("/?lang=en")
        assert client.get("/", headers={"Accept-Language": "fr"}).headers["content-language"] == "en"
        assert "set-cookie" not in client.get("/?lang=xx").headers


def test_the_switch_keeps_the_page_and_its_query_and_never_a_token(dashboard: Dashboard) -> None:
    token = Keys(dashboard.settings).sign_in_link_token(str(dashboard.owners.kofi))
    with dashboard.owner(dashboard.owners.ama) as client:
        for path in ("/links?shop=ama-more&period=90", "/customers?shop=ama-data&min_spent=5&sort=-total_spent"):
            switch = [lead for lead in Seen(client.get(path).text).leads if "lang=fr" in lead]
            assert [lead.replace("?lang=fr", "").replace("&lang=fr", "") for lead in switch] == [path]
            answer = client.get(switch[0])
            assert answer.headers["location"] == path
        client.get("/?lang=en")
    with httpx.Client(base_url=dashboard.address) as stranger:
        for answer in (stranger.get(f"/sign-in?token={token}"), stranger.post("/sign-out"), stranger.get(NOBODY)):
            assert [lead for lead in Seen(answer.text).leads if "lang=" in lead] == ["/?lang=en", "/?lang=fr"]


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%5Cevil.example", "/%0d%0aX:1"])
def test_the_choice_of_a_language_leads_to_no_other_host(dashboard: Dashboard, path: str) -> None:
    with httpx.Client(base_url=dashboard.address) as client:
        answer = client.get(httpx.URL(f"{dashboard.address}{path}?lang=fr"))
        page = client.get(httpx.URL(f"{dashboard.address}{path}"), headers={"Accept": "text/html"})
    where = answer.headers["location"]
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))
    assert not urlsplit(where).netloc
    assert "x" not in answer.headers
    assert [lead for lead in Seen(page.text).leads if urlsplit(lead).netloc] == []


def test_a_picture_has_another_tag_in_another_language(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.ama) as client:
        english = client.get("/charts/acquisition.svg?shop=ama-data")
        asked = {"If-None-Match": english.headers["etag"], "Accept-Language": "fr"}
        french = client.get("/charts/acquisition.svg?shop=ama-data", headers=asked)
        again = client.get(
            "/charts/acquisition.svg?shop=ama-data", headers=asked | {"If-None-Match": french.headers["etag"]}
        )
    assert (english.status_code, french.status_code, again.status_code) == (200, 200, 304)
    assert english.headers["etag"] != french.headers["etag"]
    assert "Nouveaux" in french.text
    for answer in (english, french, again):
        assert {"accept-language", "cookie"} <= set(re.split(r",\s*", answer.headers["vary"].lower()))


def test_the_api_and_its_files_are_in_english_whatever_the_browser_wants(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["kofi-data"]
    with dashboard.owner(shop.user_id) as client:
        plain = client.get("/customers.csv").content
        assert client.get("/customers.csv", headers={"Accept-Language": "fr"}).content == plain
        answer = client.get("/api/admin/customers/list", headers={"Accept-Language": "fr"})
    assert answer.json()["detail"].isascii()


def test_a_workbook_has_french_sheets_headings_and_definitions(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-more"]
    with dashboard.owner(shop.user_id) as client:
        client.headers["Accept-Language"] = "fr"
        customers, links = (
            openpyxl.load_workbook(io.BytesIO(client.get(path, params={"shop": shop.slug}).content))
            for path in ("/customers.xlsx", "/links.xlsx")
        )
    assert (customers.sheetnames, links.sheetnames) == (["Clients", "Définitions"], ["Liens", "Définitions"])
    headings = [cell.value for cell in customers.worksheets[0][1]]
    assert headings[:3] == ["Numéro du client", "Nom", "Téléphone"]
    assert not any("_" in str(heading) for heading in headings)
    told = list(customers.worksheets[1].iter_rows(values_only=True))
    assert told[0] == ("Feuille", "Colonne", "Signification")
    assert [row[1] for row in told[1:] if row[1]] == headings
    assert any("Pacific/Auckland" in str(row[2]) for row in told)
    # Cells are typed as in English: a spreadsheet writes them as its own language does.
    spent = [row[headings.index("Dépensé")].value for row in customers.worksheets[0].iter_rows(min_row=2)]
    assert all(isinstance(value, int | float) for value in spent)


def test_an_overview_in_french_reads_as_french(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-more"]
    with dashboard.owner(shop.user_id) as client:
        seen = Seen(client.get("/", params={"shop": shop.slug}, headers={"Accept-Language": "fr"}).text)
    text = re.sub(r"[\u00a0\u202f]", " ", seen.text)
    total = len(shop.customers())
    assert f"Total des clients {total} " in text
    assert f"Total des commandes {len(shop.sales)} " in text
    assert re.search(r"Chiffre d’affaires clients [\d ]+,\d\d GHS ", text)
    assert "Clients à relancer" in text
    assert "Les jours sont ceux du fuseau Pacific/Auckland." in text
