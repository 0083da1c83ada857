"""Erasure if a phone can't be read: the e-mail says whose an event is, and events without either are counted."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ingest import Checkout, track
from ingest.privacy.access import answer_access_request
from ingest.privacy.person import UnknownPerson
from ingest.spool.file import SPOOL, Spool
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.integration.test_command import regulars
from tests.person import EMAIL, KEY, NAME, PHONE, checkout, erased, is_personal, person_order, traces
from tests.storefront import add_order, add_shop, fetch

pytestmark = pytest.mark.usefixtures("erasure_key")

UNREADABLE = "024 555 01"


@pytest.fixture
def shop(connection: Connection) -> UUID:
    """A shop in which the person has bought once."""
    shop = add_shop(connection)
    track(connection, checkout(shop, person_order(connection, shop)))
    return shop


def _spool(spool: Spool, shop: UUID, order: UUID | None = None, **facts: str | None) -> int:
    """Spools an event with an unreadable phone, of an unknown order by default; returns its number."""
    person = {"phone": UNREADABLE, "email": EMAIL, "customer_name": NAME} | facts
    spool.add("checkout", Checkout(shop_id=shop, order_id=order or uuid4(), **person).model_dump_json())
    return spool.everything()[-1].event_id


def _other_customer(connection: Connection, shop: UUID, *, email: str, phone: str = "0203334444") -> UUID:
    order = add_order(connection, shop, phone=phone)
    connection.execute("update shop_orders set customer_email = %s where id = %s", [email, order])
    track(connection, Checkout(shop_id=shop, order_id=order, phone=phone, email=email))
    return order


@pytest.mark.parametrize("email", [EMAIL, EMAIL.upper(), f"  {EMAIL.title()} "])
def test_a_spooled_event_of_an_unknown_order_and_an_unreadable_phone_is_found_by_its_email(
    connection: Connection, spool: Spool, shop: UUID, email: str
) -> None:
    _spool(spool, shop, email=email)
    done = erased(connection, spool)
    assert (done.events, done.unresolved) == (1, ())
    assert traces(connection, spool) == []
    assert UNREADABLE not in spool.everything()[0].event


def test_an_email_that_only_a_spooled_event_of_theirs_holds_is_theirs_too(
    connection: Connection, spool: Spool, shop: UUID
) -> None:
    _spool(spool, shop, phone=PHONE, email="efua@work.example")
    _spool(spool, shop, email="efua@work.example")
    done = erased(connection, spool)
    assert (done.events, done.unresolved) == (2, ())
    assert traces(connection, spool) == []
    assert "work.example" not in str(spool.everything())


def test_failures_conflicts_and_debris_are_found_by_the_email_too(
    connection: Connection, spool: Spool, shop: UUID
) -> None:
    theirs = person_order(connection, shop, phone=UNREADABLE)
    disputed = _other_customer(connection, shop, email="kojo@example.org")
    connection.execute(
        "insert into regulars.failures (order_id, shop_id, event, reason) values (%s, %s, %s, 'a deadlock')",
        [theirs, shop, checkout(shop, theirs, phone=UNREADABLE).model_dump_json()],
    )
    assert track(connection, checkout(shop, disputed, phone=UNREADABLE)).outcome == "conflict"
    spool.add("checkout", f'half an entry: "email": "{EMAIL}", "customer_name": "{NAME}"')
    done = erased(connection, spool)
    assert (done.orders, done.events, done.unresolved) == (2, 3, ())
    assert traces(connection, spool) == []
    assert fetch(connection, "select customer_phone from shop_orders where id = %s", disputed) == [("0203334444",)]


def test_an_email_that_another_customer_shares_erases_nothing(connection: Connection, spool: Spool, shop: UUID) -> None:
    _other_customer(connection, shop, email=EMAIL.upper())
    number = _spool(spool, shop, customer_name="Kojo")
    done = erased(connection, spool)
    assert (done.events, done.unresolved) == (0, (number,))
    assert "Kojo" in spool.everything()[0].event


def test_a_readable_phone_decides_and_not_the_email(connection: Connection, spool: Spool, shop: UUID) -> None:
    order = _other_customer(connection, shop, email="kojo@example.org")
    _spool(spool, shop, order, phone="0203334444", customer_name="Kojo")
    before = spool.everything()
    assert erased(connection, spool).events == 0
    assert spool.everything() == before


def test_another_shops_events_are_neither_erased_nor_counted(connection: Connection, spool: Spool, shop: UUID) -> None:
    del shop
    other = add_shop(connection, "kofi-data")
    _spool(spool, other)
    before = spool.everything()
    assert (erased(connection, spool).unresolved, spool.everything()) == ((), before)


def test_events_that_may_be_the_persons_or_anybodys_are_listed_by_number(
    connection: Connection, spool: Spool, shop: UUID
) -> None:
    known = _other_customer(connection, shop, email="kojo@example.org")
    nobodys = add_order(connection, shop, phone=None)
    expected = (
        _spool(spool, shop, email=None),
        _spool(spool, shop, email="someone@example.org"),
        _spool(spool, shop, email=None, customer_name=None),
        _spool(spool, shop, nobodys, email=None),
    )
    _spool(spool, shop, known, email=None)  # Kojo's order says that it is his
    _spool(spool, shop, phone=None, email=None, customer_name=None)  # holds no identity
    _spool(spool, shop, phone="0203334444", email=None)
    done = erased(connection, spool)
    assert (done.events, done.unresolved) == (0, expected)
    # Erased events hold no identity, and are not counted the next time.
    assert erased(connection, spool).unresolved == expected


def test_an_unknown_persons_error_lists_events_that_may_be_theirs(
    connection: Connection, spool: Spool, shop: UUID
) -> None:
    number = _spool(spool, shop, email=None)
    for call in (
        lambda: erased(connection, spool, phone="0245550199"),
        lambda: answer_access_request(connection, shop="ama-data", phone="0245550199", key=None, spool=spool),
    ):
        with pytest.raises(UnknownPerson, match=rf"nothing about that phone\. Spooled .*: 1\. .* Numbers: {number}\."):
            call()


@pytest.mark.usefixtures("takes_long")
def test_the_command_lists_how_many_events_and_which_numbers(
    migrated: Database, connection: Connection, shop: UUID, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / SPOOL)
    numbers = [_spool(spool, shop, email=None) for _ in range(25)]
    person = ["--shop", "ama-data", "--phone", PHONE]
    said = regulars("erase", *person, home=tmp_path, database_url=migrated.conninfo, REGULARS_ERASURE_KEY=KEY)
    assert (said.returncode, said.stderr) == (0, "")
    assert "Spooled events that may belong to this person or to anybody: 25." in said.stdout
    assert f"Numbers: {', '.join(map(str, numbers[:20]))}, …." in said.stdout
    assert not is_personal(said.stdout)
    del connection
