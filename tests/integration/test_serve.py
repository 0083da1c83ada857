"""`regulars serve` with everything in it: what it keeps up, how it says so, and how it ends."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.lock import refresh_lock
from flows.reporting.report import read_report
from flows.reporting.text import markdown
from tests.conftest import NAME, Database, Server
from tests.processes import is_gone
from tests.proxy import Proxy
from tests.served import free_port
from tests.storefront import add_order, add_shop, fetch
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("builds_models", "takes_long")


@dataclass(frozen=True, slots=True)
class Served:
    """A running `regulars serve`, and what it printed."""

    database: Database
    home: Path
    environment: dict[str, str]
    ports: dict[str, int]
    process: "subprocess.Popen[bytes]"
    printed: Path = field(repr=False)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['prefect']}/api"

    def post(self, path: str, body: dict[str, object]) -> Any:
        request = urllib.request.Request(
            f"{self.api}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)

    def report(self) -> str:
        """The newest report on Prefect's pages, as Markdown."""
        (artifact,) = self.post("/artifacts/latest/filter", {"artifacts": {"key": {"any_": ["refresh-report"]}}})
        assert artifact["type"] == "markdown"
        return str(artifact["data"])

    def ready(self) -> tuple[int, dict[str, Any]]:
        return _get(f"http://127.0.0.1:{self.ports['health']}/readyz")

    def regulars(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "regulars", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip

    def process_of(self, part: str) -> psutil.Process:
        """The process of a part, by the module or command in its command line."""
        (found,) = [
            child for child in psutil.Process(self.process.pid).children() if part in child.cmdline()
        ]  # fmt: skip
        return found

    def await_(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 180
        while True:
            # A busy server may answer late, or not yet.
            with suppress(OSError):
                if condition():
                    return
            assert time.monotonic() < deadline, self.printed.read_text()
            assert self.process.poll() is None, self.printed.read_text()
            time.sleep(0.5)


def _get(address: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(address, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


@pytest.fixture(scope="module")
def served(server: Server, built_template: str, home: Path) -> Iterator[Served]:
    # Under the tests' own name: dbt parses its project anew for another.
    database = server.create(NAME, template=built_template)
    ports = {name: free_port() for name in ("prefect", "dashboard", "ingest-api", "health")}
    environment = os.environ | {
        "DATABASE_URL": database.conninfo,
        "REGULARS_HOME": str(home),
        "REGULARS_PREFECT_PORT": str(ports["prefect"]),
        # None is due while these run.
        "REGULARS_REFRESH_AT": f"{datetime.now(UTC) + timedelta(hours=12):%H:%M}",
        "REGULARS_INGEST_TOKENS": secrets.token_urlsafe(32),
        "REGULARS_JWT_SECRET": secrets.token_urlsafe(48),
    }
    environment.pop("PREFECT_API_URL", None)
    options = [f"--{name}-port={ports[name]}" for name in ("dashboard", "ingest-api", "health")]
    printed = home / "serve.log"
    with printed.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "regulars", "serve", *options], env=environment, stdout=log, stderr=log
        )
    served = Served(database, home, environment, ports, process, printed)
    try:
        served.await_(lambda: served.ready()[0] == 200)
        # The deployment comes last.
        served.await_(lambda: served.post("/deployments/filter", {}))
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        server.drop(database.name)


def test_it_says_what_is_up_and_how_old_the_numbers_are(served: Served) -> None:
    status, facts = served.ready()
    assert status == 200
    assert facts["parts"] == dict.fromkeys(("database", "prefect", "refresh", "dashboard", "ingest-api"), "up")
    assert 0 <= facts["age_seconds"] < facts["stale_after_seconds"] == 26 * 3600
    assert _get(f"http://127.0.0.1:{served.ports['health']}/healthz") == (200, {"status": "ok"})


def test_it_is_not_ready_while_the_numbers_are_too_old(served: Served) -> None:
    with served.database.connect() as connection:
        connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
        status, facts = served.ready()
        connection.execute("update regulars.refreshes set as_of = as_of + interval '27 hours'")
    assert (status, facts["status"], facts["reasons"]) == (503, "not ready", ["the numbers are too old"])
    assert served.ready()[0] == 200


def test_prefect_has_a_deployment_to_ask_for_a_run_and_no_schedule_of_its_own(served: Served) -> None:
    (deployment,) = served.post("/deployments/filter", {})
    assert (deployment["name"], deployment["schedules"]) == ("serve", [])


def test_a_refresh_from_the_command_line_shows_up_in_prefect_step_by_step(served: Served) -> None:
    with served.database.connect() as connection:
        add_order(connection, add_shop(connection))
    done = served.regulars("refresh")
    assert done.returncode == 0, done.stderr
    assert "1 orders were matched" in " ".join(done.stdout.split())

    (run,) = served.post("/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})
    steps = {"match_customers", "claim_batch", "build_marts", "publish", "settle_relations"}

    def shows_every_step() -> bool:
        tasks = served.post("/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})
        return {str(task["name"]).rsplit("-", 1)[0] for task in tasks} >= steps

    # Prefect's server records them when it comes to it.
    served.await_(shows_every_step)
    with served.database.connect() as connection:
        assert fetch(connection, "select total_orders from analytics.shop_overview") == [(1,)]
        ((refresh_id,),) = fetch(connection, "select max(refresh_id) from regulars.refreshes")
        report, now = served.report(), markdown(read_report(connection, refresh_id))
    # The disk grows meanwhile.
    assert report.split("## Disk")[0] == now.split("## Disk")[0]
    assert report.startswith(f"## Refresh {refresh_id} succeeded in ")
    assert "\n| shop_overview | 1 | 0 |" in report


def test_a_refresh_while_another_runs_fails_in_prefect_with_the_reason(served: Served) -> None:
    with refresh_lock(served.database.conninfo):
        done = served.regulars("refresh")
    assert done.returncode == 1
    assert "running already" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    (run,) = served.post("/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}})
    assert run["state"]["message"].startswith("A refresh is running")


def test_the_report_of_a_failed_refresh_says_where_it_failed(served: Served) -> None:
    with served.database.connect() as connection:
        before = served.report()
        connection.execute("alter table building.customers add constraint poor check (total_spent < 11)")
        connection.execute("update shop_orders set total_price = 12")
        done = served.regulars("refresh")
        assert done.returncode == 1
        connection.execute("alter table building.customers drop constraint poor")
        connection.execute("update shop_orders set total_price = 10")
    assert served.report() != before
    assert "failed at build marts, in customers, after" in served.report().splitlines()[0]


def test_prefect_keeps_no_value_of_a_row_that_postgresql_refused(served: Served) -> None:
    with served.database.connect() as connection:
        ((shop,),) = fetch(connection, "select id from user_shops")
        connection.execute("alter table regulars.customers add constraint nobody_new check (false) not valid")
        order = add_order(connection, shop, phone="0209876543")  # type: ignore[arg-type]
        done = served.regulars("refresh")
        connection.execute("alter table regulars.customers drop constraint nobody_new")
        connection.execute("delete from shop_orders where id = %s", [order])
    assert done.returncode == 1
    kept = [
        served.post("/logs/filter", {"sort": "TIMESTAMP_DESC"}),
        served.post("/flow_runs/filter", {"sort": "START_TIME_DESC"}),
        served.post("/task_runs/filter", {}),
    ]
    assert "nobody_new" in json.dumps(kept)
    assert "209876543" not in json.dumps(kept)


def test_a_run_that_somebody_asks_for_on_prefects_pages_refreshes(served: Served) -> None:
    with served.database.connect() as connection:
        add_order(connection, add_shop(connection, "kofi-data"))
    (deployment,) = served.post("/deployments/filter", {})
    created = served.post(f"/deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})

    def run() -> dict[str, Any]:
        (found,) = served.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [created["id"]]}}})
        return dict(found)

    served.await_(lambda: run()["state_type"] in ("COMPLETED", "FAILED", "CRASHED"))
    assert run()["state_type"] == "COMPLETED", run()["state"]
    with served.database.connect() as connection:
        assert fetch(connection, "select total_orders from analytics.shop_overview") == [(1,), (1,)]


def test_a_refresh_goes_on_and_ends_where_prefects_server_is_lost(served: Served) -> None:
    with (
        Proxy(f"host=127.0.0.1 port={served.ports['prefect']}") as prefect,
        served.database.connect() as connection,
        served.database.connect() as other,
    ):
        add_order(connection, add_shop(connection, "esi-data"))
        with other.transaction():
            # What a refresh waits for at its first step.
            other.execute("lock table shop_orders in share mode")
            refresh = subprocess.Popen(
                [sys.executable, "-m", "regulars", "refresh"],
                env=served.environment | {"PREFECT_API_URL": f"http://127.0.0.1:{prefect.port}/api"},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            served.await_(lambda: fetch(connection, "select step from regulars.refreshes where status = 'running'"))
            prefect.refuse()
        # By itself Prefect would try for more than three minutes.
        printed, errors = refresh.communicate(timeout=100)
        assert refresh.returncode == 0, errors
        assert "1 orders were matched" in " ".join(printed.split())
        assert "Prefect's server was lost" in errors
        assert fetch(
            connection,
            "select total_orders from analytics.shop_overview inner join analytics.shops using (shop_id) "
            "where shop_slug = 'esi-data'",
        ) == [(1,)]


def test_a_part_that_was_killed_is_missed_and_started_again(served: Served) -> None:
    killed = served.process_of("ingest-api")
    killed.kill()
    told: list[str] = []

    def is_missed() -> bool:
        status, facts = served.ready()
        # Of another part that is busy just now there may be a reason as well.
        told.extend(reason for reason in facts.get("reasons", []) if "ingest-api" in reason)
        return status == 503 and bool(told)

    served.await_(is_missed)
    assert set(told) <= {"ingest-api is down", "ingest-api is not answering"}
    served.await_(lambda: served.ready()[0] == 200)
    assert served.process_of("ingest-api").pid != killed.pid
    assert f"ingest-api (process {killed.pid}) ended by SIGKILL. It is started again" in served.printed.read_text()


def test_a_second_one_on_the_same_machine_says_that_the_port_is_taken(served: Served) -> None:
    second = served.regulars("serve", f"--health-port={served.ports['health']}")
    assert second.returncode == 1
    assert "does `regulars serve` run already?" in " ".join(second.stderr.split())
    assert "Traceback" not in second.stderr


def test_at_the_request_to_stop_everything_ends_in_order(served: Served) -> None:
    processes = psutil.Process(served.process.pid).children(recursive=True)
    assert len(processes) >= 4
    served.process.send_signal(signal.SIGTERM)
    # Ten seconds are promised; a busy machine gets more.
    assert served.process.wait(30) == 0
    wait_until(lambda: all(map(is_gone, processes)))
    assert not (served.home / "prefect.url").exists()
    assert "did not end" not in served.printed.read_text()
