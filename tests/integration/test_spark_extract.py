"""The raw rows for Spark: all of one moment, every value as it was, and no contact among them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from flows.errors import ExtractFailed
from ingest.storage.connections import Connection
from tests.conftest import NAME, Database, Server
from tests.storefront import MOMENT, add_forecasts, add_order, add_shop

pytest.importorskip("pyarrow", reason="The extra spark is not installed: make spark")

from flows.spark.columns import TABLES
from flows.spark.extract import Extract, extract

PHONE, EMAIL, PERSON = "0247654321", "efua.asante@example.com", "Efua Asante"
_ORDERS = (
    ("10.00", "2026-03-14 12:00+00"),
    ("NaN", "infinity"),
    ("Infinity", "-infinity"),
    ("-0.005", "0001-01-01 00:00+00"),
    ("99999999999999.123456789012", "9999-12-31 23:59:59.999999+00"),
)
_CONTACTS = ("247654321", "24 765 4321", "efua", "asante", "EFUA")


@pytest.fixture(scope="module")
def storefront(server: Server, migrated_template: str) -> Iterator[Database]:
    database = server.create(f"{NAME}_extract", template=migrated_template)
    with database.connect() as connection:
        _write(connection)
    yield database
    server.drop(database.name)


def _write(connection: Connection) -> None:
    """Orders with everything that a value can be, by a buyer whose contacts stand in every column that takes text."""
    connection.execute(
        "alter table shop_orders alter column total_price type numeric, alter profit_amount type numeric"
    )
    shop = add_shop(connection, "ama-data")
    connection.execute("update user_shops set shop_name = %s where id = %s", [f"Shop of {EMAIL}", shop])
    for total, at in _ORDERS:
        order = add_order(connection, shop, phone=PHONE, at=MOMENT)
        connection.execute(
            "update shop_orders set customer_name = %s, customer_email = %s, total_price = %s, created_at = %s, "
            "network = %s, reference_code = %s, order_status = %s where id = %s",
            [PERSON, EMAIL, total, at, f"MTN {PHONE}", 'a "quoted", text\nin two lines, ', f" {EMAIL} ", order],
        )
        connection.execute(
            "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at, referrer, "
            "utm_source, utm_campaign) values (%s, %s, %s, now(), %s, '', %s)",
            [shop, order, f" {PHONE}", f"https://wa.me/+233247654321?text={PERSON}", "+233 24 765 4321"],
        )
    connection.execute("insert into shop_slugs (shop_id, slug, label) values (%s, %s, %s)", [shop, PHONE, EMAIL])
    add_forecasts(connection)
    connection.execute("update regulars.forecast_fits set alpha = 0.0000123456789012345")


@pytest.fixture(scope="module")
def extracted(storefront: Database, tmp_path_factory: pytest.TempPathFactory) -> Extract:
    return extract(storefront.conninfo, tmp_path_factory.mktemp("spark") / "extract")


def rows(extracted: Extract, table: str) -> list[dict[str, object]]:
    import pyarrow.dataset as ds

    read: list[dict[str, object]] = ds.dataset(extracted.folder / table, format="parquet").to_table().to_pylist()
    return read


def test_no_contact_is_in_any_file(extracted: Extract) -> None:
    import pyarrow.parquet as pq

    files = list(extracted.folder.rglob("*.parquet"))
    assert len(files) > len(TABLES)
    for file in files:
        table = pq.read_table(file)
        for kind in ("phone", "email", "customer_name"):
            assert not [name for name in table.column_names if kind in name], file
        # The file as it is, and what is in it when it is unpacked.
        for found in (file.read_bytes().decode("latin-1"), repr(table.to_pylist()), repr(table.schema.metadata)):
            assert not [contact for contact in _CONTACTS if contact.lower() in found.lower()], file


def test_texts_that_were_equal_are_equal_so_that_slugs_find_their_links(extracted: Extract) -> None:
    (slug,) = {row["slug"] for row in rows(extracted, "public.shop_slugs")}
    assert str(slug).endswith("@hidden.invalid")
    assert {row["accessed_via_slug"] for row in rows(extracted, "regulars.tracking")} == {slug}


def test_every_value_is_what_the_database_has(storefront: Database, extracted: Extract) -> None:
    with storefront.connect() as connection:
        expected = connection.execute(
            "select id::text, case when total_price::text not in ('NaN', 'Infinity') then total_price end, "
            "case when isfinite(created_at) then created_at end, updated_at from shop_orders order by id"
        ).fetchall()
    orders = rows(extracted, "public.shop_orders")
    found = sorted((row["id"], row["total_price"], row["created_at"], row["updated_at"]) for row in orders)
    assert found == expected
    assert {row["reference_code"] for row in orders} == {'a "quoted", text\nin two lines,'}
    tracked = rows(extracted, "regulars.tracking")
    assert {row["utm_source"] for row in tracked} == {""}
    assert {row["utm_medium"] for row in tracked} == {None}
    assert {row["referrer"] for row in tracked} == {"https://wa.me"}
    (fit,) = rows(extracted, "regulars.forecast_fits")
    assert (fit["alpha"], fit["converged"]) == (Decimal("0.0000123456789012345"), True)
    assert fit["fitted_through"] == date(2026, 3, 1)


def test_what_is_written_down_is_what_is_there(storefront: Database, extracted: Extract) -> None:
    with storefront.connect() as connection:
        for name, count in extracted.rows.items():
            schema, table = name.split(".")
            query = psycopg.sql.SQL("select count(*) from {}").format(psycopg.sql.Identifier(schema, table))
            waiting = name == "regulars.changes"
            assert connection.execute(query).fetchone() == (count,) or waiting, name
            assert len(rows(extracted, name)) == count
    assert extracted.as_of < datetime.now(UTC)


def test_all_tables_are_of_one_moment_while_orders_come_in(storefront: Database, tmp_path: Path) -> None:
    stop = threading.Event()

    def sell() -> None:
        with storefront.connect() as connection:
            (shop,) = connection.execute("select id from user_shops").fetchone() or (UUID(int=0),)
            # Not as fast as it can: past 10,000 changes the extracts of the next tests would read everything.
            while not stop.wait(0.005):
                with connection.transaction():
                    order = add_order(connection, shop)
                    connection.execute(
                        "insert into regulars.tracking (shop_id, shop_order_id, accessed_at) values (%s, %s, now())",
                        [shop, order],
                    )

    seller = threading.Thread(target=sell)
    seller.start()
    try:
        taken = extract(storefront.conninfo, tmp_path / "extract", readers=3)
        again = extract(storefront.conninfo, tmp_path / "extract")
    finally:
        stop.set()
        seller.join()
    assert taken.rows["public.shop_orders"] == taken.rows["regulars.tracking"] < again.rows["public.shop_orders"]
    assert again.rows["public.shop_orders"] == again.rows["regulars.tracking"]
    orders = {row["id"] for row in rows(again, "public.shop_orders")}
    assert orders == {row["shop_order_id"] for row in rows(again, "regulars.tracking")}


def test_a_value_that_spark_cannot_have_is_named_by_its_column_and_not_shown(
    storefront: Database, tmp_path: Path
) -> None:
    with storefront.connect() as connection:
        connection.execute("update shop_orders set created_at = '12026-01-01' where created_at = 'infinity'")
        try:
            with pytest.raises(ExtractFailed, match=r"public\.shop_orders\.created_at holds a value") as raised:
                extract(storefront.conninfo, tmp_path / "extract")
        finally:
            connection.execute("update shop_orders set created_at = 'infinity' where created_at > '12000-01-01'")
    assert "12026" not in str(raised.value)
    assert not (tmp_path / "extract").exists()


def test_a_full_disk_is_said_with_its_folder_and_leaves_the_extract_before_it(
    storefront: Database, extracted: Extract
) -> None:
    # The system itself refuses files that are larger than a process may write: as a full disk does, in the middle.
    code = (
        "import resource, sys, signal; from pathlib import Path; from flows.spark.extract import extract;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500));"
        "extract(sys.argv[1], Path(sys.argv[2]))"
    )
    before = sorted(path.name for path in extracted.folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", code, storefront.conninfo, str(extracted.folder)], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"ExtractFailed: The raw rows can't be written to {extracted.folder}" in done.stderr
    assert sorted(path.name for path in extracted.folder.rglob("*")) == before
    assert [path.name for path in extracted.folder.parent.iterdir()] == [extracted.folder.name]


def test_rows_that_were_lost_on_the_way_are_noticed(
    storefront: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fault: the first of each block's rows gets lost.
    from flows.spark import reading as module

    decode = module.decode
    monkeypatch.setattr(module, "decode", lambda text, table: decode(text, table).slice(1))
    with pytest.raises(ExtractFailed, match=r"public\.user_shops: \d+ rows where \d+ were expected"):
        extract(storefront.conninfo, tmp_path / "extract")


def test_a_connection_that_the_server_ends_is_said(
    storefront: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fault: once it is known what is to be read, somebody locks it, so that the extract is under way for certain.
    from flows.spark import reading as module

    failed: list[ExtractFailed] = []
    with storefront.connect() as holder:
        ranges = module._ranges

        def locked(*arguments: Any) -> Any:
            found = ranges(*arguments)
            if arguments[1].name == "public.shop_profits":
                holder.execute("begin")
                holder.execute("lock table shop_profits in access exclusive mode")
            return found

        monkeypatch.setattr(module, "_ranges", locked)

        def run() -> None:
            try:
                extract(storefront.conninfo, tmp_path / "extract")
            except ExtractFailed as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        with storefront.connect() as killer:
            while (
                thread.is_alive()
                and not killer.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and wait_event_type = 'Lock' and query like 'copy %%'",
                    [],
                ).rowcount
            ):
                time.sleep(0.01)
        holder.execute("rollback")
        thread.join(30)
    assert "can't be read" in str(failed[0])
    assert not (tmp_path / "extract").exists()


def test_a_lock_that_somebody_holds_is_not_waited_for_without_end(storefront: Database, tmp_path: Path) -> None:
    with storefront.connect() as holder, holder.transaction():
        holder.execute("lock table shop_profits in access exclusive mode")
        # Whoever runs the refresh's steps makes of it an error that names the holder.
        with pytest.raises(psycopg.errors.LockNotAvailable):
            extract(storefront.conninfo, tmp_path / "extract", patience=0.2)
    assert not (tmp_path / "extract").exists()


# Once it is known what is to be read, it waits for a line, so that somebody can lock that.
_PAUSED = """
import sys
from pathlib import Path
from flows.spark import reading
from flows.spark.extract import extract

