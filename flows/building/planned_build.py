"""Runs a recorded plan: each model and test after those that it reads, on as many connections as dbt would use."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from queue import SimpleQueue

import psycopg

from flows.building.plan import Node, Plan
from flows.building.project import Built, build_failed, session_options
from flows.lock import BUILDING
from flows.nodes import NodeEvent, Watch, ignore
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

# A refresh runs at any hour, and checkouts would wait for the cores of parallel queries.
_ON_ONE_CORE = "-c max_parallel_workers_per_gather=0"


@dataclass(frozen=True, slots=True)
class _Ran:
    """A node that ran. `fault`: what a data test found."""

    node: Node
    seconds: float
    fault: str | None


def run_plan(plan: Plan, settings: Settings, conninfo: str, *, patience: float, watch: Watch = ignore) -> Built:
    """Runs every node in transactions that end where dbt's end. `patience`: how many seconds each waits for a lock.

    `watch` is called for each node that begins or ends. Raises BuildFailed if a data test fails, a lock is not obtained
    or the server is lost; and psycopg.Error if a statement fails in itself: something is not as it was when the plan
    was recorded.
    """
    ran = list(_run_in_order(plan, settings.threads, conninfo, patience=patience, watch=watch))
    failed = [f"{each.node.name}: {each.fault}" for each in ran if each.fault and not each.node.only_warns]
    if failed:
        raise build_failed(failed)
    return Built(
        seconds={each.node.node_id: each.seconds for each in ran},
        warnings=tuple(each.node.name for each in ran if each.fault),
    )


def _run_in_order(plan: Plan, threads: int, conninfo: str, *, patience: float, watch: Watch) -> Iterator[_Ran]:
    nodes = {node.node_id: node for node in plan.nodes}
    order = TopologicalSorter({node.node_id: node.after for node in plan.nodes})
    order.prepare()
    running = set()
    run = partial(_run, total=len(nodes), watch=watch)
    with _connections(threads, conninfo, patience=patience) as connections, ThreadPoolExecutor(threads) as pool:
        free: SimpleQueue[Connection] = SimpleQueue()
        for connection in connections:
            free.put(connection)
        try:
            while order.is_active():
                running |= {pool.submit(run, nodes[node_id], free) for node_id in order.get_ready()}
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    ran = future.result()
                    order.done(ran.node.node_id)
                    yield ran
        except BaseException:
            # Else the pool would wait for statements that nobody needs any more.
            pool.shutdown(wait=False, cancel_futures=True)
            for connection in connections:
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=5)
            raise


@contextmanager
def _connections(number: int, conninfo: str, *, patience: float) -> Iterator[list[Connection]]:
    options = f"{session_options(conninfo, patience=patience)} {_ON_ONE_CORE}"
    with ExitStack() as stack:
        yield [
            stack.enter_context(psycopg.connect(conninfo, options=options, application_name=BUILDING))
            for _ in range(number)
        ]


def _run(node: Node, free: "SimpleQueue[Connection]", *, total: int, watch: Watch) -> _Ran:
    connection = free.get()
    watch(NodeEvent(node.node_id, total))
    began = time.monotonic()
    fault, has_failed = None, True
    try:
        if node.is_test:
            fault = _fault(connection, node)
        else:
            _build(connection, node)
        has_failed = fault is not None and not node.only_warns
        return _Ran(node, time.monotonic() - began, fault)
    except psycopg.OperationalError as error:
        # Another node failed and cancelled this one.
        has_failed = not isinstance(error, psycopg.errors.QueryCanceled)
        raise build_failed([f"{node.name}: {error.diag.message_primary or error}"]) from None
    finally:
        watch(NodeEvent(node.node_id, total, time.monotonic() - began, has_failed))
        free.put(connection)


def _build(connection: Connection, node: Node) -> None:
    for statement in node.statements:
        if statement == "COMMIT":
            connection.commit()
        else:
            connection.execute(statement.encode())
    connection.commit()


def _fault(connection: Connection, node: Node) -> str | None:
    """Runs a data test, and returns what it found if dbt's own statement says that this counts."""
    (statement,) = node.statements
    ((failures, should_warn, should_error),) = connection.execute(statement.encode()).fetchall()
    connection.rollback()
    if should_warn if node.only_warns else should_error:
        return f"Got {failures} {'result' if failures == 1 else 'results'}"
    return None
