"""`regulars serve` with a real Prefect server: the schedule is in place, and refreshes show up in the server."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.lock import refresh_lock
from tests.conftest import NAME, Database, Server
from tests.storefront import add_order, add_shop, fetch


@dataclass(frozen=True, slots=True)
class Served:
    database: Database
    api: str
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"

    def post(self, path: str, body: dict[str, object]) -> list[dict[str, object]]:
        request = urllib.request.Request(
            f"{self.api}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            found: list[dict[str, object]] = json.load(response)
        return found

    def regulars(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "regulars", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip


@pytest.fixture(scope="module")
def served(server: Server, built_template: str, home: Path) -> Iterator[Served]:
    database = server.create(f"{NAME}_served", template=built_template)
    port = _free_port()
    environment = os.environ | {
        "DATABASE_URL": database.conninfo,
        "REGULARS_HOME": str(home),
        "REGULARS_PREFECT_PORT": str(port),
        "REGULARS_REFRESH_AT": "03:15",
        "REGULARS_TIME_ZONE": "Africa/Nairobi",
    }
    environment.pop("PREFECT_API_URL", None)
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "regulars", "serve"], env=environment, stdout=log, stderr=log)
    served = Served(database, f"http://127.0.0.1:{port}/api", environment, process)
    try:
        for _ in range(180):
            assert process.poll() is None, (home / "serve.log").read_text()
            try:
                if served.post("/deployments/filter", {}):
                    break
            except OSError:
                pass
            time.sleep(1)
        else:
            raise AssertionError((home / "serve.log").read_text())
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        server.drop(database.name)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_the_refresh_is_scheduled_every_day_at_the_time_and_zone_of_the_settings(served: Served) -> None:
    (deployment,) = served.post("/deployments/filter", {})
    assert deployment["name"] == "nightly"
    (schedule,) = deployment["schedules"]  # type: ignore[misc]
    assert schedule["active"]  # type: ignore[index]
    assert schedule["schedule"]["cron"] == "15 3 * * *"  # type: ignore[index]
    assert schedule["schedule"]["timezone"] == "Africa/Nairobi"  # type: ignore[index]


def test_a_refresh_from_the_command_line_shows_up_in_the_server_step_by_step(served: Served) -> None:
    with served.database.connect() as connection:
        add_order(connection, add_shop(connection))
    done = served.regulars("refresh")
    assert done.returncode == 0, done.stderr
    assert "1 orders were matched" in " ".join(done.stdout.split())

    runs = served.post("/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})
    assert [run["state_type"] for run in runs] == ["COMPLETED"]
    tasks = served.post("/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [runs[0]["id"]]}}})
    shown = {str(task["name"]).rsplit("-", 1)[0] for task in tasks}
    assert shown >= {"match_customers", "claim_batch", "build_marts", "publish", "settle_relations"}
    with served.database.connect() as connection:
        assert fetch(connection, "select total_orders from analytics.shop_overview") == [(1,)]


def test_a_refresh_while_another_runs_fails_in_the_server_with_the_reason(served: Served) -> None:
    with refresh_lock(served.database.conninfo):
        done = served.regulars("refresh")
    assert done.returncode == 1
    assert "running already" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    runs = served.post("/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}})
    assert [run["state"]["message"].startswith("A refresh is running") for run in runs] == [True]  # type: ignore[index]


def test_a_scheduled_run_refreshes(served: Served) -> None:
    with served.database.connect() as connection:
        add_order(connection, add_shop(connection, "kofi-data"))
    (deployment,) = served.post("/deployments/filter", {})
    created = served.post(f"/deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
    for _ in range(120):
        (run,) = served.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [created["id"]]}}})  # type: ignore[call-overload]
        if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED"):
            break
        time.sleep(1)
    assert run["state_type"] == "COMPLETED", run["state"]
    with served.database.connect() as connection:
        assert fetch(connection, "select total_orders from analytics.shop_overview order by 1") == [
            (1,),
            (1,),
        ]


def test_stopping_does_not_pause_the_schedule(served: Served, home: Path) -> None:
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(60)
    assert served.process.returncode == 0
    assert not (home / "prefect.url").exists()
    # The server ends with its parent; its database says whether the schedule was paused.
    with sqlite3.connect(home / "prefect" / "prefect.db") as database:
        assert database.execute("select active from deployment_schedule").fetchall() == [(1,)]
        assert database.execute("select paused from deployment").fetchall() == [(0,)]
