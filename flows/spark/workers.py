"""Fails a job when the cluster has no worker; Spark itself would wait for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from flows.errors import BuildFailed

if TYPE_CHECKING:
    from pyspark import SparkContext

PATIENCE = 300.0
"""How many seconds a job waits for a worker: about as long as a cloud takes to start one."""

_EVERY = 5.0


def is_cluster(master: str) -> bool:
    """Whether Spark's tasks run in other processes than this one."""
    return master != "local" and not master.startswith("local[")


@contextmanager
def failing_without_workers(context: SparkContext, *, master: str, memory: str, patience: float) -> Iterator[None]:
    """Ends a cluster's session if a job of it has waited `patience` seconds for a worker. Raises BuildFailed if it did,
    or if the cluster ended the session. Without a cluster, this process computes, and it does nothing."""
    if not is_cluster(master):
        yield
        return
    # The JVM's session: pyspark keeps its own, so that dbt's next statement starts no other.
    session = context._jsc.sc()
    ended, gave_up = threading.Event(), threading.Event()

    def look() -> None:
        since = time.monotonic()
        while not ended.wait(min(_EVERY, patience / 5)):
            # Java may have ended meanwhile, which its user notices.
            with suppress(Exception):
                # One of them is this process. A cluster may take its workers back while there is no job.
                if session.getExecutorMemoryStatus().size() > 1 or not session.statusTracker().getActiveStageIds():
                    since = time.monotonic()
                elif time.monotonic() - since > patience:
                    gave_up.set()
                    session.stop()
                    return

    looker = threading.Thread(target=look, name="workers of Spark", daemon=True)
    looker.start()
    try:
        yield
    except Exception:
        # Of many kinds, from Spark, dbt or the socket between. While the session lives, it is raised as it is.
        if gave_up.is_set():
            raise BuildFailed(
                f"No worker of {master} has computed anything for {patience:.0f} s; nothing was published. Look after "
                f"its workers: one must have a core free, and the memory of REGULARS_SPARK_MEMORY, now {memory}."
            ) from None
        if _is_stopped(session):
            raise BuildFailed(
                f"The cluster {master} ended Spark's session while it computed; nothing was published. Look after its "
                "master, and run it again."
            ) from None
        raise
    finally:
        ended.set()
        looker.join()


def _is_stopped(session: object) -> bool:
    with suppress(Exception):
        return bool(session.isStopped())  # type: ignore[attr-defined]
    return False
