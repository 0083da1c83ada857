"""Contacts in the storefront's free texts: no phone number and no e-mail address reaches what analysts read."""

from psycopg import sql

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.snapshot import snapshot
from tests.storefront import add_order, add_shop, fetch

# What an owner reads of their own customers, and what their own shop is called.
_OWNERS_OWN = {("dashboard", "customer_contacts"), ("dashboard", "shop_profiles")}

_PHONE, _EMAIL = "0241112223", "efua.k@example.org"


def _contacts(connection: Connection) -> set[str]:
    """The columns of `analytics` and `dashboard`, of whatever type, in which the phone's digits or the e-mail stand."""
    columns = fetch(
        connection,
        "select table_schema, table_name, column_name from information_schema.columns "
        "where table_schema in ('analytics', 'dashboard') and data_type <> 'uuid'",
    )
    assert len(columns) > 300
    found = set()
    for schema, table, column in columns:
        if (schema, table) in _OWNERS_OWN:
            continue
        query = sql.SQL("select distinct {}::text from {}.{}").format(
            *map(sql.Identifier, map(str, (column, schema, table)))
        )
        for (text,) in connection.execute(query):
            digits = "".join(filter(str.isdigit, text or ""))
            if _PHONE[1:] in digits or "efua.k" in (text or ""):
                found.add(f"{schema}.{table}.{column}")
    return found


def test_a_contact_in_a_free_text_reaches_neither_analysts_nor_owners(built: Database) -> None:
    with built.connect() as connection:
        named, numbered = add_shop(connection, "ama-data"), add_shop(connection, _PHONE)
        connection.execute("update user_shops set shop_name = %s where id = %s", [f"Data from {_PHONE}", named])
        connection.execute(
            "insert into shop_slugs (shop_id, slug, label, valid_from) values "
            "(%s, '024-111-2223', %s, '2026-02-01'), (%s, 'flyer', %s, '2026-01-01')",
            [named, f"mail {_EMAIL}", named, "ask +233 24 111 2223"],
        )
        for shop in (named, numbered):
            for slug, network in (("024-111-2223", _EMAIL), ("flyer", f"MTN {_PHONE}"), ("promo", "MTN")):
                order = add_order(connection, shop, phone=_PHONE, network=network)
                connection.execute("update shop_orders set reference_code = %s where id = %s", [f"ORD-{_PHONE}", order])
                connection.execute(
                    "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at, referrer, "
                    "utm_source, utm_medium, utm_campaign) values (%s, %s, %s, '2026-03-14', %s, %s, %s, 'march')",
                    [shop, order, slug, f"https://wa.me/233241112223?text={_EMAIL}", _EMAIL, f"whatsapp {_PHONE}"],
                )
        run_refresh(built.settings)
        assert _contacts(connection) == set()
        refreshed = snapshot(connection)

        # Every row is still counted, under a word that says why it has no name.
        assert fetch(
            connection, "select distinct referrer, utm_source, utm_medium, utm_campaign from analytics.visits"
        ) == [("https://wa.me", "hidden", "hidden", "march")]
        assert fetch(
            connection, "select slug, sales, visits from analytics.slug_analytics where shop_id = %s order by 1", named
        ) == [("flyer", 1, 1), ("hidden", 1, 1), ("promo", 1, 1)]
        assert fetch(
            connection,
            "select link, sales, former_slugs from analytics.link_analytics where shop_id = %s order by 1",
            named,
        ) == [("hidden", 2, "flyer"), ("promo", 1, None)]
        assert fetch(connection, "select distinct reference_code from analytics.orders") == [("hidden",)]

        # A rebuild runs the audit of all texts, and would fail.
        run_refresh(built.settings, mode="rebuild")
        assert snapshot(connection) == refreshed


def test_what_the_storefront_calls_a_thing_stays_where_it_names_nobody(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection, "ama-data-24-7")
        order = add_order(connection, shop, network="MTN 50GB 30 days")
        connection.execute("update shop_orders set reference_code = 'ORD-20260314-001' where id = %s", [order])
        connection.execute(
            "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at, utm_campaign) "
            "values (%s, %s, 'promo-2026-03-14', '2026-03-14', 'fb-120210987654321098')",
            [shop, order],
        )
        run_refresh(built.settings)
        assert fetch(connection, "select network, reference_code, slug, utm_campaign from analytics.orders") == [
            ("MTN 50GB 30 days", "ORD-20260314-001", "promo-2026-03-14", "fb-120210987654321098")
        ]
        assert fetch(connection, "select shop_slug from analytics.shops") == [("ama-data-24-7",)]
