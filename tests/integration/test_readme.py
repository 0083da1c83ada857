"""The code blocks of the README and of `docs/other-tables.md` do what these pages say."""

import csv
import gzip
import re
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict

from flows.steps import run_refresh
from tests.conftest import Database
from tests.documents import blocks, shell
from tests.storefront import add_order, add_shop, fetch

_ROOT = Path(__file__).parents[2]
_README = _ROOT / "README.md"
_OTHER_TABLES = _ROOT / "docs" / "other-tables.md"


def test_the_examples_of_checkout_and_analyst_run(
    built: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", built.conninfo)
    monkeypatch.setenv("REGULARS_HOME", str(tmp_path))
    # The tracker's background thread and a busy machine: the example is about what it does, not how fast.
    monkeypatch.setenv("REGULARS_TRACK_BUDGET_MS", "20000")
    with built.connect() as connection:
        shop = add_shop(connection, "ama-data")
        order = add_order(connection, shop, phone=None, total="12.00")
        (example,) = blocks(_README, "python")
        exec(compile(example, "README.md", "exec"), {"shop_id": shop, "order_id": order})
        assert fetch(connection, "select accessed_via_slug, shop_order_id from regulars.tracking") == [
            ("march-promo", order)
        ]
        run_refresh(built.settings)
        (query,) = blocks(_README, "sql")
        rows = [tuple(map(str, row)) for row in fetch(connection, query)]
        assert rows == [("march-promo", "1", "0.000", "12.00")]
        assert fetch(connection, "select bool_and(is_reconciled) from analytics.reconciliation") == [(True,)]


def test_the_operators_commands_run_one_after_the_other(built: Database, home: Path, tmp_path: Path) -> None:
    (block,) = (block for block in blocks(_README, "") if "regulars migrate" in block)
    lines = [line.split("#")[0].strip() for line in block.splitlines()]
    assert [line.split()[:2] for line in lines] == [
        ["export", "DATABASE_URL=postgresql://…"],
        *(["regulars", command] for command in ("migrate", "load", "refresh", "status", "serve")),
    ]
    shop = {
        "id": uuid4(), "user_id": uuid4(), "shop_name": "Ama", "shop_slug": "ama-data", "timezone": "Africa/Accra",
        "currency": "GHS", "country": "GH",
    }  # fmt: skip
    order = {
        "id": uuid4(), "shop_slug": "ama-data", "customer_name": "", "customer_email": "",
        "customer_phone": "024 123 4567", "network": "MTN", "volume_gb": "1", "base_price": "9.00",
        "profit_amount": "3.00", "total_price": "12.00", "order_status": "completed", "payment_status": "completed",
        "reference_code": "A1", "created_at": "2026-03-14T12:00:00Z", "accessed_via_slug": "march-promo",
    }  # fmt: skip
    with (tmp_path / "shops.csv").open("w", newline="") as shops:
        _write(shops, shop)
    with gzip.open(tmp_path / "orders.csv.gz", "wt", newline="") as orders:
        _write(orders, order)
    # The last one runs until it is stopped; test_serve.py is about it.
    printed = shell("\n".join(lines[1:-1]), folder=tmp_path, DATABASE_URL=built.conninfo, REGULARS_HOME=str(home))
    assert "1 orders new or changed" in printed
    assert re.search(r"last refresh +.* succeeded in", printed)
    with built.connect() as connection:
        assert fetch(connection, "select total_orders, total_customers from analytics.shop_overview") == [(1, 1)]


def _write(file: object, row: dict[str, object]) -> None:
    writer = csv.DictWriter(file, row)  # type: ignore[type-var]
    writer.writeheader()
    writer.writerow(row)


_OTHER_SHOP = """
create schema market;
create table market.stores (store_id uuid primary key, owner_id uuid, title text, handle text);
create table market.sales (
    sale_no bigint primary key, store uuid, buyer text, mobile text, price numeric, margin numeric, state text,
    paid boolean, campaign text, placed timestamp
);
insert into market.stores values ('00000000-0000-0000-0000-0000000000aa', gen_random_uuid(), 'Ama', 'ama-data');
insert into market.sales
select
    sale_no, '00000000-0000-0000-0000-0000000000aa', buyer, mobile, price, 1, state, paid, campaign, placed::timestamp
from (
    values
        (1, 'Ama', '024 123 4567', 10.00, 'done', true, 'march-promo', '2026-03-14 12:00'),
        (2, 'A. Mensah', '+233241234567', 20.00, 'done', true, null, '2026-04-14 12:00'),
        (3, 'Kofi', '0201234567', 40.00, 'done', true, null, '2026-04-14 13:00'),
        (4, 'Esi', '0541234567', 80.00, 'returned', true, null, '2026-04-14 14:00'),
        (5, 'Yaw', '0501234567', 160.00, 'done', false, null, '2026-04-14 15:00')
) as sales (sale_no, buyer, mobile, price, state, paid, campaign, placed);
"""


def test_a_shop_whose_tables_have_other_names_is_loaded_every_night_by_the_pages_views_and_commands(
    built: Database, home: Path, tmp_path: Path
) -> None:
    (views,), (nightly,) = blocks(_OTHER_TABLES, "sql"), blocks(_OTHER_TABLES, "")
    where = conninfo_to_dict(built.conninfo)
    storefront = " ".join(f"{name}={value}" for name, value in where.items() if value != "")
    night = {"DATABASE_URL": built.conninfo, "REGULARS_HOME": str(home), "STOREFRONT_URL": storefront}
    overview = "select total_orders, total_customers, repeat_customers, customer_revenue from analytics.shop_overview"
    with built.connect() as connection:
        connection.execute(_OTHER_SHOP)  # type: ignore[arg-type]
        connection.execute(views)  # type: ignore[arg-type]
        shell(nightly, folder=tmp_path, **night)
        assert fetch(connection, overview) == [(3, 2, 1, 70)]
        connection.execute("update market.sales set state = 'returned' where sale_no = 3")
        connection.execute("update market.sales set paid = true where sale_no = 5")
        printed = shell(nightly, folder=tmp_path, **night)
        assert "2 orders new or changed, 3 unchanged" in printed
        assert fetch(connection, overview) == [(3, 2, 1, 190)]
        assert fetch(connection, "select bool_and(is_reconciled) from analytics.reconciliation") == [(True,)]
