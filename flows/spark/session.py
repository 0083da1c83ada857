"""A Spark session inside this process: quiet, and with all of its files in one folder."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flows.building.project import in_one_line
from flows.errors import BuildFailed
from flows.spark.needs import require_spark
from flows.spark.workers import PATIENCE, failing_without_workers, is_cluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# The number of tasks when rows are exchanged. Spark combines small ones, and splits much larger ones in joins.
PARTITIONS = 64

# How many seconds Java may take to end.
_TO_END = 60

_QUIET = """
rootLogger.level = fatal
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = Spark: %m%n
"""

# Settings that the models rely on, wherever Spark runs.
MODELS_NEED = {
    # A sum that is too large, or a text that is no number, is an error and not NULL.
    "spark.sql.ansi.enabled": "true",
    # A product or quotient keeps its digits; one that is too large is an error.
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.session.timeZone": "UTC",
    # A month of the extract's folders is a text.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.adaptive.skewJoin.enabled": "true",
}


@contextmanager
def spark_session(
    warehouse: Path,
    *,
    master: str = "local[*]",
    memory: str = "2g",
    patience: float = PATIENCE,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[SparkSession]:
    """A session whose tables are in `warehouse`, in a folder `<schema>.db/<table>` each; its temporary files, too.

    `master`: `local[N]` for N threads of this machine, or a cluster's, whose workers see the same folder. `memory`: of
    each JVM, this machine's and the workers', as `2g`. `patience`: how many seconds a job waits for a worker. A process
    has one session at a time. `more`: further settings of Spark's. Raises SparkMissing where Spark can't run, and
    BuildFailed if it does not start with these settings, if an error of Spark's leaves the block, or if its Java
    process or the cluster ends during it.
    """
    require_spark()
    from pyspark.errors import PySparkException

    session = _start(warehouse, master=master, memory=memory, more=more)
    try:
        with failing_without_workers(session.sparkContext, master=master, memory=memory, patience=patience):
            yield session
    except Exception as error:
        # Of many kinds, from Spark, dbt or the socket between.
        if (ended := _java_ended()) is not None:
            raise BuildFailed(
                f"Spark's Java process ended with {ended} while it computed; nothing was published. Run it again; if "
                f"the machine ran out of memory, change REGULARS_SPARK_MEMORY, now {memory}."
            ) from None
        if isinstance(error, PySparkException):
            # Only while Java runs does it say what is wrong.
            raise BuildFailed(f"Spark stopped; nothing was published. {in_one_line(str(error))}") from None
        raise
    finally:
        if _java_ended() is None:
            session.stop()
        _end_java()
        shutil.rmtree(_work(warehouse), ignore_errors=True)


def _start(warehouse: Path, *, master: str, memory: str, more: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    warehouse = warehouse.resolve()
    work = _work(warehouse)
    work.mkdir(parents=True, exist_ok=True)
    log = work / "log4j2.properties"
    log.write_text(_QUIET, encoding="utf-8")
    # Errors are raised; pyspark would also print them, with a Java stack.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    settings = MODELS_NEED | {
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": (
            # In quotes, as there may be blanks in a folder's name.
            f'"-Dlog4j2.configurationFile={log}" "-Djava.io.tmpdir={work}" -Duser.timezone=UTC -XX:-UsePerfData'
        ),
        # Of these, a cluster's tasks need only the zone: a worker has its own log and temporary files.
        "spark.executor.defaultJavaOptions": "-Duser.timezone=UTC",
        "spark.executor.memory": memory,
        "spark.local.dir": str(work),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.shuffle.partitions": str(PARTITIONS),
        "spark.sql.warehouse.dir": address(warehouse),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if not is_cluster(master):
        # Executors on other machines have to reach this one.
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    builder = SparkSession.builder.appName("regulars").master(master)
    for name, value in (settings | dict(more)).items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except Exception as error:  # noqa: BLE001
        # Of many kinds, from Java, pyspark or the socket between. Only while Java runs does it say what is wrong.
        said = in_one_line(str(error))
        _end_java()
        shutil.rmtree(work, ignore_errors=True)
        if is_cluster(master) and "stopped SparkContext" in said:
            said = "No master of a cluster answers there, or not one of this version."
        raise BuildFailed(
            f"Spark does not start; nothing was published. {said} Look at REGULARS_SPARK_MASTER, now {master}, and "
            f"REGULARS_SPARK_MEMORY, now {memory}."
        ) from None


def address(folder: Path) -> str:
    """A folder's address for Spark: in the file system, since a cluster would look into its own store."""
    return f"file:{folder.resolve()}"


def _java_ended() -> int | None:
    """The exit status of Spark's Java process; None while it answers."""
    from py4j.protocol import Py4JError
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    # Where spark-submit started this process, the JVM is its parent.
    if gateway is None or gateway.proc is None:
        return None
    try:
        gateway.jvm.System.currentTimeMillis()
    except (Py4JError, OSError):
        # A process that was killed closes its connections before it can be waited for.
        with suppress(subprocess.TimeoutExpired):
            gateway.proc.wait(timeout=_TO_END)
    ended: int | None = gateway.proc.poll()
    return ended


def _end_java() -> None:
    """Ends the JVM, which pyspark would keep, with all of its memory, until this process ends."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    gateway = SparkContext._gateway
    if gateway is None or gateway.proc is None:
        return
    if gateway.proc.poll() is None:
        gateway.shutdown()
    # It ends when its input is closed.
    with suppress(OSError):
        gateway.proc.stdin.close()
    try:
        gateway.proc.wait(timeout=_TO_END)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()
    # So that the next session in this process starts another.
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
    SparkSession._instantiatedSession = None


def _work(warehouse: Path) -> Path:
    return warehouse.resolve() / ".spark"
