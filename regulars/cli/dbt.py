"""`regulars dbt`: dbt with the settings' connection, for work on the models."""

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated, Literal

import typer

from flows.building.project import environment, project_folder
from ingest.storage.connections import conninfo
from ingest.storage.settings import Settings

# dbt has no `python -m dbt`, and `python -m dbt.cli.main` warns that it imports itself twice.
_DBT = "from dbt.cli.main import cli; cli(prog_name='dbt')"

# Through Thrift.
_DBT_ON_SPARK = f"from flows.spark.adapter import keep_settings; keep_settings(); {_DBT}"


def dbt(
    context: typer.Context,
    run: Annotated[
        Literal["dbt", "sqlfluff"],
        typer.Option(help="What to run; sqlfluff compiles the models, so it needs the same connection."),
    ] = "dbt",
) -> None:
    """Run dbt on the project: [bold]regulars dbt -- build --select orders[/bold]."""
    settings = Settings.from_environment()
    folder, home = str(project_folder()), settings.home.resolve()
    # A target folder of its own, because a refresh may be running in the other one.
    unless_set = {"DBT_TARGET_PATH": str(home / "dbt" / "hand"), "DBT_LOG_PATH": str(home / "dbt" / "logs")}
    wanted = environment(settings, conninfo(settings)) | {
        "DBT_PROJECT_DIR": folder,
        "DBT_PROFILES_DIR": folder,
    }
    on_spark = any(argument in ("spark", "--target=spark") for argument in context.args) and find_spec("pyspark")
    program = ["-m", "sqlfluff"] if run == "sqlfluff" else ["-c", _DBT_ON_SPARK if on_spark else _DBT]
    command = [sys.executable, *program, *context.args]
    raise typer.Exit(subprocess.run(command, env=unless_set | os.environ | wanted, check=False).returncode)  # noqa: S603
