"""`regulars load`: idempotent, updates from newer files, loads the good rows and names the bad ones."""

import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ingest import Checkout, track
from ingest.bulk.import_file import ImportFile, OrderRow, ShopRow
from ingest.bulk.loading import Loaded, load_orders, load_shops
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch
from tests.unit.test_import_file import SECRETS, order, write

SHOP = {
    "id": str(uuid4()), "user_id": str(uuid4()), "shop_name": "Ama Data", "shop_slug": "ama-data",
    "timezone": "Africa/Accra", "currency": "GHS", "country": "GH",
}  # fmt: skip

# Every version of every row that a load can write: xmin changes with each write, even if the values stay the same.
VERSIONS = """
    select 'shop', id, xmin::text from user_shops
    union all select 'order', id, xmin::text from shop_orders
    union all select 'customer', id, xmin::text from regulars.customers
    union all select 'visit', id, xmin::text from regulars.tracking
    union all select 'unreadable', order_id, xmin::text from regulars.unreadable_phones
    order by 1, 2
"""

LINKS = """
    select orders.id, customers.phone_number, visits.accessed_at is not null, visits.shop_customer_id = customers.id
    from shop_orders as orders
    left join regulars.tracking as visits on orders.id = visits.shop_order_id
    left join regulars.customers as customers on visits.shop_customer_id = customers.id
    order by orders.id
"""


def load(connection: Connection, path: Path, *orders: dict[str, str], chunk: int = 5_000) -> Loaded:
    return load_orders(connection, ImportFile(write(path, *orders), OrderRow), chunk=chunk)


def shop_with(connection: Connection, slug: str = "ama-data", *, country: str = "GH") -> UUID:
    return add_shop(connection, slug, country=country)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


@pytest.fixture
def connection(migrated: Database) -> Iterator[Connection]:
    with migrated.connect() as connection:
        yield connection


def test_loading_twice_writes_no_row_twice(connection: Connection, path: Path, tmp_path: Path) -> None:
    shops = ImportFile(write(tmp_path / "shops.csv", SHOP), ShopRow)
    orders = [
        order(), order(customer_phone="+233 24 123 4567"), order(customer_phone="12"),
        order(customer_phone=""), order(accessed_via_slug=""), order(volume_gb="", customer_name="Ama\0 🌍"),
        order(created_at="2026-03-14T12:00:00.123456+05:30"),
    ]  # fmt: skip
    load_shops(connection, shops)
    first = load(connection, path, *orders, chunk=2)
    assert (first.written, first.unchanged, first.unreadable, first.rejects) == (7, 0, 2, [])
    before = fetch(connection, VERSIONS)
    connection.execute("truncate regulars.changes")

    load_shops(connection, shops)
    for chunk in (2, 3, 5_000):
        again = load(connection, path, *orders, chunk=chunk)
        assert (again.written, again.unchanged, again.unreadable, again.rejects) == (0, 7, 0, [])
    assert fetch(connection, VERSIONS) == before
    assert fetch(connection, "select * from regulars.changes") == []


def test_loaded_orders_have_the_same_customers_and_visits_as_tracked_ones(migrated: Database, path: Path) -> None:
    phones = [
        "0241234567", "024-123-4567", "+233241234567", "0201112222", "12", "", "020 111 2222",
        "+1 212 555 0123", "call me",
    ]  # fmt: skip
    orders = [order(customer_phone=phone) for phone in phones] + [
        order(customer_phone=phone, shop_slug="kofi-data") for phone in phones
    ]
    with migrated.connect() as connection:
        shops = {
            "ama-data": shop_with(connection),
            "kofi-data": shop_with(connection, "kofi-data", country="US"),
        }
        load(connection, path, *orders, chunk=4)
        loaded = fetch(connection, LINKS)
        reasons = fetch(connection, "select order_id, reason from regulars.unreadable_phones order by order_id")
        connection.execute("truncate regulars.tracking, regulars.unreadable_phones; delete from regulars.customers")
        for each in orders:
            track(
                connection,
                Checkout(
                    shop_id=shops[each["shop_slug"]], order_id=UUID(each["id"]), phone=each["customer_phone"],
                    slug=each["accessed_via_slug"],
                ),
            )  # fmt: skip
        assert fetch(connection, LINKS) == loaded
        assert fetch(connection, "select order_id, reason from regulars.unreadable_phones order by order_id") == reasons


