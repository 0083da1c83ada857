"""What `regulars serve` costs with everything in it: memory while it rests, and a refresh in its warm process.

It has an embedded PostgreSQL of its own in a temporary folder. Memory is the proportional set size of all processes:
what several share is counted once.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import psutil
import typer
from rich.console import Console

from benchmarks.generated_orders import change, generate_orders
from ingest.storage.connections import Connection, connect
from ingest.storage.embedded import embedded_address
from tests.served import free_port

RESULTS = Path(__file__).with_name("serve.json")


@contextmanager
def _serving(home: Path) -> Iterator[tuple[psutil.Process, httpx.Client, str]]:
    """The process, a client of its Prefect server, and the address of its health."""
    ports = [free_port() for _ in range(4)]
    environment = os.environ | {
        "REGULARS_HOME": str(home),
        "REGULARS_PREFECT_PORT": str(ports[0]),
        "REGULARS_JWT_SECRET": secrets.token_urlsafe(48),
        "REGULARS_INGEST_TOKENS": secrets.token_urlsafe(32),
    }
    for elsewhere in ("DATABASE_URL", "PREFECT_API_URL"):
        environment.pop(elsewhere, None)
    command = [sys.executable, "-m", "regulars"]
    subprocess.run([*command, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    options = [f"--dashboard-port={ports[1]}", f"--ingest-api-port={ports[2]}", f"--health-port={ports[3]}"]
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen([*command, "serve", *options], env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}/api", timeout=30) as prefect:
            yield psutil.Process(process.pid), prefect, f"http://127.0.0.1:{ports[3]}/readyz"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _await(condition: Callable[[], Any]) -> Any:
    for _ in range(600):
        try:
            if found := condition():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError("it took more than five minutes")


def _refresh(prefect: httpx.Client, deployment: str) -> float:
    """Asks for a refresh as Prefect's pages do; the seconds that the flow took."""
    created = prefect.post(f"/deployments/{deployment}/create_flow_run", json={"state": {"type": "SCHEDULED"}}).json()

    def ended() -> Any:
        run = prefect.get(f"/flow_runs/{created['id']}").json()
        return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

    run = _await(ended)
    if run["state_type"] != "COMPLETED":
        raise RuntimeError(run["state"]["message"])
    return float(run["total_run_time"])


def _megabytes(serving: psutil.Process, home: Path) -> dict[str, float]:
    """Of each part. PostgreSQL's processes are no children of ours."""
    postmaster = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    parts = {"regulars serve": [serving], "postgresql": [postmaster, *postmaster.children(recursive=True)]}
    for child in serving.children():
        command = child.cmdline()
        # … -m flows.scheduling.tether PARENT SIGNAL MODULE [COMMAND …]
        module, *rest = command[command.index("flows.scheduling.tether") + 3 :]
        parts[rest[0] if module == "regulars" else module.rsplit(".", 1)[-1]] = [child, *child.children(recursive=True)]
    return {
        part: round(sum(process.memory_full_info().pss for process in processes) / 2**20, 1)
        for part, processes in parts.items()
    }


def _own_connection(home: Path) -> Connection:
    return connect(embedded_address(home), application="regulars-benchmark")


def main(
    orders: Annotated[int, typer.Option(help="How many orders there are.")] = 20_000,
    rounds: Annotated[int, typer.Option(help="Refreshes of each kind.")] = 5,
    rest: Annotated[int, typer.Option(help="Seconds of rest before the memory is measured.")] = 30,
) -> None:
    """Writes serve.json."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="regulars-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        with _serving(home) as (serving, prefect, ready):
            _await(lambda: httpx.get(ready, timeout=30).status_code == 200)
            (deployment,) = _await(lambda: prefect.post("/deployments/filter", json={}).json())
            with _own_connection(home) as connection:
                generate_orders(connection, orders)
                # Past the triggers, so that everything is computed once.
                connection.execute("update regulars.refreshes set fingerprint = 'generated'")
                first = _refresh(prefect, deployment["id"])
                idle = [_refresh(prefect, deployment["id"]) for _ in range(rounds)]
                small = []
                for number in range(rounds):
                    change(connection, orders=orders, number=70, round=f"serve {number}")
                    small.append(_refresh(prefect, deployment["id"]))
            time.sleep(rest)
            memory = _megabytes(serving, home)
    result = {
        "orders": orders,
        "rebuild_seconds": round(first, 2),
        "idle_refresh_seconds": round(median(idle), 2),
        "refresh_of_70_changes_seconds": round(median(small), 2),
        "all_seconds": {"idle": idle, "of 70 changes": small},
        "megabytes": memory | {"together": round(sum(memory.values()), 1)},
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    console.print_json(data=result)


if __name__ == "__main__":
    typer.run(main)
