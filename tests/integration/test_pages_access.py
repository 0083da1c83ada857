"""The owners' pages: who sees them, how an owner signs in, and what never appears on them or in a log."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from xml.etree import ElementTree

import httpx
import jwt
import pytest

from flows.steps import run_refresh
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import SESSION, SIGN_IN, Keys
from tests.owners import SECRET
from tests.pages import HOSTILE, NOBODY, PAGES, PATHS, Dashboard, Seen, Walk, is_file, walk

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_two_owners_see_no_row_of_each_other_on_any_page_before_and_after_a_rebuild(
    dashboard: Dashboard, walks: dict[UUID, Walk]
) -> None:
    ama, kofi = dashboard.owners.ama, dashboard.owners.kofi
    shops = {owner: dashboard.owners.of(owner) for owner in (ama, kofi)}
    before = {owner: walks[owner].pages for owner in (ama, kofi)}
    run_refresh(dashboard.database.settings, mode="rebuild")
    after = {owner: walk(dashboard, owner).pages for owner in (ama, kofi)}
    for pages in (before, after):
        for owner, other in ((ama, kofi), (kofi, ama)):
            text = "\n".join(pages[owner].values())
            own = {row for shop in shops[owner] for row in dashboard.ids(shop)}
            assert own <= set(_UUID.findall(text)), "the owner's own customers are not all there"
            foreign = {row for shop in shops[other] for row in (*dashboard.ids(shop), str(shop.shop_id))}
            assert not foreign & set(_UUID.findall(text))
            # Both owners have customers with the same phones: e-mail addresses and slugs distinguish them.
            assert not any(f"@{shop.slug}.example" in text or shop.slug in text for shop in shops[other])
    assert before[ama].keys() == after[ama].keys()
    assert before[kofi].keys() == after[kofi].keys()


@pytest.mark.parametrize("path", PATHS)
def test_without_a_session_there_is_a_page_that_says_how_to_get_one(dashboard: Dashboard, path: str) -> None:
    keys, somebody = Keys(dashboard.settings), str(dashboard.owners.ama)
    now = datetime.now(UTC)
    claims = {"sub": somebody, "aud": SESSION, "exp": now + timedelta(hours=1), "jti": "1"}
    shown = {
        "nothing": "",
        "a forged session": jwt.encode(claims, SECRET[::-1], algorithm="HS256"),
        "an unsigned one": jwt.encode(claims, None, algorithm="none"),
        "an expired one": jwt.encode(claims | {"exp": now - timedelta(hours=1)}, SECRET, algorithm="HS256"),
        "one of nobody": jwt.encode({name: claims[name] for name in ("aud", "exp", "jti")}, SECRET, algorithm="HS256"),
        "one without an id": jwt.encode({name: claims[name] for name in ("sub", "aud", "exp")}, SECRET),
        "one that lasts too long": jwt.encode(claims | {"exp": now + timedelta(hours=13)}, SECRET),
        "a sign-in link's": keys.sign_in_link_token(somebody),
        "the API's": keys.api_token(somebody, lasts=timedelta(hours=1)),
        "no token": "nonsense",
    }
    for what, token in shown.items():
        with dashboard.visitor(**({COOKIE: token} if token else {})) as client:
            answer = client.get(path)
        assert answer.status_code == 401, what
        assert "Open Regulars from your shop’s dashboard" in answer.text
        assert "regulars token" not in answer.text
        assert not _UUID.search(answer.text)


def test_a_link_signs_in_and_no_address_holds_a_token_after_it(dashboard: Dashboard, walks: dict[UUID, Walk]) -> None:
    token = Keys(dashboard.settings).sign_in_link_token(str(dashboard.owners.ama))
    with dashboard.visitor() as client:
        answer = client.get("/sign-in", params={"token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["cache-control"] == "no-store"
        # Of all pages only this one's address holds a token.
        assert answer.headers["referrer-policy"] == "no-referrer"
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert token not in cookie
        page = client.get("/")
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
    walk = walks[dashboard.owners.ama]
    for address, text in walk.pages.items():
        assert walk.link not in text
        assert walk.session not in text
        assert "token" not in address


def test_behind_https_the_cookie_is_secure(dashboard: Dashboard) -> None:
    token = Keys(dashboard.settings).sign_in_link_token(str(dashboard.owners.ama))
    with dashboard.visitor() as client:
        answer = client.get("/sign-in", params={"token": token}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


@pytest.mark.parametrize("kind", ["missing", "nonsense", "session", "expired"])
def test_an_invalid_link_sets_no_cookie(dashboard: Dashboard, kind: str) -> None:
    somebody, past = str(dashboard.owners.ama), datetime.now(UTC) - timedelta(minutes=16)
    tokens = {
        "missing": "",
        "nonsense": "ey.ey.ey",
        "session": Keys(dashboard.settings).session(somebody),
        "expired": jwt.encode({"sub": somebody, "aud": SIGN_IN, "exp": past, "jti": "1"}, SECRET, algorithm="HS256"),
    }
    with dashboard.visitor() as client:
        answer = client.get("/sign-in", params={"token": tokens[kind]})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert not tokens[kind] or tokens[kind] not in answer.text


def test_signing_out_takes_a_post_and_deletes_the_session(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.ama) as client:
        assert client.get("/sign-out").status_code == 405
        answer = client.post("/sign-out")
        assert "You are signed out" in answer.text
        assert answer.headers["set-cookie"].startswith(f'{COOKIE}="";')
        assert "Max-Age=0" in answer.headers["set-cookie"]


def test_another_owners_customer_looks_like_one_that_does_not_exist(dashboard: Dashboard) -> None:
    (kofi,) = dashboard.owners.of(dashboard.owners.kofi)
    with dashboard.owner(dashboard.owners.ama) as client:
        another = client.get(f"/customers/{dashboard.ids(kofi)[0]}")
        nobody = client.get(f"/customers/{uuid4()}")
        no_id = client.get("/customers/1")
        assert another.status_code == nobody.status_code == no_id.status_code == 404
        assert another.text == nobody.text == no_id.text
        others = (kofi.slug, str(kofi.shop_id), "none")
        for path in PATHS:
            shops = [client.get(path, params={"shop": shop}) for shop in others]
            assert {answer.status_code for answer in shops} == {404}
            assert len({answer.text for answer in shops}) == 1


def test_html_in_any_text_is_text_on_every_page_and_picture(dashboard: Dashboard, walks: dict[UUID, Walk]) -> None:
    pages = walks[dashboard.owners.kofi].pages
    seen_pages = [Seen(text) for address, text in pages.items() if not is_file(address)]
    # A long link loses its middle; its title has it.
    titles = [held.get("title") or "" for seen in seen_pages for _, held in seen.elements]
    shown = "".join([*(seen.text for seen in seen_pages), *titles])
    for what in ("shop", "name", "mail", "network", "slug", "source", "medium", "camp"):
        assert f"{what}{'' if what == 'mail' else ' '}{HOSTILE}" in shown, what
    # A referrer that is no address is not kept.
    assert f"from {HOSTILE}" not in shown
    for address, text in pages.items():
        if address.startswith("/charts"):
            tags = {element.tag.split("}")[1] for element in ElementTree.fromstring(text).iter()}
            assert tags <= {
                "svg",
                "g",
                "path",
                "line",
                "rect",
                "text",
                "tspan",
                "defs",
                "clipPath",
                "title",
                "linearGradient",
                "stop",
            }
        elif not is_file(address):
            seen = Seen(text)
            assert [attributes["src"] for tag, attributes in seen.elements if tag == "script"][1:] == []
            assert not any(name.startswith("on") or name == "style" for _, held in seen.elements for name in held)
            assert not any(held.get("src") == "x" for _, held in seen.elements)


def test_every_pages_policy_forbids_what_it_does_not_need(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.ama) as client:
        answers = [
            client.get(path) for path in ("/", "/customers", "/customers/1", "/charts/movement.svg", "/?limit=x")
        ]
        answers += [client.get("/static/regulars.css"), client.post("/sign-out")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        if answer.headers["content-type"].startswith("text/html"):
            assert answer.headers["cache-control"] == "no-store"


def test_no_page_names_another_host(dashboard: Dashboard, walks: dict[UUID, Walk]) -> None:
    for address, text in walks[dashboard.owners.ama].pages.items():
        if not is_file(address):
            # WhatsApp's own address of a phone number is the one exception, and only where somebody clicks it.
            leads = [lead for lead in Seen(text).leads if not re.fullmatch(r"https://wa\.me/[0-9]+", lead)]
            assert all(lead.startswith(("/", "#", "tel:", "mailto:")) and not lead.startswith("//") for lead in leads)


def test_no_token_and_no_search_term_is_logged(dashboard: Dashboard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = Keys(dashboard.settings).sign_in_link_token(str(dashboard.owners.ama))
    with dashboard.visitor() as client:
        client.get("/sign-in", params={"token": token})
        session = client.cookies[COOKIE]
        client.get("/customers", params={"shop": "ama-data", "search": "0241000003"})
        client.get("/customers/0241000003")
    # httpx logs for the visitor, and `regulars dashboard` turns the server's access log off.
    ours = [record for record in caplog.records if not record.name.startswith(("http", "uvicorn.access"))]
    told = "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
    assert "/sign-in" in told
    assert not any(secret in told for secret in (token, session, "0241000003"))


def _switches(client: httpx.Client, address: str) -> tuple[int, list[str]]:
    """The status of a page, and where the links in its list of shops lead."""
    answer = client.get(address)
    menu = re.search(r'<details class="shops">(.*?)</details>', answer.text, re.DOTALL)
    return answer.status_code, Seen(menu[1]).leads if menu else []


@pytest.mark.parametrize(
    ("address", "status", "kept"),
    [
        *((path, 200, path) for path in (*PAGES, "/segments")),
        ("/customers?shop=ama-more&repeat=true&search=A%26b&offset=50", 200, "/customers?repeat=true&search=A%26b"),
        (f"{NOBODY}?shop=ama-data", 404, "/customers"),
        ("/customers?shop=none&repeat=true", 404, "/customers?repeat=true"),
        ("/retention?shop=none", 404, "/retention"),
        ("/customers?limit=0", 422, "/customers"),
        ("/customers?cursor=x", 422, "/customers"),
        ("/nothing", 404, "/"),
        ("//evil.example/customers", 404, "/"),
    ],
)
def test_the_switch_of_an_owner_of_several_shops_keeps_the_page_and_its_query(
    dashboard: Dashboard, address: str, status: int, kept: str
) -> None:
    sign = "&" if "?" in kept else "?"
    expected = [f"{kept}{sign}shop={shop}" for shop in ("ama-data", "ama-more")]
    with dashboard.owner(dashboard.owners.ama) as client:
        client.headers["Accept"] = "text/html"
        found, leads = _switches(client, f"{dashboard.address}{address}")
        assert (found, sorted(leads)) == (status, expected)
        if status == 200:
            assert {client.get(lead).status_code for lead in leads} == {200}


def test_there_is_no_switch_for_who_owns_one_shop_or_is_not_signed_in(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.kofi) as client:
        assert _switches(client, "/customers") == (200, [])
        assert _switches(client, "/customers?limit=0") == (422, [])
    with dashboard.visitor() as client:
        assert _switches(client, "/customers") == (401, [])