def test_a_newer_file_updates_the_order_its_visit_and_its_customer(connection: Connection, path: Path) -> None:
    shop_with(connection)
    first, other = order(), order(customer_phone="0201112222")
    load(connection, path, first, other)
    newer = first | {
        "order_status": "refunded", "base_price": "11.00", "total_price": "12.00",
        "customer_phone": "020 111 2222", "accessed_via_slug": "ama-promo",
    }  # fmt: skip
    done = load(connection, path, newer, other)
    assert (done.written, done.unchanged) == (1, 1)
    assert fetch(
        connection,
        "select o.order_status, o.total_price::text, c.phone_number, t.accessed_via_slug, "
        "t.shop_customer_id = c.id "
        "from shop_orders o join regulars.tracking t on t.shop_order_id = o.id "
        "join regulars.customers c on t.shop_customer_id = c.id where o.id = %s",
        first["id"],
    ) == [("refunded", "12.00", "+233201112222", "ama-promo", True)]
    assert fetch(connection, "select count(*) from regulars.tracking") == [(2,)]
    assert fetch(connection, "select * from regulars.orders_to_match") == []


def test_a_phone_that_becomes_unreadable_unmatches_the_order_and_a_readable_one_matches_it_again(
    connection: Connection, path: Path
) -> None:
    shop_with(connection)
    first = order()
    load(connection, path, first)
    assert load(connection, path, first | {"customer_phone": "12"}).unreadable == 1
    assert fetch(connection, LINKS) == [(UUID(first["id"]), None, True, None)]
    assert fetch(connection, "select reason from regulars.unreadable_phones") == [("not a number that exists in GH",)]
    load(connection, path, first | {"customer_phone": "wrong"})
    assert fetch(connection, "select reason from regulars.unreadable_phones") == [("has letters",)]
    load(connection, path, first)
    assert fetch(connection, LINKS) == [(UUID(first["id"]), "+233241234567", True, True)]
    assert fetch(connection, "select * from regulars.unreadable_phones") == []


def test_a_tracked_order_keeps_its_one_visit_and_the_visit_follows_the_customer(
    connection: Connection, path: Path
) -> None:
    shop = shop_with(connection)
    order_id = add_order(connection, shop)
    tracked = track(connection, Checkout(shop_id=shop, order_id=order_id, phone="0241234567", slug="ama-data"))
    # The file has a corrected phone, and nothing about the visit.
    load(connection, path, order(id=str(order_id), customer_phone="0201112222", accessed_via_slug=""))
    assert fetch(connection, LINKS) == [(order_id, "+233201112222", True, True)]
    assert fetch(connection, "select id, accessed_via_slug from regulars.tracking") == [(tracked.visit_id, "ama-data")]


def test_a_customer_was_first_seen_at_their_earliest_order_whatever_the_order_of_rows(
    connection: Connection, path: Path
) -> None:
    shop_with(connection)
    for moment in ("2026-03-14T12:00Z", "2026-01-01T00:00Z", "2026-05-01T00:00Z"):
        load(connection, path, order(created_at=moment))
    assert fetch(connection, "select first_seen_at from regulars.customers") == [(datetime(2026, 1, 1, tzinfo=UTC),)]


def test_of_orders_of_one_moment_the_one_with_the_lowest_id_names_the_customer(
    connection: Connection, path: Path
) -> None:
    shop_with(connection)
    low, high = (f"{digit}0000000-0000-4000-8000-000000000000" for digit in "0f")
    load(
        connection, path,
        order(id=low, customer_name="Ama", customer_phone="0241234567"),
        order(id=high, customer_name="Abena", customer_phone="0241234567"),
        order(id=high.replace("f", "e"), customer_name="Kofi", customer_phone="0201112222"),
        order(id=low.replace("0", "1", 1), customer_name="Kojo", customer_phone="0201112222"),
    )  # fmt: skip
    assert fetch(connection, "select customer_name from regulars.customers order by 1") == [("Ama",), ("Kojo",)]


@pytest.mark.parametrize("chunk", [1, 100])
def test_the_later_row_of_a_duplicate_order_counts(connection: Connection, path: Path, chunk: int) -> None:
    shop_with(connection)
    first = order()
    load(connection, path, first, first | {"network": "Telecel"}, chunk=chunk)
    assert fetch(connection, "select network from shop_orders") == [("Telecel",)]
    assert fetch(connection, "select count(*) from regulars.tracking") == [(1,)]


