"""Erasure: nothing personal is left anywhere, the totals stay, and nothing brings the person back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import sql
from pydantic import SecretStr

from flows.steps import run_refresh
from ingest import Checkout, track
from ingest.database import Connection
from ingest.erasure import Erased, ErasureBusy, erase
from ingest.errors import InputError, SettingError, UnknownShop
from ingest.export import Export, OrderRow
from ingest.failures import retry_failures
from ingest.linking import link
from ingest.loading import load_orders
from ingest.person import UnknownPerson
from ingest.replay import replay
from ingest.spool import SPOOL, Spool
from tests.conftest import Database
from tests.snapshot import snapshot
from tests.storefront import add_order, add_shop, fetch
from tests.unit.test_export import order as export_row
from tests.unit.test_export import write

KEY = "a key for tests, which is long enough"
PHONE = "0245550123"
E164 = "+233245550123"
EMAIL = "efua.k@example.org"
NAME = "Efua Koomson"
IDENTITY = {"phone": PHONE, "email": EMAIL, "customer_name": NAME}
SPELLINGS = ["0245550123", "024 555 0123", "+233245550123", "00233-24-555-0123", "０２４５５５０１２３"]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_ERASURE_KEY", KEY)


@pytest.fixture
def connection(migrated: Database) -> Iterator[Connection]:
    with migrated.connect() as connection:
        yield connection


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / SPOOL)


def erased(
    connection: Connection, spool: Spool, *, shop: str = "ama-data", phone: str = PHONE, key: str = KEY
) -> Erased:
    return erase(connection, shop=shop, phone=phone, key=SecretStr(key), spool=spool, by="Yaw")


def person_order(connection: Connection, shop: UUID, *, phone: str | None = PHONE, **facts: Any) -> UUID:
    order = add_order(connection, shop, phone=phone, **facts)
    connection.execute(
        "update shop_orders set customer_email = %s, customer_name = %s where id = %s", [EMAIL, NAME, order]
    )
    return order


def checkout(shop: UUID, order: UUID, **facts: Any) -> Checkout:
    return Checkout(shop_id=shop, order_id=order, **({"slug": "ama-data"} | IDENTITY | facts))


def a_past(connection: Connection, shop: UUID, spool: Spool) -> dict[str, UUID]:
    """One person in every place that holds people, and somebody else."""
    orders = {
        "tracked": person_order(connection, shop),
        "untracked": person_order(connection, shop, phone="+233 24 555 0123"),
        "failed": person_order(connection, shop, phone=None),
        "spooled": person_order(connection, shop, phone=None),
        "moved here": person_order(connection, shop, phone="0201112222"),
        "disputed": add_order(connection, shop, phone="0203334444"),
    }
    track(connection, checkout(shop, orders["tracked"]))
    track(connection, checkout(shop, orders["tracked"], slug="promo", phone="0209998888"))
    track(connection, checkout(shop, orders["moved here"], phone="0201112222"))
    connection.execute("update shop_orders set customer_phone = %s where id = %s", [PHONE, orders["moved here"]])
    track(connection, Checkout(shop_id=shop, order_id=orders["disputed"], phone="0203334444", slug="a"))
    track(connection, checkout(shop, orders["disputed"], slug="b"))
    connection.execute("delete from shop_customers where phone_number = '+233201112222'")
    connection.execute(
        "insert into regulars.failures (order_id, shop_id, event, reason) values (%s, %s, %s, 'a deadlock')",
        [orders["failed"], shop, checkout(shop, orders["failed"]).model_dump_json()],
    )
    spool.add("checkout", checkout(shop, orders["spooled"]).model_dump_json())
    spool.add("checkout", f'half an entry: "phone": "{PHONE}", {EMAIL} {NAME}')
    spool.add("checkout", Checkout(shop_id=shop, order_id=uuid4(), phone="0203334444").model_dump_json())
    return orders


def traces(connection: Connection, spool: Spool) -> list[str]:
    """Where the person's phone, e-mail or name stands: every column of every table, and the spool's bytes."""
    found = []
    columns = fetch(
        connection,
        "select columns.table_schema, columns.table_name, columns.column_name from information_schema.columns "
        "inner join information_schema.tables using (table_schema, table_name) "
        "where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') "
        "and data_type in ('text', 'jsonb', 'json', 'character varying', 'bytea', 'ARRAY')",
    )
    assert len(columns) > 30
    for schema, table, column in columns:
        values = connection.execute(
            sql.SQL("select {}::text from {}.{}").format(*map(sql.Identifier, (str(column), str(schema), str(table))))
        ).fetchall()
        text = " ".join(str(value) for (value,) in values)
        if is_personal(text):
            found.append(f"{schema}.{table}.{column}")
    for path in spool.path.parent.glob(f"{spool.path.name}*"):
        if is_personal(path.read_bytes().decode("latin-1")):
            found.append(path.name)
    return sorted(found)


def is_personal(text: str) -> bool:
    bare = text.translate(str.maketrans("", "", " -"))
    return "245550123" in bare or EMAIL in text or NAME in text


@pytest.mark.parametrize("phone", SPELLINGS)
def test_any_spelling_erases_and_nothing_personal_is_left_anywhere(
    connection: Connection, spool: Spool, phone: str
) -> None:
    shop = add_shop(connection)
    orders = a_past(connection, shop, spool)
    assert traces(connection, spool) == [
        "public.shop_customers.customer_name", "public.shop_customers.email", "public.shop_customers.phone_number",
        "public.shop_orders.customer_email", "public.shop_orders.customer_name", "public.shop_orders.customer_phone",
        "regulars.conflicts.event", "regulars.failures.event", SPOOL,
    ]  # fmt: skip
    done = erased(connection, spool, phone=phone)
    assert (done.was_erased, done.erased_by, done.orders, done.events) == (False, "Yaw", 5, 5)
    assert traces(connection, spool) == []
    # The orders are one customer's still; the other's are as they were.
    (customer,) = fetch(connection, "select id from shop_customers where erased_at is not null")
    assert fetch(connection, "select id from shop_orders where shop_customer_id = %s order by id", *customer) == sorted(
        (orders[name],) for name in ("tracked", "untracked", "failed", "spooled", "moved here")
    )
    assert fetch(connection, "select customer_phone from shop_orders where id = %s", orders["disputed"]) == [
        ("0203334444",)
    ]
    assert "0203334444" in spool.everything()[1].event
    assert fetch(connection, "select * from regulars.changed_phones") == []
    assert fetch(connection, "select event ->> 'slug' from regulars.conflicts order by 1") == [("b",), ("promo",)]


def test_the_totals_stay_through_a_refresh_and_a_rebuild(built: Database, spool: Spool) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        a_past(connection, shop, spool)
        replay(connection, spool)
        run_refresh(built.settings)
        before = snapshot(connection)
        assert before["customers"]
        erased(connection, spool)
        run_refresh(built.settings)
        assert snapshot(connection) == before
        run_refresh(built.settings, mode="rebuild")
        assert snapshot(connection) == before
        assert traces(connection, spool) == []


def test_nothing_that_is_told_again_brings_the_person_back(
    connection: Connection, spool: Spool, tmp_path: Path
) -> None:
    shop = add_shop(connection)
    orders = a_past(connection, shop, spool)
    rows = [
        export_row(id=str(order), customer_phone=PHONE, customer_email=EMAIL, customer_name=NAME)
        for order in orders.values()
    ][:5]
    # Orders that were never here, in another spelling, as an old export and a restored backup have them.
    rows.append(export_row(customer_phone="+233 24 555 0123", customer_email=EMAIL, customer_name=NAME))
    # An order of theirs, for which the export has a phone that can't be read, or another's.
    rows.append(rows[0] | {"customer_phone": "12"})
    rows.append(rows[1] | {"customer_phone": "0207776666"})
    export = write(tmp_path / "orders.csv", *rows)
    erased(connection, spool)
    ((customer,),) = fetch(connection, "select id from shop_customers where erased_at is not null")
    phones = fetch(connection, "select phone_number from shop_customers order by 1")

    def assert_still_gone() -> None:
        assert traces(connection, spool) == []
        assert fetch(connection, "select phone_number from shop_customers order by 1") == phones

    # Another machine's spool, replayed.
    elsewhere = Spool(tmp_path / "elsewhere" / SPOOL)
    never_seen = add_order(connection, shop, phone=None)
    for order in [*orders.values(), never_seen]:
        elsewhere.add("checkout", checkout(shop, order).model_dump_json())
        elsewhere.add("checkout", checkout(shop, order, slug="other").model_dump_json())
    assert replay(connection, elsewhere).left == 0
    assert_still_gone()
    assert fetch(connection, "select shop_customer_id from shop_orders where id = %s", never_seen) == [(customer,)]

    replay(connection, spool)
    retry_failures(connection)
    link(connection)
    assert_still_gone()
    assert fetch(connection, "select count(*) from regulars.failures") == [(0,)]

    loaded = load_orders(connection, Export(export, OrderRow))
    assert loaded.rejects == []
    assert_still_gone()
    assert load_orders(connection, Export(export, OrderRow)).written == 0
    link(connection)
    assert_still_gone()
    assert fetch(connection, "select count(*) from shop_orders where shop_customer_id = %s", customer) == [(7,)]

    # What the storefront writes past us is taken away with the next link.
    person_order(connection, shop)
    connection.execute("update shop_orders set customer_phone = %s where id = %s", [PHONE, orders["tracked"]])
    link(connection)
    assert_still_gone()
    assert fetch(connection, "select count(*) from shop_orders where shop_customer_id = %s", customer) == [(8,)]
    assert fetch(connection, "select count(*) from regulars.unreadable_phones") == [(0,)]


def test_a_failure_from_before_the_erasure_is_settled_without_the_person(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    person_order(connection, shop)
    erased(connection, spool)
    order = add_order(connection, shop, phone=None)
    connection.execute(
        "insert into regulars.failures (order_id, shop_id, event, reason) values (%s, %s, %s, 'a deadlock')",
        [order, shop, checkout(shop, order).model_dump_json()],
    )
    assert retry_failures(connection) == 1
    assert traces(connection, spool) == []
    assert fetch(connection, "select count(distinct shop_customer_id), count(shop_customer_id) from shop_orders") == [
        (1, 2)
    ]


def test_without_the_key_an_old_checkout_is_kept_until_it_is_there(
    connection: Connection, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = add_shop(connection)
    person_order(connection, shop)
    erased(connection, spool)
    old = add_order(connection, shop, phone=None)
    for wrong in ("", "another key, which is long enough too"):
        monkeypatch.setenv("REGULARS_ERASURE_KEY", wrong)
        assert track(connection, checkout(shop, old)).outcome == "failed"
    assert "REGULARS_ERASURE_KEY" in str(fetch(connection, "select reason from regulars.failures"))
    monkeypatch.setenv("REGULARS_ERASURE_KEY", KEY)
    assert retry_failures(connection) == 1
    assert traces(connection, spool) == []

    person_order(connection, shop)
    monkeypatch.setenv("REGULARS_ERASURE_KEY", "")
    with pytest.raises(SettingError, match="token_urlsafe"):
        link(connection)
    with pytest.raises(SettingError, match="earlier erasures"):
        erased(connection, spool, key="another key, which is long enough too")


def test_a_purchase_after_the_erasure_makes_a_new_customer_whose_past_stays_erased(
    connection: Connection, spool: Spool
) -> None:
    shop = add_shop(connection)
    first = person_order(connection, shop)
    erased(connection, spool)
    ((gone,),) = fetch(connection, "select id from shop_customers")
    new = person_order(connection, shop, at=datetime.now(UTC) + timedelta(seconds=1))
    tracked = track(connection, checkout(shop, new))
    assert (tracked.outcome, tracked.customer_id == gone) == ("new_customer", False)
    assert track(connection, checkout(shop, new, slug="promo")).outcome == "conflict"
    assert fetch(connection, "select email, customer_name from shop_customers where phone_number = %s", E164) == [
        (EMAIL, NAME)
    ]
    # An old order that comes only now is not the new customer's.
    old = add_order(connection, shop, phone=None)
    assert track(connection, checkout(shop, old)).customer_id == gone
    person_order(connection, shop)
    link(connection)
    assert fetch(connection, "select shop_customer_id, count(*) from shop_orders group by 1 order by 2") == [
        (tracked.customer_id, 1), (gone, 3),
    ]  # fmt: skip
    assert track(connection, checkout(shop, first)).customer_id == gone

    # And erased once more, by a proof of its own.
    again = erased(connection, spool)
    assert (again.was_erased, again.orders) == (False, 1)
    assert traces(connection, spool) == []
    assert fetch(connection, "select count(*) from regulars.erasures") == [(2,)]


def test_another_shops_customer_of_the_same_phone_is_untouched(connection: Connection, spool: Spool) -> None:
    mine, theirs = add_shop(connection), add_shop(connection, "kofi-data")
    for shop in (mine, theirs):
        order = person_order(connection, shop)
        track(connection, checkout(shop, order))
        track(connection, checkout(shop, order, slug="promo"))
        spool.add("checkout", checkout(shop, order).model_dump_json())
    everything = (
        "select c.*, o.*, t.*, f.event from shop_customers c join shop_orders o on o.shop_customer_id = c.id "
        "join customer_tracking t on t.shop_order_id = o.id join regulars.conflicts f on f.order_id = o.id "
        "where c.shop_id = %s"
    )
    before = fetch(connection, everything, theirs), spool.everything()[1]
    assert before[0]
    erased(connection, spool)
    assert (fetch(connection, everything, theirs), spool.everything()[1]) == before
    old = person_order(connection, theirs)
    assert track(connection, checkout(theirs, old)).outcome == "returning_customer"


def test_twice_says_when_it_was_and_cleans_up_what_is_left(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    track(connection, checkout(shop, order := person_order(connection, shop)))
    first = erased(connection, spool)
    spool.add("checkout", checkout(shop, order).model_dump_json())
    second = erased(connection, spool, phone="+233 24 555 0123")
    assert (second.was_erased, second.erased_at, second.events) == (True, first.erased_at, 1)
    assert traces(connection, spool) == []
    assert fetch(connection, "select count(*) from regulars.erasures") == [(1,)]


def test_what_was_forgotten_long_ago_leaves_the_spools_file_too(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    order = person_order(connection, shop)
    for _ in range(40):
        spool.add("checkout", checkout(shop, order).model_dump_json())
    # As a SQLite that leaves what is deleted in its free pages, and somebody else who has the file open.
    with closing(sqlite3.connect(spool.path)) as other:
        other.execute("pragma secure_delete = off")
        with other:
            other.execute("delete from events")
        assert SPOOL in traces(connection, spool)
        erased(connection, spool)
        assert traces(connection, spool) == []


def test_the_proof_holds_no_phone_and_changes_with_the_key_and_the_shop(connection: Connection, spool: Spool) -> None:
    hashes = set()
    for slug in ("ama-data", "kofi-data"):
        shop = add_shop(connection, slug)
        person_order(connection, shop)
        for each in (KEY, KEY + " but another"):
            connection.execute("begin")
            done = erased(connection, spool, shop=slug, key=each)
            ((phone_hash, at, by),) = fetch(
                connection, "select phone_hash, erased_at, erased_by from regulars.erasures where shop_id = %s", shop
            )
            hashes.add(phone_hash)
            assert (at, by) == (done.erased_at, "Yaw")
            connection.execute("rollback")
    assert {len(bytes(each)) for each in hashes} == {32}  # type: ignore[call-overload]
    assert len(hashes) == 4


def test_a_row_that_a_proof_stands_for_cannot_be_deleted(connection: Connection, spool: Spool) -> None:
    person_order(connection, add_shop(connection))
    erased(connection, spool)
    with pytest.raises(Exception, match="foreign key"):
        connection.execute("delete from shop_customers")


def test_an_erasure_that_fails_half_way_leaves_everything(
    connection: Connection, migrated: Database, spool: Spool
) -> None:
    shop = add_shop(connection)
    a_past(connection, shop, spool)
    before = traces(connection, spool)
    with migrated.connect() as other, other.transaction():
        other.execute("lock table regulars.conflicts in access exclusive mode")
        with pytest.raises(ErasureBusy, match="nothing was erased"):
            erased(connection, spool)
    assert traces(connection, spool) == before
    assert fetch(connection, "select count(*) from regulars.erasures") == [(0,)]


@pytest.mark.parametrize(
    ("shop", "phone", "error", "said"),
    [
        ("nobody", PHONE, UnknownShop, "no shop of that slug"),
        (PHONE, "ama-data", UnknownShop, "no shop of that slug"),
        ("ama-data", "0245550199", UnknownPerson, "nothing of that phone"),
        ("ama-data", "02455501234567", InputError, "can't be read as one of GH"),
    ],
)
def test_a_wrong_shop_or_phone_is_told_without_the_phone(
    connection: Connection, spool: Spool, shop: str, phone: str, error: type[Exception], said: str
) -> None:
    person_order(connection, add_shop(connection))
    with pytest.raises(error, match=said) as told:
        erased(connection, spool, shop=shop, phone=phone)
    assert "2455501" not in str(told.value)
    assert fetch(connection, "select count(*) from regulars.erasures") == [(0,)]
