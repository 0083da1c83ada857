"""Every alarm is seen to fire and to clear, by causing its cause; told to a real webhook and a real mail server."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from uuid import UUID

import pytest
from pydantic import SecretStr

from flows.alarms import causes, watch
from flows.alarms.record import Alarm, open_alarms
from flows.alarms.watch import keep_watch
from flows.errors import BuildFailed, RefreshRunning
from flows.lock import refresh_lock
from flows.steps import run_refresh
from ingest import Visit
from ingest.spool.file import SPOOL, Spool
from ingest.storage.connections import Connection
from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings
from tests.conftest import Database
from tests.integration.test_command import regulars
from tests.receivers import Webhook, mail_server, webhook
from tests.storefront import add_order, add_shop, fetch


@dataclass(frozen=True, slots=True)
class Watched:
    """A database whose alarms go to a webhook."""

    database: Database
    connection: Connection
    settings: Settings
    told: Webhook

    def refresh(self) -> None:
        run_refresh(self.settings)

    def check(self) -> list[str]:
        """The causes that hold now."""
        return [alarm.cause_name for alarm in self.alarms()]

    def alarms(self) -> list[Alarm]:
        return keep_watch(self.connection, self.settings)


@pytest.fixture
def watched(built: Database) -> Iterator[Watched]:
    with webhook() as (received, url), built.connect() as connection:
        settings = built.settings.model_copy(update={"alarm_urls": (SecretStr(url),)})
        yield Watched(built, connection, settings, received)
        (settings.home / SPOOL).unlink(missing_ok=True)


def _sell(connection: Connection, shop: UUID, *, first_day: int, last_day: int, phone: str = "0241234567") -> None:
    """Forty orders at noon of each day, so many days back."""
    connection.execute(
        """
        insert into shop_orders (shop_id, customer_phone, total_price, order_status, payment_status, created_at)
        select %s, %s, 10, 'completed', 'completed', date_trunc('day', now()) - day * interval '1 day' + interval '12 h'
        from generate_series(%s::int, %s::int) as day
        cross join generate_series(1, 40)
        """,
        [shop, phone, last_day, first_day],
    )


def test_a_refresh_that_fails_is_told_once_and_again_when_one_succeeds(watched: Watched) -> None:
    add_order(watched.connection, add_shop(watched.connection), total="1000.00")
    watched.connection.execute("alter table building.customers add constraint modest check (total_spent < 1000)")
    for _ in range(2):
        with pytest.raises(BuildFailed):
            watched.refresh()
    assert watched.check() == ["refresh_failed"]
    assert watched.told.titles == ["The refresh fails; the last good numbers stay up"]
    (text,) = watched.told.texts
    assert text.startswith("It failed at ")
    assert "BuildFailed: The build failed" in text
    assert "\nSince: " in text
    assert "\nWhat to do: " in text

    watched.connection.execute("alter table building.customers drop constraint modest")
    watched.refresh()
    assert watched.check() == []
    assert watched.told.titles[1:] == ["cleared: The refresh fails; the last good numbers stay up"]
    assert "\nGone since: " in watched.told.texts[1]


def test_numbers_that_are_too_old_are_told_until_they_are_fresh(watched: Watched) -> None:
    assert watched.check() == []
    watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
    assert watched.check() == ["numbers_too_old"]
    assert watched.check() == ["numbers_too_old"]
    watched.refresh()
    assert watched.check() == []
    assert watched.told.titles == ["The numbers are too old", "cleared: The numbers are too old"]


def test_a_database_that_was_never_refreshed_has_no_fresh_numbers(migrated: Database) -> None:
    with migrated.connect() as connection:
        (alarm,) = keep_watch(connection, migrated.settings)
    assert (alarm.cause_name, alarm.what) == ("numbers_too_old", "No refresh has succeeded yet.")


def test_a_refresh_that_takes_three_times_its_median_is_told(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    # A minute at least, which no test waits for.
    monkeypatch.setattr(causes, "_LEAST_SLOW", timedelta(0))
    for _ in range(6):
        watched.refresh()
    # As if the machine had had nothing else to do, or as much each time.
    watched.connection.execute("update regulars.refreshes set finished_at = started_at + interval '3 seconds'")
    assert watched.check() == []
    locked = threading.Event()

    def hold_the_orders() -> None:
        with watched.database.connect() as holder, holder.transaction():
            holder.execute("lock table shop_orders in share mode")
            locked.set()
            holder.execute("select pg_sleep(10)")

    thread = threading.Thread(target=hold_the_orders)
    thread.start()
    assert locked.wait(60)
    watched.refresh()
    thread.join()
    assert watched.check() == ["refresh_slow"]
    watched.refresh()
    watched.connection.execute(
        "update regulars.refreshes set finished_at = started_at + interval '3 seconds' "
        "where refresh_id = (select max(refresh_id) from regulars.refreshes)"
    )
    assert watched.check() == []
    assert watched.told.titles == ["The refresh is slow", "cleared: The refresh is slow"]


@pytest.mark.parametrize("seconds", [[1] * 6 + [1000], [1] * 6 + [1000, 1]], ids=["the last", "the one before"])
def test_a_partial_rebuild_is_never_slow(watched: Watched, seconds: list[int]) -> None:
    watched.connection.execute(
        """
        insert into regulars.refreshes (mode, status, fingerprint, started_at, as_of, finished_at)
        select 'partial', 'succeeded', '', now() - took * interval '1 s', now(), now()
        from unnest(%s::int[]) with ordinality as runs (took, number)
        order by number
        """,
        [seconds],
    )
    assert watched.check() == []


def test_missing_orders_are_told_with_their_shops(watched: Watched) -> None:
    shops = {slug: add_shop(watched.connection, slug) for slug in ("ama-data", "kofi-data", "esi-data")}
    for slug, shop in shops.items():
        _sell(watched.connection, shop, first_day=40, last_day=2 if slug == "ama-data" else 1)
    watched.refresh()
    assert watched.check() == ["orders_missing"]
    # Found again by each refresh of the day, and told once.
    watched.refresh()
    assert watched.told.titles == ["Orders are missing"]
    (text,) = watched.told.texts
    assert "ama-data 0 where 40 were expected" in text
    assert "\nShops: ama-data\n" in text
    assert "kofi" not in text
    # They were late.
    _sell(watched.connection, shops["ama-data"], first_day=1, last_day=1)
    watched.refresh()
    assert watched.check() == []
    assert watched.told.titles[1:] == ["cleared: Orders are missing"]


@pytest.mark.parametrize(
    ("subject", "found", "days", "is_told"),
    [
        ("a shop", 20, 1, False),
        ("a shop", 20, 2, True),
        ("a shop", 10, 1, True),
        ("platform", 20, 1, True),
        ("small shops", 20, 1, True),
    ],
)
def test_a_single_shop_is_told_after_two_days_or_for_a_factor_of_four(
    migrated: Database, subject: str, found: int, days: int, is_told: bool
) -> None:
    with migrated.connect() as connection:
        connection.execute(
            "insert into regulars.unusual_days (measure, subject, day, shops, found, expected, is_current) "
            "select 'orders', %s, date '2026-03-02' - back, '{}', %s, 40, back = 0 "
            "from generate_series(0, %s::int - 1) as back",
            [subject, found, days],
        )
        causes = [alarm.cause_name for alarm in keep_watch(connection, migrated.settings)]
    assert ("orders_missing" in causes) is is_told


def test_more_unreadable_phones_than_usual_are_told(watched: Watched) -> None:
    shop = add_shop(watched.connection)
    _sell(watched.connection, shop, first_day=40, last_day=2)
    _sell(watched.connection, shop, first_day=1, last_day=1, phone="12")
    watched.refresh()
    assert watched.check() == ["customers_missing"]
    assert "40 where 0 were expected" in watched.told.texts[0]
    watched.connection.execute("update shop_orders set customer_phone = '0241234567' where customer_phone = '12'")
    watched.refresh()
    assert watched.check() == []
    assert [title.partition(":")[0] for title in watched.told.titles] == [
        "More orders than usual have no known customer", "cleared",
    ]  # fmt: skip


def test_an_event_that_waits_in_the_spool_for_an_hour_is_told(watched: Watched) -> None:
    spool = Spool(watched.settings.home / SPOOL)
    visit = Visit(shop_id=add_shop(watched.connection), slug="promo")
    spool.add("visit", visit.model_dump_json())
    assert watched.check() == []
    with sqlite3.connect(spool.path) as file:
        file.execute("update events set spooled_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-61 minutes')")
    assert watched.check() == ["spool_not_empty"]
    # A refresh replays it.
    watched.refresh()
    assert watched.check() == []
    assert watched.told.titles == ["Events wait in the spool", "cleared: Events wait in the spool"]


def test_a_disk_that_is_nearly_full_is_told(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    # A fault that is injected: there is no disk to fill.
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100 * 2**30, 91 * 2**30, 9 * 2**30))  # type: ignore[attr-defined]
        assert watched.check() == ["disk_nearly_full"]
        assert "9.0 of 100.0 GiB are free" in watched.told.texts[0]
        # On another machine.
        patched.setattr(socket, "gethostname", lambda: "elsewhere")
        assert watched.check() == ["disk_nearly_full"] * 2
    assert watched.check() == ["disk_nearly_full"]
    (left,) = open_alarms(watched.connection)
    assert left.subject == "elsewhere"


def test_a_webhook_that_hangs_holds_up_neither_the_refresh_nor_an_e_mail(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BUDGET", 6.0)
    watched.told.is_open.clear()
    with mail_server() as (mails, address):
        urls = (*watched.settings.alarm_urls, SecretStr(address))
        settings = watched.settings.model_copy(update={"alarm_urls": urls})
        _fail(watched, settings)
        assert watched.told.came.is_set()
        assert watched.told.bodies == []
        # The next one is held up by nothing, and nobody is told twice.
        with refresh_lock(watched.database.conninfo):
            keep_watch(watched.connection, settings)
        (mail,) = mails
    assert mail["Subject"] == "Regulars: The refresh fails; the last good numbers stay up"
    assert mail["To"] == "operator@shop.example"
    assert "What to do: " in _text(mail)


def _fail(watched: Watched, settings: Settings) -> None:
    add_order(watched.connection, add_shop(watched.connection), total="1000.00")
    watched.connection.execute("alter table building.customers add constraint modest check (total_spent < 1000)")
    with pytest.raises(BuildFailed):
        run_refresh(settings)


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_an_address_that_failed_once_is_tried_again_though_another_took_the_alarm(watched: Watched) -> None:
    with webhook() as (other, url):
        urls = (*watched.settings.alarm_urls, SecretStr(url))
        settings = watched.settings.model_copy(update={"alarm_urls": urls})
        other.status = 500
        watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
        keep_watch(watched.connection, settings)
        assert (len(watched.told.bodies), len(other.bodies)) == (1, 0)
        other.status = 200
        for _ in range(2):
            keep_watch(watched.connection, settings)
            assert (len(watched.told.bodies), len(other.bodies)) == (1, 1)

        # Of what it wasn't told it isn't told that it is gone.
        run_refresh(settings)
        watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
        other.status = 500
        keep_watch(watched.connection, settings)
        run_refresh(settings)
        other.status = 200
        keep_watch(watched.connection, settings)
        assert other.titles == ["The numbers are too old", "cleared: The numbers are too old"]
        assert watched.told.titles == 2 * other.titles
    assert fetch(watched.connection, "select count(*) from regulars.tellings where address ~ 'http|json|:'") == [(0,)]


def test_what_no_address_took_is_told_later_and_what_is_gone_by_then_is_not(watched: Watched) -> None:
    watched.told.status = 500
    watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
    assert watched.check() == ["numbers_too_old"]
    watched.told.status = 200
    assert watched.check() == ["numbers_too_old"]
    assert watched.told.titles == ["The numbers are too old"]
    watched.refresh()

    watched.told.status = 500
    watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
    assert watched.check() == ["numbers_too_old"]
    watched.refresh()
    watched.told.status = 200
    assert watched.check() == []
    assert watched.told.titles == ["The numbers are too old", "cleared: The numbers are too old"]


def test_two_that_watch_at_once_tell_once(watched: Watched) -> None:
    watched.told.is_open.clear()
    watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
    first = threading.Thread(target=watched.check)
    first.start()
    assert watched.told.came.wait(60)
    with watched.database.connect() as connection:
        keep_watch(connection, watched.settings)
        watched.told.is_open.set()
        first.join()
        keep_watch(connection, watched.settings)
    assert len(watched.told.bodies) == 1


def test_a_refresh_that_another_keeps_out_raises_no_alarm(watched: Watched) -> None:
    with refresh_lock(watched.database.conninfo), pytest.raises(RefreshRunning):
        watched.refresh()
    assert watched.check() == []


def test_an_address_that_cannot_be_read_is_named_by_its_place_and_stops_no_refresh(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    urls = (*watched.settings.alarm_urls, SecretStr("hunter2://secret"))
    settings = watched.settings.model_copy(update={"alarm_urls": urls})
    watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
    with pytest.raises(SettingError, match="address 2 of 2") as raised:
        keep_watch(watched.connection, settings)
    assert "secret" not in str(raised.value)
    _fail(watched, settings)
    assert "address 2 of 2" in caplog.text
    assert "secret" not in caplog.text


def test_an_alarm_repeats_no_value_of_a_row(watched: Watched) -> None:
    """PostgreSQL's DETAIL, on the second line of an error, may hold a phone."""
    watched.connection.execute(
        "update regulars.refreshes set status = 'failed', error = %s",
        ["UniqueViolation: duplicate key\nDETAIL:  Key (phone_number)=(+233241234567) already exists."],
    )
    watched.check()
    assert "duplicate key" in "".join(watched.told.texts)
    assert "233241234567" not in json.dumps(watched.told.bodies)


@pytest.mark.usefixtures("takes_long")
def test_check_says_what_is_wrong_and_its_exit_status_is_not_0(watched: Watched) -> None:
    where = {"home": watched.settings.home, "database_url": watched.database.conninfo}
    done = regulars("check", **where)
    assert (done.returncode, done.stdout) == (0, "Nothing is wrong.\n")
    watched.connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
    done = regulars("check", **where)
    assert done.returncode == 1
    assert done.stdout.startswith("The numbers are too old\nThey are as of ")
    assert "What to do: See `regulars status`" in done.stdout
    done = regulars("check", "--json", **where, REGULARS_ALARM_URLS=watched.settings.alarm_urls[0].get_secret_value())
    assert done.returncode == 1
    assert [each["cause"] for each in json.loads(done.stdout)] == ["numbers_too_old"]
    assert watched.told.titles == ["The numbers are too old"]


@pytest.mark.usefixtures("takes_long")
def test_check_needs_no_prefect() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import regulars.cli.check, sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert "flows.alarms.watch" in loaded
    assert not {"prefect", "dbt", "apprise"} & set(loaded)