@pytest.mark.parametrize("chunk", [1, 100])
def test_an_order_of_another_shop_is_rejected_and_leaves_nothing(
    connection: Connection, path: Path, chunk: int
) -> None:
    shop_with(connection)
    other = shop_with(connection, "kofi-data")
    standing = add_order(connection, other)
    mine = order()
    done = load(
        connection,
        path,
        mine,
        order(id=str(standing), customer_phone="0201112222"),
        mine | {"shop_slug": "kofi-data", "customer_phone": "0203334444"},
        chunk=chunk,
    )
    assert (done.written, done.unchanged) == (1, 0)
    assert [(reject.line, reject.reason) for reject in done.rejects] == [
        (3, "id: another shop has an order with this id"),
        (4, "id: another shop has an order with this id"),
    ]
    assert fetch(connection, "select phone_number from regulars.customers") == [("+233241234567",)]
    assert fetch(connection, "select shop_order_id from regulars.tracking") == [(UUID(mine["id"]),)]


def test_bad_rows_are_named_in_file_order_and_the_good_ones_are_loaded(connection: Connection, path: Path) -> None:
    shop_with(connection)
    good = [order() for _ in range(3)]
    unreadable = order(customer_phone="12")
    done = load(
        connection, path, good[0], order(shop_slug="nobody"), good[1], order(total_price="NaN"), unreadable,
        order(id=""), good[2], chunk=2,
    )  # fmt: skip
    assert [reject.line for reject in done.rejects] == [3, 5, 7]
    assert "there is no such shop" in done.rejects[0].reason
    assert (done.written, done.unreadable) == (4, 1)
    assert {row[0] for row in fetch(connection, "select id from shop_orders")} == {
        UUID(each["id"]) for each in [*good, unreadable]
    }


def test_a_slug_that_another_shop_has_is_rejected(connection: Connection, tmp_path: Path) -> None:
    taken = SHOP | {"id": str(uuid4()), "shop_name": "Other"}
    done = load_shops(connection, ImportFile(write(tmp_path / "shops.csv", SHOP, taken), ShopRow))
    assert (done.shops, [reject.line for reject in done.rejects]) == (1, [3])
    assert fetch(connection, "select shop_name from user_shops") == [("Ama Data",)]


def test_a_renamed_shop_is_updated(connection: Connection, tmp_path: Path) -> None:
    for name in ("Ama Data", "Ama Bundles"):
        load_shops(connection, ImportFile(write(tmp_path / "shops.csv", SHOP | {"shop_name": name}), ShopRow))
    assert fetch(connection, "select shop_name from user_shops") == [("Ama Bundles",)]


# The command.


def run(
    database: Database, home: Path, folder: Path, *options: str, orders: str = "orders.csv"
) -> "subprocess.CompletedProcess[str]":
    variables = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    variables |= {"REGULARS_HOME": str(home), "DATABASE_URL": database.conninfo, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "regulars", "load", "--shops", "shops.csv", "--orders", orders, *options],
        env=variables | {"PYTHONPATH": str(Path(__file__).parents[2])}, cwd=folder,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "shops.csv", SHOP)
    return tmp_path