ranges = reading._ranges

def paused(connection, table):
    found = ranges(connection, table)
    if table.name == "public.shop_profits":
        print("ready", flush=True)
        sys.stdin.readline()
    return found

reading._ranges = paused
"""

# The second of two readers of this table is not there yet when the first waits for a lock.
_PAUSED_BETWEEN_READERS = """
def twice(connection, table):
    return paused(connection, table) * (2 if table.name == "public.shop_profits" else 1)

folders = reading.Folders

def later(*arguments, name, **named):
    if name == "part-1":
        sys.stdin.readline()
    return folders(*arguments, name=name, **named)

reading._ranges, reading.Folders = twice, later
"""

_EXTRACT = "extract(sys.argv[1], Path(sys.argv[2]))"


@pytest.mark.parametrize("paused", [_PAUSED, _PAUSED + _PAUSED_BETWEEN_READERS], ids=["all", "one"])
def test_an_extract_that_is_interrupted_waits_for_none_of_its_readers(
    storefront: Database, tmp_path: Path, paused: str
) -> None:
    with (
        storefront.connect() as holder,
        storefront.connect() as onlooker,
        subprocess.Popen(
            [sys.executable, "-c", paused + _EXTRACT, storefront.conninfo, str(tmp_path / "extract")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as child,
    ):  # fmt: skip
        assert child.stdout
        assert child.stdin
        try:
            assert child.stdout.readline() == "ready\n"
            holder.execute("begin")
            holder.execute("lock table shop_profits in access exclusive mode")
            child.stdin.write("\n")
            child.stdin.flush()
            while (
                child.poll() is None
                and not onlooker.execute(
                    "select 1 from pg_stat_activity "
                    "where datname = current_database() and wait_event_type = 'Lock' and query like 'copy %%'",
                    [],
                ).fetchall()
            ):
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=30)
        finally:
            child.kill()
        holder.execute("rollback")
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_texts_are_the_same_whatever_encoding_a_client_asks_for(storefront: Database, tmp_path: Path) -> None:
    with storefront.connect() as connection:
        connection.execute("update user_shops set shop_name = 'Café Élan'")
    where = make_conninfo(storefront.conninfo, client_encoding="LATIN1")
    assert [shop["shop_name"] for shop in rows(extract(where, tmp_path / "extract"), "public.user_shops")] == [
        "Café Élan"
    ]


_GROWING = ("public.shop_orders", "public.shop_profits", "public.withdrawal_requests", "regulars.tracking")


def everything(extracted: Extract) -> dict[str, list[str]]:
    return {name: sorted(repr(row) for row in rows(extracted, name)) for name in extracted.rows if name in _GROWING}


def test_an_extract_is_continued_by_the_change_log_and_ends_with_what_there_is(
    server: Server, migrated_template: str, tmp_path: Path
) -> None:
    database = server.create(NAME, template=migrated_template)
    with database.connect() as connection:
        _write(connection)
        shop = add_shop(connection, "other")
        orders = [add_order(connection, shop, at=MOMENT.replace(month=1 + number % 12)) for number in range(200)]
        first = extract(database.conninfo, tmp_path / "extract")
        files = {path.name: path.stat().st_ino for path in first.folder.rglob("*.parquet")}
        # What a refresh publishes leaves the change log in between; nobody refreshes here, so it is done by hand.
        connection.execute("update shop_orders set total_price = 7 where id = any(%s)", [orders[:3]])
        connection.execute("select regulars.claim_changes()")
        connection.execute("delete from regulars.batch")
        connection.execute(
            "update shop_orders set created_at = created_at + interval '40 days' where id = %s", [orders[3]]
        )
        connection.execute("select regulars.claim_changes()")
        # A row that moves to another shop, a deleted one, a new one, and one that is tracked now.
        connection.execute(
            "update shop_orders set shop_id = (select id from user_shops where id <> shop_id limit 1) where id = %s",
            [orders[4]],
        )
        connection.execute("delete from shop_orders where id = %s", [orders[5]])
        add_order(connection, shop)
        connection.execute("insert into regulars.tracking (shop_id, shop_order_id) values (%s, %s)", [shop, orders[6]])
        connection.execute("insert into shop_profits (shop_id, profit_amount) values (%s, 3)", [shop])

        second = extract(database.conninfo, tmp_path / "extract")
        assert second.continued == set(_GROWING)
        untouched = {
            path.name for path in second.folder.rglob("*.parquet") if files.get(path.name) == path.stat().st_ino
        }
        assert untouched
        # By the same salt, so that what is hidden is equal, too.
        connection.execute("create table salt as select salt from regulars.extracts")
        connection.execute(
            "create function as_before() returns trigger language plpgsql as "
            "'begin select salt from salt into new.salt; return new; end'; create trigger as_before "
            "before insert on regulars.extracts for each row execute function as_before()"
        )
        afresh = extract(database.conninfo, tmp_path / "afresh")
        assert not afresh.continued
        assert everything(second) == everything(afresh)

        # It is another extract's log by now.
        assert not extract(database.conninfo, tmp_path / "extract").continued
        (held,) = connection.execute("select count(*) from regulars.unextracted").fetchone() or (None,)
        assert held == 0
    server.drop(database.name)


def test_changes_past_the_log_and_damaged_files_make_it_read_everything(
    server: Server, migrated_template: str, tmp_path: Path
) -> None:
    database = server.create(NAME, template=migrated_template)
    with database.connect() as connection:
        shop = add_shop(connection, "ama-data")
        for _ in range(50):
            add_order(connection, shop)
        connection.execute("delete from regulars.changes")
        extract(database.conninfo, tmp_path / "extract")
        connection.execute(
            "alter table shop_orders disable trigger all; update shop_orders set total_price = 8; "
            "alter table shop_orders enable trigger all"
        )
        corrected = extract(database.conninfo, tmp_path / "extract")
        assert not corrected.continued
        assert {row["total_price"] for row in rows(corrected, "public.shop_orders")} == {Decimal(8)}
        path = next((corrected.folder / "public.shop_orders").rglob("*.parquet"))
        path.write_bytes(path.read_bytes()[:-20])
        mended = extract(database.conninfo, tmp_path / "extract")
        assert not mended.continued
        assert everything(mended) == everything(corrected)
    server.drop(database.name)


@pytest.mark.parametrize("died_at", ["public.shop_profits", "regulars.tracking"])
def test_an_extract_that_died_is_continued_with_the_tables_that_it_had_finished(
    storefront: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, died_at: str
) -> None:
    # The fault: it ends where a table is to be read.
    from flows.spark import extract as module

    read_table = module.read_table

    def dies(snapshot: Any, table: Any, folder: Path) -> None:
        if table.name == died_at:
            raise KeyboardInterrupt
        read_table(snapshot, table, folder)

    monkeypatch.setattr(module, "read_table", dies)
    with pytest.raises(KeyboardInterrupt):
        extract(storefront.conninfo, tmp_path / "extract")
    monkeypatch.undo()
    with storefront.connect() as connection:
        connection.execute("update shop_orders set volume_gb = coalesce(volume_gb, 0) + 1")
    done = extract(storefront.conninfo, tmp_path / "extract")
    assert "public.shop_orders" in done.continued
    assert died_at not in done.continued
    volumes = {row["volume_gb"] for row in rows(done, "public.shop_orders")}
    assert volumes
    assert None not in volumes
    assert [path.name for path in tmp_path.iterdir()] == ["extract"]
