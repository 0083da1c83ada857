"""Signing in from the storefront and by a link, once; and signing out, for good."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from jwt.algorithms import OKPAlgorithm
from psycopg import sql

from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import BUTTON_LASTS, SESSION, SIGN_IN, Keys, NotSignedIn
from tests.api import bearer
from tests.conftest import NAME, Database, Server
from tests.integration.test_command import regulars
from tests.owners import SECRET, TwoOwners, copy_of, settings_of, two_owners
from tests.pages import Seen
from tests.proxy import Proxy
from tests.served import served
from tests.storefront import fetch

PERSON = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}
STOREFRONT = "https://shop.example/dashboard?from=regulars"


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture(scope="module")
def copied(server: Server, owners: TwoOwners) -> Iterator[Database]:
    with copy_of(server, owners, name=f"{NAME}_sign_in") as database:
        yield database


@pytest.fixture(scope="module")
def settings(copied: Database) -> Settings:
    return settings_of(copied, sign_in_url=STOREFRONT)


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[str]:
    with served(create_app(settings), headers={}) as client:
        yield str(client.base_url)


def _browser(address: str, session: str | None = None) -> httpx.Client:
    return httpx.Client(base_url=address, headers=PERSON, cookies={COOKIE: session} if session else None, timeout=30)


def _link(settings: Settings, owner: UUID, *, is_reusable: bool = False) -> str:
    return f"/sign-in?token={Keys(settings).sign_in_link_token(str(owner), is_reusable=is_reusable)}"


def _path(url: str) -> str:
    return httpx.URL(url).raw_path.decode()


def test_a_button_of_the_storefront_signs_its_owner_in_with_one_click_and_once(
    address: str, settings: Settings, owners: TwoOwners
) -> None:
    with httpx.Client(base_url=address) as storefront:
        answer = storefront.post("/session", headers=bearer(settings, owners.kofi))
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    url = answer.json()["url"]
    assert url == answer.headers["location"]
    assert url.startswith(f"{settings.dashboard_url}/sign-in?token=")
    link = Keys(settings).verify(url.partition("=")[2], audience=SIGN_IN)
    assert link.token is not None
    assert BUTTON_LASTS.total_seconds() <= 120
    assert abs(link.token.expires_at.timestamp() - _seconds(answer.json()["expires_at"])) <= 1
    with _browser(address) as browser, _browser(address) as another:
        opened = browser.get(_path(url))
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        assert "kofi-data" in browser.get("/customers.csv").headers["content-disposition"]
        again = another.get(_path(url))
        assert (again.status_code, "set-cookie" in again.headers) == (401, False)
        assert another.get("/").status_code == 401
        # The owner who reloads is signed in already.
        reloaded = browser.get(_path(url))
        assert (reloaded.status_code, "set-cookie" in reloaded.headers) == (303, False)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize("token", [None, "nonsense", "session", "link"])
def test_no_other_token_than_the_apis_opens_a_session(
    address: str, settings: Settings, owners: TwoOwners, token: str | None
) -> None:
    keys = Keys(settings)
    tokens = {"session": keys.session(str(owners.kofi)), "link": keys.sign_in_link_token(str(owners.kofi))}
    shown = {} if token is None else {"Authorization": f"Bearer {tokens.get(token, token)}"}
    answer = httpx.post(f"{address}/session", headers=shown, cookies={COOKIE: tokens["session"]})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert "url" not in answer.json()


def test_of_many_who_open_a_link_at_once_one_is_signed_in(address: str, settings: Settings, owners: TwoOwners) -> None:
    link, ready = _link(settings, owners.kofi), threading.Barrier(8)

    def open_link(_: int) -> int:
        with _browser(address) as browser:
            ready.wait()
            return browser.get(link).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(open_link, range(8))) == [303] + [401] * 7


def test_a_chat_that_looks_at_a_link_does_not_use_it_up(address: str, settings: Settings, owners: TwoOwners) -> None:
    link = _link(settings, owners.kofi)
    with httpx.Client(base_url=address) as chat:
        for looked in (
            chat.get(link),
            chat.head(link, headers=PERSON),
            chat.get(link, headers=PERSON | {"Sec-Purpose": "prefetch"}),
            chat.get(link, headers={"Sec-Fetch-Dest": "image"}),
        ):
            assert (looked.status_code, "set-cookie" in looked.headers) == (200, False)
            assert looked.headers["referrer-policy"] == "no-referrer"
        # An old browser doesn't say what it opens the link for: its reader presses the button.
        form = {
            held["name"]: held["value"]
            for tag, held in Seen(chat.get(link).text).elements
            if tag == "input" and held["name"]
        }
        assert chat.get("/sign-in", params=form).status_code == 303  # type: ignore[arg-type]
        assert chat.get("/").status_code == 200
    with _browser(address) as browser:
        assert browser.get(link).status_code == 401


def test_a_reusable_link_signs_in_again_and_again(address: str, settings: Settings, owners: TwoOwners) -> None:
    link = _link(settings, owners.kofi, is_reusable=True)
    for _ in range(2):
        with httpx.Client(base_url=address) as browser:
            assert browser.get(link).status_code == 303
            assert browser.get("/").status_code == 200


def test_the_page_without_a_session_leads_to_the_storefront(address: str, copied: Database) -> None:
    with _browser(address) as browser:
        seen = Seen(browser.get("/retention").text)
        assert "Open Regulars from your shop’s dashboard" in seen.text
        assert STOREFRONT in seen.leads
        assert "regulars token" not in seen.text
    with served(create_app(settings_of(copied)), headers=PERSON) as without:
        seen = Seen(without.get("/").text)
    assert "Open Regulars from your shop’s dashboard" in seen.text
    assert not [lead for lead in seen.leads if lead.startswith("http")]


def test_who_signed_out_stays_out_in_every_process_and_after_a_restart(
    address: str, settings: Settings, owners: TwoOwners
) -> None:
    with served(create_app(settings), headers={}) as second, _browser(address) as browser:
        browser.get(_link(settings, owners.kofi))
        session = browser.cookies[COOKIE]
        with _browser(str(second.base_url), session) as elsewhere:
            assert elsewhere.get("/").status_code == 200
            answer = browser.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
            assert (answer.status_code, "You are signed out" in answer.text) == (200, True)
            assert answer.headers["set-cookie"].startswith(f'{COOKIE}="";')
            # As a thief of the cookie would.
            for path in ("/", "/customers", "/customers.csv", "/charts/links.svg", "/retention"):
                assert elsewhere.get(path).status_code == 401, path
    with served(create_app(settings), headers={}) as restarted, _browser(str(restarted.base_url), session) as thief:
        assert thief.get("/customers").status_code == 401
        # A session of the same owner that was not signed out goes on.
        with _browser(address, Keys(settings).session(str(owners.kofi))) as other:
            assert other.get("/").status_code == 200


@pytest.mark.parametrize(
    ("sent", "is_out"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "HERE"}, False),
        ({"Origin": "HERE"}, True),
        ({"Origin": "http://127.0.0.1:8086"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example:8086"}, False),
        ({"Origin": "null"}, False),
    ],
    ids=str,
)
def test_another_sites_form_signs_nobody_out(
    address: str, settings: Settings, owners: TwoOwners, sent: dict[str, str], is_out: bool
) -> None:
    session = Keys(settings).session(str(owners.kofi))
    headers = {name: address if value == "HERE" else value for name, value in sent.items()}
    answer = httpx.post(f"{address}/sign-out", headers=headers, cookies={COOKIE: session})
    assert answer.status_code == (200 if is_out else 403)
    assert ("set-cookie" in answer.headers) == is_out
    with _browser(address, session) as browser:
        assert browser.get("/").status_code == (401 if is_out else 200)


@contextmanager
def _cut_off(settings: Settings, copied: Database) -> Iterator[tuple[Proxy, str]]:
    with Proxy(copied.conninfo) as proxy:
        behind = settings.model_copy(update={"database_url": proxy.conninfo, "dashboard_timeout_ms": 3000})
        with served(create_app(behind), headers={}) as client:
            yield proxy, str(client.base_url)


def test_without_the_database_nobody_is_signed_in_or_out_and_the_page_says_so(
    settings: Settings, copied: Database, owners: TwoOwners
) -> None:
    link, session = _link(settings, owners.kofi), Keys(settings).session(str(owners.kofi))
    with _cut_off(settings, copied) as (proxy, address), _browser(address) as browser:
        proxy.refuse()
        answer = browser.get(link)
        assert (answer.status_code, "set-cookie" in answer.headers) == (503, False)
        assert "You can’t be signed in now" in answer.text
        assert answer.headers["retry-after"]
        with _browser(address, session) as signed_in:
            out = signed_in.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
            assert (out.status_code, "set-cookie" in out.headers) == (503, False)
            assert "You are still signed in" in out.text
            assert signed_in.get("/").status_code == 503
            proxy.listen_again()
            # Neither was used up.
            assert browser.get(link).status_code == 303
            assert signed_in.get("/").status_code == 200


def test_no_token_and_no_id_of_one_is_stored(
    address: str, settings: Settings, copied: Database, owners: TwoOwners
) -> None:
    token = Keys(settings).sign_in_link_token(str(owners.kofi))
    with _browser(address) as browser:
        browser.get("/sign-in", params={"token": token})
        session = browser.cookies[COOKIE]
        browser.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
    with copied.connect() as connection:
        rows = fetch(connection, "select encode(token_hash, 'hex'), to_jsonb(t)::text from regulars.ended_tokens as t")
    stored = " ".join(str(text) for row in rows for text in row)
    keys = Keys(settings)
    ended = [keys.verify(token, audience=SIGN_IN).token, keys.verify(session, audience=SESSION).token]
    assert {each.id_hash.hex() for each in ended if each} <= {str(row[0]) for row in rows}
    for secret in (token, session):
        assert not any(part in stored for part in secret.split("."))


@pytest.fixture
def dashboard_login(copied: Database) -> Iterator[str]:
    """The connection string of the login that the documents recommend for the dashboard."""
    name = "regulars_test_sign_in"
    with copied.connect() as admin:
        admin.execute(f"create role {name} login password '{name}' noinherit in role regulars_owner")
        try:
            yield psycopg.conninfo.make_conninfo(copied.conninfo, user=name, password=name)
        finally:
            admin.execute(f"drop role {name}")


def test_a_dashboard_that_may_only_read_as_owners_signs_in_and_out(
    copied: Database, owners: TwoOwners, dashboard_login: str
) -> None:
    with psycopg.connect(dashboard_login, autocommit=True) as theirs:
        theirs.execute("alter role current_user set default_transaction_read_only = on")
    settings = settings_of(copied, dashboard_database_url=dashboard_login)
    with served(create_app(settings), headers=PERSON) as browser:
        assert browser.get(_link(settings, owners.kofi)).status_code == 303
        session = browser.cookies[COOKIE]
        assert browser.get("/").status_code == 200
        assert browser.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
        browser.cookies.set(COOKIE, session)
        assert browser.get("/").status_code == 401


def _as_owner(connection: psycopg.Connection[tuple[object, ...]], sub: str, statement: str) -> object:
    with connection.transaction():
        connection.execute("set local role regulars_owner")
        connection.execute(
            "select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{sub}"}}' if sub else "{}"]
        )
        row = connection.execute(statement).fetchone()  # type: ignore[arg-type]
        return row[0] if row else None


def test_an_owner_ends_tokens_of_their_own_not_for_long_and_not_without_end(copied: Database) -> None:
    end = "select dashboard.end_token(sha256('{}'), now() + interval '{}')"
    with copied.connect() as connection:
        assert _as_owner(connection, "yaa", end.format("a", "1 hour")) is True
        assert _as_owner(connection, "yaa", end.format("a", "1 hour")) is False
        assert _as_owner(connection, "yaa", "select dashboard.is_token_ended(sha256('a'))") is True
        assert _as_owner(connection, "yaa", "select dashboard.is_token_ended(sha256('b'))") is False
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _as_owner(connection, "", end.format("c", "1 hour"))
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            _as_owner(connection, "yaa", end.format("c", "2 days"))
        with pytest.raises(psycopg.errors.CheckViolation):
            _as_owner(connection, "yaa", "select dashboard.end_token('short', now())")
        many = "select count(dashboard.end_token(sha256(n::text::bytea), now() + interval '1 hour')) from {} as n"
        assert _as_owner(connection, "yaa", many.format("generate_series(1, 999)")) == 999
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            _as_owner(connection, "yaa", end.format("one too many", "1 hour"))
        assert _as_owner(connection, "efua", end.format("of efua", "1 hour")) is True
        assert fetch(connection, "select owner from regulars.ended_tokens where token_hash = sha256('of efua')") == [
            ("efua",)
        ]


def test_what_has_expired_is_removed(copied: Database) -> None:
    with copied.connect() as connection:
        connection.execute(
            "insert into regulars.ended_tokens select sha256(n::text::bytea), 'adwoa', now() - interval '6 minutes' "
            "from generate_series(2001, 2010) as n"
        )
        _as_owner(connection, "adwoa", "select dashboard.end_token(sha256('of adwoa'), now() + interval '1 minute')")
        assert fetch(connection, "select count(*) from regulars.ended_tokens where owner = 'adwoa'") == [(1,)]


@pytest.mark.parametrize("role", ["regulars_checkout", "regulars_analyst", "public"])
def test_nobody_but_an_owner_ends_a_token_and_nobody_touches_the_table(copied: Database, role: str) -> None:
    with copied.connect() as connection:
        for function in ("end_token(bytea, timestamptz)", "is_token_ended(bytea)"):
            may = "select has_function_privilege(%s, %s, 'execute')"
            assert connection.execute(may, ["regulars_owner", f"dashboard.{function}"]).fetchone() == (True,)
            if role != "public":
                assert connection.execute(may, [role, f"dashboard.{function}"]).fetchone() == (False,)
        granted = "select count(*) from pg_class, aclexplode(relacl) where oid = %s::regclass and grantee <> relowner"
        assert connection.execute(granted, ["regulars.ended_tokens"]).fetchone() == (0,)


def test_a_database_that_was_not_migrated_signs_nobody_in_and_the_command_says_so(
    server: Server, owners: TwoOwners
) -> None:
    with copy_of(server, owners, name=f"{NAME}_behind") as database:
        settings = settings_of(database)
        with database.connect() as connection:
            connection.execute("drop function dashboard.end_token, dashboard.is_token_ended")
        with served(create_app(settings), headers=PERSON) as browser:
            assert browser.get(_link(settings, owners.kofi)).status_code == 503
            browser.cookies.set(COOKIE, Keys(settings).session(str(owners.kofi)))
            assert browser.get("/").status_code == 503
        said = regulars("dashboard", home=settings.home, database_url=database.conninfo, REGULARS_JWT_SECRET=SECRET)
        assert (said.returncode, "regulars migrate" in said.stderr) == (1, True)


def test_the_commands_link_works_once_or_says_that_it_is_reusable(address: str, copied: Database) -> None:
    for options, again, said in ((["--reusable"], 303, "any number of times"), ([], 401, "once")):
        printed = regulars(
            "token", "--shop", "kofi-data", *options,
            home=copied.settings.home, database_url=copied.conninfo, REGULARS_JWT_SECRET=SECRET,
        )  # fmt: skip
        assert said in printed.stderr
        for status in (303, again):
            with _browser(address) as browser:
                assert browser.get(_path(printed.stdout.strip())).status_code == status, options


def test_a_read_asks_whether_the_session_was_ended_without_a_round_trip_more(
    settings: Settings, owners: TwoOwners, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    execute = psycopg.Connection.execute

    def record(self: object, query: object, *arguments: object, **options: object) -> object:
        sent.append(query.as_string() if isinstance(query, sql.Composable) else str(query))
        return execute(self, query, *arguments, **options)  # type: ignore[arg-type]

    reader = Reader(settings)
    reader.open()
    keys = Keys(settings)
    signed_in = keys.verify(keys.session(str(owners.kofi)), audience=SESSION)
    by_token = keys.verify(keys.api_token(str(owners.kofi), lasts=BUTTON_LASTS))
    monkeypatch.setattr(psycopg.Connection, "execute", record)
    try:
        counts = []
        for owner in (signed_in, by_token):
            sent.clear()
            with reader.as_owner(owner):
                pass
            counts.append(len(sent))
            assert any("is_token_ended" in each for each in sent) == (owner is signed_in)
        assert counts[0] == counts[1]
        assert reader.end_token(signed_in)
        with pytest.raises(NotSignedIn), reader.as_owner(signed_in):
            pass
    finally:
        reader.close()
    with pytest.raises(NotLoaded):
        reader.end_token(signed_in)


def test_a_session_of_a_service_without_a_secret_is_a_501(tmp_path: Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [json.loads(OKPAlgorithm.to_jwk(private.public_key())) | {"alg": "EdDSA"}]}))
    settings = Settings(DATABASE_URL="host=127.0.0.1 port=1", home=tmp_path, jwks_file=file)
    with served(create_app(settings), headers={}) as client:
        claims = {"sub": "ama", "aud": "authenticated", "exp": int(time.time()) + 60}
        token = jwt.encode(claims, private, algorithm="EdDSA")
        answer = client.post("/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 501
    assert "REGULARS_JWT_SECRET is not set" in answer.json()["detail"]