def test_the_command_says_what_it_did_and_exits_with_0(migrated: Database, home: Path, folder: Path) -> None:
    write(folder / "orders.csv", order(), order(customer_phone="12"))
    done = run(migrated, home, folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 shops; 2 orders new or changed, 0 unchanged, 1 with a phone that can't be read." in done.stdout
    assert not (folder / "load.rejects.csv").exists()
    assert "0 orders new or changed, 2 unchanged" in run(migrated, home, folder).stdout


def test_the_command_exits_with_3_if_rows_were_rejected_and_names_them_in_a_file(
    migrated: Database, home: Path, folder: Path
) -> None:
    write(folder / "orders.csv", order(), order(total_price="-1"), order(shop_slug="nobody"))
    done = run(migrated, home, folder)
    assert done.returncode == 3
    assert "1 orders new or changed" in done.stdout
    assert "2 rows were rejected: load.rejects.csv has each line and its reason." in done.stdout
    text = (folder / "load.rejects.csv").read_text()
    with (folder / "load.rejects.csv").open(newline="") as file:
        rejects = list(csv.DictReader(file))
    assert [(reject["file"], reject["line"]) for reject in rejects] == [
        ("orders.csv", "3"),
        ("orders.csv", "4"),
    ]
    assert not [secret for secret in SECRETS.values() if secret in text + done.stdout + done.stderr]


def test_a_load_that_rejects_nothing_removes_the_list_of_an_earlier_one(
    migrated: Database, home: Path, folder: Path
) -> None:
    write(folder / "orders.csv", order())
    (folder / "[x] list.csv").write_text("file,line,reason\norders.csv,2,an old reason\n")
    assert run(migrated, home, folder, "--rejects", "[x] list.csv").returncode == 0
    assert not (folder / "[x] list.csv").exists()
    write(folder / "orders.csv", order(total_price="-1"))
    assert "[x] list.csv has each line" in run(migrated, home, folder, "--rejects", "[x] list.csv").stdout
    assert "total_price" in (folder / "[x] list.csv").read_text()


@pytest.mark.parametrize(
    ("rejects", "said"),
    [
        ("nowhere/list.csv", "nowhere/list.csv can't be written: No such file or directory."),
        ("./orders.csv", "is one of the files to load"),
    ],
)
def test_a_list_of_rejects_that_can_not_be_written_is_told_before_anything_is_loaded(
    migrated: Database, home: Path, folder: Path, rejects: str, said: str
) -> None:
    write(folder / "orders.csv", order(), order(total_price="-1"))
    content = (folder / "orders.csv").read_bytes()
    done = run(migrated, home, folder, "--rejects", rejects)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert said in done.stderr
    assert (folder / "orders.csv").read_bytes() == content
    with migrated.connect() as connection:
        assert fetch(connection, "select count(*) from user_shops") == [(0,)]


def test_a_disk_that_has_no_room_for_the_list_of_rejects_is_told_and_the_other_rows_stay(
    migrated: Database, home: Path, folder: Path
) -> None:
    write(folder / "orders.csv", order(), order(total_price="-1"))
    done = run(migrated, home, folder, "--rejects", "/dev/full")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "1 rows were rejected, and /dev/full can't list them: No space left on device." in done.stderr
    assert "1 orders new or changed" in done.stdout
    assert run(migrated, home, folder).returncode == 3
    assert "total_price" in (folder / "load.rejects.csv").read_text()


def test_a_load_that_the_database_stops_says_that_what_was_committed_stays(
    migrated: Database, home: Path, folder: Path
) -> None:
    write(folder / "orders.csv", order())
    with migrated.connect() as connection:
        connection.execute("alter table shop_orders add constraint nothing_now check (false)")
        done = run(migrated, home, folder)
        assert done.returncode == 1
        assert "What was committed stays. Run it again." in done.stderr
        assert fetch(connection, "select count(*) from user_shops") == [(1,)]
    assert [path.name for path in folder.iterdir() if "rejects" in path.name] == []


def test_the_command_exits_with_1_if_a_file_was_cut_off_and_loads_the_rows_before(
    migrated: Database, home: Path, folder: Path
) -> None:
    write(folder / "whole.csv", *(order() for _ in range(300)))
    whole = gzip.compress((folder / "whole.csv").read_bytes())
    (folder / "orders.csv.gz").write_bytes(whole[: len(whole) // 2])
    done = run(migrated, home, folder, orders="orders.csv.gz")
    assert done.returncode == 1
    assert "orders.csv.gz ends in mid-stream, after line" in done.stderr
    assert "Traceback" not in done.stderr
    with migrated.connect() as connection:
        ((landed,),) = fetch(connection, "select count(*) from shop_orders")
    assert f"after line {int(str(landed)) + 1}:" in done.stderr
    assert 0 < int(str(landed)) < 300


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no file orders.csv.gz."),
        (b"", "orders.csv.gz is empty."),
        (b"id,shop_slug\n", "orders.csv.gz is not gzipped, whatever its name says."),
        (gzip.compress(b"id,shop_slug\n"), "orders.csv.gz lacks the columns customer_name,"),
        (gzip.compress("id,shop_slug\n".encode("utf-16")), "orders.csv.gz is not UTF-8"),
    ],
    ids=["missing", "empty", "not gzipped", "columns", "UTF-16"],
)
def test_the_command_exits_with_1_and_one_line_if_a_file_is_not_an_export(
    migrated: Database, home: Path, folder: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (folder / "orders.csv.gz").write_bytes(content)
    done = run(migrated, home, folder, orders="orders.csv.gz")
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
