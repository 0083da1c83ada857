"""A Spark session inside this process: quiet, on loopback, and with all of its files in one folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flows.spark.needs import require_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Among how many tasks rows are divided when they are exchanged. Spark puts small ones together, and splits one that is
# much larger than the others where it joins.
PARTITIONS = 64

_QUIET = """
rootLogger.level = fatal
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = Spark: %m%n
"""

# What the models count on, wherever Spark runs.
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
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[SparkSession]:
    """A session whose tables are in `warehouse`, in a folder `<schema>.db/<table>` each; its temporary files, too.

    `master`: `local[N]` for N threads of this machine. `memory`: of the JVM, as `2g`. A process has one session at a
    time. `more`: further settings of Spark's. Raises SparkMissing where Spark can't run.
    """
    session = _start(warehouse, master=master, memory=memory, more=more)
    try:
        yield session
    finally:
        session.stop()
        _end_java()
        shutil.rmtree(_work(warehouse), ignore_errors=True)


def _start(warehouse: Path, *, master: str, memory: str, more: Mapping[str, str]) -> SparkSession:
    require_spark()
    from pyspark.sql import SparkSession

    warehouse = warehouse.resolve()
    work = _work(warehouse)
    work.mkdir(parents=True, exist_ok=True)
    log = work / "log4j2.properties"
    log.write_text(_QUIET, encoding="utf-8")
    # What is wrong is raised; pyspark would print it as well, with a Java stack.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    settings = MODELS_NEED | {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": (
            f"-Dlog4j2.configurationFile={log} -Djava.io.tmpdir={work} -Duser.timezone=UTC -XX:-UsePerfData"
        ),
        "spark.local.dir": str(work),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.shuffle.partitions": str(PARTITIONS),
        "spark.sql.warehouse.dir": str(warehouse),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.appName("regulars").master(master)
    for name, value in (settings | dict(more)).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _end_java() -> None:
    """pyspark would keep the JVM, with all of its memory, until this process ends."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        # It ends when nothing can be written to it any more.
        gateway.proc.stdin.close()
        gateway.proc.wait(timeout=60)
        SparkContext._gateway = SparkContext._jvm = None


def _work(warehouse: Path) -> Path:
    return warehouse.resolve() / ".spark"
