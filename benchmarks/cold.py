"""What `regulars refresh` costs from the command line, over CDNOW's 69,659 orders: `python -m benchmarks.cold`.

Each run is a process of its own that imports what it needs: as cron would start it.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.generated_orders import settle
from tests.cdnow import purchases
from tests.storefront import add_purchases, add_shop

RESULTS = Path(__file__).with_name("cold.json")

_CHANGE = """
    update public.shop_orders set total_price = total_price + 1
    where id in (select id from public.shop_orders order by md5(id::text || %s) limit %s)
"""


def run(command: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of one command by the clock, and of its own processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "regulars", command], env=environment, check=True, capture_output=True)
    clock = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"clock": round(clock, 2), "processor": round(processor, 2)}


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured; the median counts")] = 5,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Measure cold refreshes of 70 changes and of none, and a cold rebuild."""
    console = Console(highlight=False)
    measured: dict[str, list[dict[str, float]]] = {}
    with (
        own_database("regulars_bench_cold") as settings,
        open_database(settings) as connection,
        tempfile.TemporaryDirectory(prefix="regulars-") as home,
    ):
        environment = os.environ | {"DATABASE_URL": settings.database_url or "", "REGULARS_HOME": home}
        shop = add_shop(connection, "cdnow", country="US", timezone="America/New_York")
        add_purchases(connection, shop, sorted(purchases()))
        measured["the first rebuild"] = [run("rebuild", environment)]
        settle(connection)
        run("refresh", environment)
        for number in range(rounds):
            measured.setdefault("refresh, nothing to do", []).append(run("refresh", environment))
            connection.execute(_CHANGE, [str(number), 70])
            measured.setdefault("refresh, 70 changes", []).append(run("refresh", environment))
        measured["rebuild"] = [run("rebuild", environment) for _ in range(min(rounds, 3))]
    figures: dict[str, Any] = {
        what: {
            "clock": median(each["clock"] for each in runs),
            "processor": median(each["processor"] for each in runs),
            "all": runs,
        }
        for what, runs in measured.items()
    }
    results.write_text(json.dumps(figures, indent=1) + "\n")
    for what, figure in figures.items():
        console.print(f"{what}: {figure['clock']} s by the clock, {figure['processor']} s of the client's processor")


if __name__ == "__main__":
    typer.run(main)
