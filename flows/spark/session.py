"""A Spark session inside this process: quiet, on loopback, and with all of its files in one folder."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.errors import SparkMissing
from flows.spark.java import find_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Among how many tasks rows are divided when they are exchanged. Spark puts small ones together, and splits one that is
# much larger than the others where it joins.
PARTITIONS = 64

_QUIET = """
rootLogger.level = error
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
    warehouse: Path, *, master: str = "local[*]", memory: str = "2g", partitions: int = PARTITIONS
) -> Iterator[SparkSession]:
    """A session whose tables are in `warehouse`, in a folder `<schema>.db/<table>` each; its temporary files, too.

    `master`: `local[N]` for N threads of this machine. `memory`: of the JVM, as `2g`. A process has one session at a
    time. Raises SparkMissing without Java 17 or pyspark.
    """
    session = start(warehouse, master=master, memory=memory, partitions=partitions)
    try:
        yield session
    finally:
        session.stop()
        shutil.rmtree(_work(warehouse), ignore_errors=True)


def start(warehouse: Path, *, master: str, memory: str, partitions: int) -> SparkSession:
    java = find_java(os.environ)
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise SparkMissing("pyspark is not installed: run `make spark`.") from None
    warehouse = warehouse.resolve()
    work = _work(warehouse)
    work.mkdir(parents=True, exist_ok=True)
    log = work / "log4j2.properties"
    log.write_text(_QUIET, encoding="utf-8")
    # What is wrong is raised; pyspark would print it as well, with a Java stack.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    os.environ.setdefault("JAVA_HOME", str(java.resolve().parent.parent))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = MODELS_NEED | {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": (
            f"-Dlog4j2.configurationFile={log} -Djava.io.tmpdir={work} -Duser.timezone=UTC -XX:-UsePerfData"
        ),
        "spark.local.dir": str(work),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.shuffle.partitions": str(partitions),
        "spark.sql.warehouse.dir": str(warehouse),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.appName("regulars").master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _work(warehouse: Path) -> Path:
    return warehouse.resolve() / ".spark"
