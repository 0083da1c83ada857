"""The cost of an outage: `python -m benchmarks.outage --help`.

First the spool: without a database, threads of one process and of several track checkouts as fast as they can. Then the
recovery: a storefront tracks checkouts at a steady rate; in the middle the database ends every session and accepts
none for a while.
"""

import json
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import quantiles
from typing import Annotated
from uuid import uuid4

import psycopg
import typer
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.track import make_checkouts
from ingest import Checkout, Tracker
from ingest.storage.connections import conninfo
from ingest.storage.settings import Settings

RESULTS = Path(__file__).with_name("outage.json")

_NOBODY_LISTENS = "host=127.0.0.1 port=1"

_WRITERS = ((1, 1), (1, 8), (1, 40), (4, 40))  # processes, threads of each

_GLITCHES = ((100, 0.0), (200, 0.0), (400, 0.0), (400, 5.0))  # checkouts a second, seconds of outage

_THREADS = 40  # of the storefront, as many as the ingest API has

_SECONDS_BEFORE = 2.0

_all_ready: Barrier


def measure_spool(*, processes: int, threads: int, seconds: float) -> dict[str, object]:
    """Every process has a tracker of its own; all share one spool."""
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as home,
        ProcessPoolExecutor(
            processes, mp_context=context, initializer=_meet_at, initargs=[context.Barrier(processes)]
        ) as pool,
    ):
        answers = [
            one
            for future in [pool.submit(_tell_back_to_back, home, threads, seconds) for _ in range(processes)]
            for one in future.result()
        ]
    taken = [took for took, _ in answers]
    outcomes = Counter(outcome for _, outcome in answers)
    return {
        "processes": processes,
        "threads": threads,
        "p50_ms": round(quantiles(taken, n=100)[49] * 1000, 1),
        "p99_ms": round(quantiles(taken, n=100)[98] * 1000, 1),
        "longest_ms": round(max(taken) * 1000, 1),
        "spooled_per_second": round(outcomes["spooled"] / seconds),
        "refused": outcomes["refused"],
    }


def _meet_at(barrier: Barrier) -> None:
    global _all_ready
    _all_ready = barrier


def _tell_back_to_back(home: str, threads: int, seconds: float) -> list[tuple[float, str]]:
    shop = uuid4()
    with Tracker(Settings(DATABASE_URL=_NOBODY_LISTENS, home=Path(home))) as tracker:
        # The first event finds out that nobody listens.
        tracker.track(Checkout(shop_id=shop, order_id=uuid4()))
        _all_ready.wait()
        end = time.monotonic() + seconds

        def work(_: int) -> list[tuple[float, str]]:
            answers = []
            while (began := time.monotonic()) < end:
                answer = tracker.track(Checkout(shop_id=shop, order_id=uuid4(), phone="0241234567", slug="bench"))
                answers.append((time.monotonic() - began, answer.outcome))
            return answers

        with ThreadPoolExecutor(threads) as pool:
            return [one for each in pool.map(work, range(threads)) for one in each]


def measure_return(settings: Settings, *, rate: int, outage: float, seconds: float) -> dict[str, object]:
    """Trade goes on for `seconds` after the database is back."""
    with open_database(settings) as connection:
        shop = uuid4()
        connection.execute("insert into public.user_shops (id, shop_slug) values (%s, %s)", [shop, str(shop)])
        number = round(rate * (_SECONDS_BEFORE + outage + seconds))
        checkouts = make_checkouts(connection, shop, number, first=0)
        connection.execute("analyze")
    with (
        tempfile.TemporaryDirectory() as home,
        Tracker(settings.model_copy(update={"home": Path(home)})) as tracker,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        tracker.track(checkouts[0])
        began = time.monotonic()
        trade = pool.submit(lambda: list(_trade(tracker, checkouts, rate)))
        time.sleep(_SECONDS_BEFORE)
        with _outage(settings):
            time.sleep(outage)
        back = time.monotonic()
        waiting, emptied = 0, None
        while not trade.done():
            time.sleep(0.05)
            waiting = max(waiting, count := tracker.spool.count())
            if count:
                emptied = None
            elif emptied is None:
                emptied = time.monotonic()
        answers = trade.result()
        end = time.monotonic()
    after = [(moment, outcome) for moment, outcome in answers if moment >= back]
    last_spooled = max((moment for moment, outcome in after if outcome == "spooled"), default=back)
    return {
        "rate": rate,
        "outage_s": outage,
        "answered_per_second": round(len(answers) / (end - began)),
        "direct_again_s": round(last_spooled - back, 2) if last_spooled < end - 1 else None,
        "most_waiting": waiting,
        "spool_empty_s": round(emptied - back, 2) if emptied is not None else None,
        "spooled_of_all": round(sum(outcome == "spooled" for _, outcome in answers) / len(answers), 3),
        "refused": sum(outcome == "refused" for _, outcome in answers),
    }


def _trade(tracker: Tracker, checkouts: list[Checkout], rate: int) -> Iterator[tuple[float, str]]:
    """When each was answered, and how; tracked at a steady rate, however long the answers take."""
    lock, left = threading.Lock(), iter(enumerate(checkouts))
    began = time.monotonic()

    def work(_: int) -> list[tuple[float, str]]:
        answers = []
        while True:
            with lock:
                number, checkout = next(left, (0, None))
            if checkout is None:
                return answers
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            answer = tracker.track(checkout)
            answers.append((time.monotonic(), answer.outcome))

    with ThreadPoolExecutor(_THREADS) as pool:
        for each in pool.map(work, range(_THREADS)):
            yield from each


@contextmanager
def _outage(settings: Settings) -> Iterator[None]:
    where = conninfo(settings)
    name = conninfo_to_dict(where)["dbname"]
    with psycopg.connect(conninfo(settings, database="postgres"), autocommit=True) as admin:
        allow = sql.SQL("alter database {} allow_connections {}")
        admin.execute(allow.format(sql.Identifier(str(name)), sql.Literal(False)))
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'regulars-ingest'"
        )
        try:
            yield
        finally:
            admin.execute(allow.format(sql.Identifier(str(name)), sql.Literal(True)))


def main(
    seconds: Annotated[float, typer.Option(help="How long threads tell; trade goes on three times as long")] = 5,
    quick: Annotated[bool, typer.Option(help="Short: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Measure the spool and the way back from an outage."""
    seconds = 0.5 if quick else seconds
    spool = [measure_spool(processes=many, threads=each, seconds=seconds) for many, each in _WRITERS]
    with own_database("regulars_bench_outage") as settings:
        back = [measure_return(settings, rate=rate, outage=outage, seconds=3 * seconds) for rate, outage in _GLITCHES]
    results.write_text(json.dumps({"spool": spool, "return": back}, indent=1) + "\n")
    console = Console(highlight=False)
    for figure in [*spool, *back]:
        console.print(" | ".join(["", *map(str, figure.values()), ""]).strip())


if __name__ == "__main__":
    typer.run(main)
