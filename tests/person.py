"""A person of a shop in every place that holds personal data, and the traces that are left there."""

from typing import Any
from uuid import UUID, uuid4

from psycopg import sql
from pydantic import SecretStr

from ingest import Checkout, track
from ingest.privacy.erasure import Erased, erase
from ingest.spool.file import Spool
from ingest.storage.connections import Connection
from tests.storefront import add_order, fetch

KEY = "a key for tests, which is long enough"
PHONE = "0245550123"
E164 = "+233245550123"
EMAIL = "efua.k@example.org"
NAME = "Efua Koomson"
IDENTITY = {"phone": PHONE, "email": EMAIL, "customer_name": NAME}
ORIGIN = {
    "referrer": f"https://wa.me/{E164[1:]}?text={EMAIL} {NAME}",
    "utm_source": PHONE, "utm_medium": EMAIL, "utm_campaign": f"chat with {E164}",
}  # fmt: skip
"""Where a visit came from, in texts that name the person."""
SPELLINGS = ["0245550123", "024 555 0123", "+233245550123", "00233-24-555-0123", "０２４５５５０１２３"]


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
    return Checkout(shop_id=shop, order_id=order, **({"slug": "ama-data"} | IDENTITY | ORIGIN | facts))


def a_past(connection: Connection, shop: UUID, spool: Spool) -> dict[str, UUID]:
    """One person in every place that holds personal data, and another person."""
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
    connection.execute("delete from regulars.customers where phone_number = '+233201112222'")
    connection.execute(
        "insert into regulars.failures (order_id, shop_id, event, reason) values (%s, %s, %s, 'a deadlock')",
        [orders["failed"], shop, checkout(shop, orders["failed"]).model_dump_json()],
    )
    spool.add("checkout", checkout(shop, orders["spooled"]).model_dump_json())
    spool.add("checkout", f'half an entry: "phone": "{PHONE}", {EMAIL} {NAME}')
    spool.add("checkout", Checkout(shop_id=shop, order_id=uuid4(), phone="0203334444").model_dump_json())
    return orders


def traces(connection: Connection, spool: Spool) -> list[str]:
    """Where the person's phone, e-mail or name is found: in any column of any table, or in the spool's bytes."""
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
