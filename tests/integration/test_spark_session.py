"""A Spark session that can't start, or that is lost, is one line; a folder may be called as it likes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from flows.building.project import project_folder
from flows.errors import BuildFailed
from flows.spark.build import warehouse_of
from flows.spark.session import spark_session
from flows.spark.sources import register_files
from tests.spark import SMALL, skip_without_spark, small_spark
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("takes_long")


@pytest.mark.parametrize(
    ("master", "memory", "said"),
    [("local[none]", "1g", "Could not parse Master URL"), ("local[1]", "100m", "memory")],
    ids=["master", "memory"],
)
def test_settings_that_spark_refuses_are_named(tmp_path: Path, master: str, memory: str, said: str) -> None:
    skip_without_spark()
    told = rf"^Spark does not start; .*{said}.* Look at REGULARS_SPARK_MASTER, now .*, and .*MEMORY, now {memory}\.$"
    with (
        pytest.raises(BuildFailed, match=told),
        spark_session(tmp_path / "warehouse", master=master, memory=memory),
    ):
        pass
    assert list(tmp_path.glob("warehouse/.spark/*")) == []


def test_tables_are_in_the_folder_whatever_its_name_and_wherever_a_cluster_keeps_its_own(tmp_path: Path) -> None:
    warehouse = tmp_path / "a large disk" / "warehouse"
    # As on a cluster of Hadoop's: a path without a scheme is one of its store.
    with small_spark(warehouse, more={"spark.hadoop.fs.defaultFS": "hdfs://127.0.0.1:1"}) as spark:
        spark.sql("create schema building")
        spark.sql("create table building.numbers using parquet as select 1 as number")
        assert list((warehouse / "building.db" / "numbers").glob("*.parquet"))
        assert warehouse_of(spark) == warehouse
        register_files(spark, "building.same", warehouse / "building.db" / "numbers")
        assert spark.table("building.same").count() == 1


def test_executors_have_the_memory_and_the_time_zone_and_a_killed_one_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_spark()
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    # A cluster of one worker in Spark's own Java; its executor is a process.
    monkeypatch.setenv("SPARK_WORKER_DIR", str(tmp_path / "worker"))
    with spark_session(tmp_path / "warehouse", master="local-cluster[1,1,600]", memory="600m", more=SMALL) as spark:
        assert spark.range(7).count() == 7
        executor, command = _executor()
        assert "-Xmx600M" in command
        assert "-Duser.timezone=UTC" in command
        os.kill(executor, signal.SIGKILL)
        assert spark.range(7).repartition(2).count() == 7
        assert _executor()[0] != executor


def test_a_cluster_without_a_free_worker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_spark()
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("SPARK_WORKER_DIR", str(tmp_path / "worker"))
    # Its worker has one core.
    wanted = SMALL | {"spark.executor.cores": "2"}
    told = (
        r"^No worker of local-cluster\[1,1,600\] has computed anything for 1 s; nothing was published\. .*, now 600m\.$"
    )
    with (
        pytest.raises(BuildFailed, match=told),
        spark_session(
            tmp_path / "warehouse", master="local-cluster[1,1,600]", memory="600m", patience=1, more=wanted
        ) as spark,
    ):
        spark.range(7).count()


def test_a_job_of_this_process_may_take_long(tmp_path: Path) -> None:
    skip_without_spark()
    sleep = "java_method('java.lang.Thread', 'sleep', cast(3000 as bigint))"
    with spark_session(tmp_path / "warehouse", master="local[1]", memory="600m", patience=1, more=SMALL) as spark:
        # There is no worker to wait for.
        assert len(spark.range(1).selectExpr(sleep).collect()) == 1


def _executor() -> tuple[int, list[str]]:
    """The process that computes, and its command."""
    from pyspark import SparkContext

    executors: list[psutil.Process] = []

    def is_there() -> bool:
        children = psutil.Process(SparkContext._gateway.proc.pid).children()
        executors[:] = [child for child in children if _NAME in _command(child)]
        return len(executors) == 1

    wait_until(is_there)
    return executors[0].pid, _command(executors[0])


_NAME = "org.apache.spark.executor.CoarseGrainedExecutorBackend"


def _command(process: psutil.Process) -> list[str]:
    # One that has just ended has none.
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def test_a_process_that_spark_submit_started_leaves_it_its_java(tmp_path: Path) -> None:
    skip_without_spark()
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; from pathlib import Path; from flows.spark.session import spark_session\n"
        "with spark_session(Path(sys.argv[1]), master='local[1]') as spark:\n"
        "    print(spark.range(7).count())\n"
    )
    found = find_spec("pyspark")
    assert found
    assert found.origin
    submit = Path(found.origin).parent / "bin" / "spark-submit"
    done = subprocess.run(
        [str(submit), "--master", "local[1]", str(program), str(tmp_path / "warehouse")],
        env=os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(project_folder())},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr


def test_an_error_of_sparks_and_a_java_that_is_gone_are_told_in_a_line(tmp_path: Path) -> None:
    with (
        pytest.raises(BuildFailed, match=r"^Spark stopped; nothing was published\. \[DIVIDE_BY_ZERO\] .*$"),
        small_spark(tmp_path / "warehouse") as spark,
    ):
        spark.sql("select 1 / 0").collect()
    with (
        pytest.raises(BuildFailed, match=r"^Spark's Java process ended with -9 while it computed; .*, now 1g\.$"),
        small_spark(tmp_path / "warehouse") as spark,
    ):
        _kill_java(spark)


def test_a_java_that_closes_its_connections_before_it_is_gone_is_told_too(tmp_path: Path) -> None:
    with (
        pytest.raises(BuildFailed, match=r"^Spark's Java process ended with -9 while it computed; .*, now 1g\.$"),
        small_spark(tmp_path / "warehouse") as spark,
    ):
        _kill_java_late(spark)


def _kill_java(spark: SparkSession) -> None:
    from pyspark import SparkContext

    os.kill(SparkContext._gateway.proc.pid, signal.SIGKILL)
    spark.sql("select 1").collect()


def _kill_java_late(spark: SparkSession) -> None:
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    gateway.shutdown()
    threading.Timer(2, gateway.proc.kill).start()
    spark.sql("select 1").collect()
