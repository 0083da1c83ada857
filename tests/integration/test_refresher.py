"""The process that refreshes: it catches up once after missed nights, and tries again what failed. Time is injected."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from flows.lock import refresh_lock
from flows.scheduling.refresher import Refresher
from flows.steps import run_refresh
from tests.conftest import Database
from tests.storefront import fetch


class Clock:
    """The present, moved on by hand."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def move(self, by: timedelta) -> None:
        self._ahead += by


def _refreshes(database: Database) -> int:
    with database.connect() as connection:
        ((count,),) = fetch(connection, "select count(*) from regulars.refreshes where status = 'succeeded'")
    return int(str(count))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refresher(built: Database, clock: Clock) -> Refresher:
    """It begins right after a refresh."""
    refresher = Refresher(built.settings, partial(run_refresh, built.settings), now=clock)
    refresher.tick()
    return refresher


def test_a_machine_that_slept_through_some_nights_catches_up_once(
    built: Database, refresher: Refresher, clock: Clock
) -> None:
    before = _refreshes(built)
    clock.move(timedelta(days=3))
    refresher.tick()
    assert _refreshes(built) == before + 1
    # The server's clock can't be moved, so what it wrote is.
    with built.connect() as connection:
        connection.execute("update regulars.refreshes set as_of = %s where status = 'succeeded'", [clock()])
    refresher.tick()
    assert _refreshes(built) == before + 1


def test_what_somebody_else_refreshed_is_not_due(built: Database, refresher: Refresher, clock: Clock) -> None:
    clock.move(timedelta(days=3))
    with built.connect() as connection:
        connection.execute("update regulars.refreshes set as_of = %s where status = 'succeeded'", [clock()])
    before = _refreshes(built)
    refresher.tick()
    assert _refreshes(built) == before


def test_a_failed_refresh_is_tried_again_after_a_minute_and_then_twice_as_long(
    built: Database, refresher: Refresher, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    before = _refreshes(built)
    clock.move(timedelta(days=1))
    with refresh_lock(built.conninfo):
        refresher.tick()
        refresher.tick()
        assert len(caplog.records) == 1
        assert "tried again in 0:01:00. A refresh is running already" in caplog.text
        clock.move(timedelta(minutes=1))
        refresher.tick()
        assert "tried again in 0:02:00" in caplog.text
    clock.move(timedelta(minutes=1))
    refresher.tick()
    assert _refreshes(built) == before
    clock.move(timedelta(minutes=1))
    refresher.tick()
    assert _refreshes(built) == before + 1
