"""The process of `regulars serve` that refreshes goes on where Prefect's server doesn't, and where a refresh hangs."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from flows.scheduling.prefect_server import answers
from flows.scheduling.warm_process import WarmProcess
from ingest.storage.settings import Settings
from tests.conftest import Database
from tests.receivers import webhook
from tests.storefront import fetch
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("takes_long")


class _OnlyHealthy(BaseHTTPRequestHandler):
    """As a server whose database is away."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def healthy() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OnlyHealthy) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()


def test_a_server_that_answers_for_its_health_alone_is_a_line_in_the_log(
    healthy: str, caplog: pytest.LogCaptureFixture
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    assert answers(healthy)
    process = WarmProcess(Settings(PREFECT_API_URL=healthy))
    # It was there when the deployment was made.
    process._deployment = uuid4()
    with temporary_settings({PREFECT_API_URL: healthy}):
        process._run_requested()
    assert "could not be asked for runs. Prefect's server was lost" in caplog.text


# With a watch every second, and no minute before a refresh is slow: no test waits for these.
_WATCHING = """
from datetime import timedelta
from flows.alarms import causes
from flows.scheduling import warm_process
from ingest.storage.settings import Settings
causes._LEAST_SLOW = timedelta(0)
warm_process._WATCH_SECONDS = warm_process._TICK_SECONDS = 1.0
warm_process.WarmProcess(Settings.from_environment()).run()
"""

_SIX_QUICK_REFRESHES_OF_LAST_WEEK = """
    insert into regulars.refreshes (mode, status, fingerprint, started_at, as_of, finished_at)
    select 'refresh', 'succeeded', fingerprint, finished_at - interval '10 ms', finished_at, finished_at
    from (
        select fingerprint, now() - interval '7 days' as finished_at from regulars.refreshes where status = 'succeeded'
    ) as last_week
    cross join generate_series(1, 6)
"""

_LATEST = "select status from regulars.refreshes order by refresh_id desc limit 1"


def test_a_refresh_that_hangs_keeps_no_alarm_from_being_told_and_ends_after_sigterm(built: Database) -> None:
    with webhook() as (received, url), built.connect() as connection, built.connect() as holder:
        connection.execute(_SIX_QUICK_REFRESHES_OF_LAST_WEEK)
        environment = os.environ | {
            "DATABASE_URL": built.conninfo,
            "REGULARS_HOME": str(built.settings.home),
            "REGULARS_ALARM_URLS": url,
        }
        environment.pop("PREFECT_API_URL", None)
        with holder.transaction():
            holder.execute("lock table shop_orders in access exclusive mode")
            process = subprocess.Popen([sys.executable, "-c", _WATCHING], env=environment)
            try:
                wait_until(lambda: {"The numbers are too old", "The refresh is slow"} <= set(received.titles))
                assert fetch(connection, _LATEST) == [("running",)]
                # During a watch and after it.
                for _ in range(2):
                    process.send_signal(signal.SIGTERM)
                    time.sleep(2)
            except BaseException:
                process.kill()
                raise
        assert process.wait(timeout=60) == 0
        assert fetch(connection, _LATEST) == [("succeeded",)]
