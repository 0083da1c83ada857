"""`regulars dbt`: dbt with the settings' connection, for whoever works on the models."""

import os
import subprocess
import sys

import typer

from flows.project import environment, project_folder
from ingest.database import conninfo
from ingest.settings import Settings


def dbt(context: typer.Context) -> None:
    """Run dbt on the project: [bold]regulars dbt -- build --select orders[/bold]."""
    settings = Settings.from_environment()
    folder = str(project_folder())
    variables = os.environ | environment(settings, conninfo(settings)) | {"DBT_PROFILES_DIR": folder}
    command = [sys.executable, "-m", "dbt.cli.main", *context.args, "--project-dir", folder]
    raise typer.Exit(subprocess.run(command, env=variables, check=False).returncode)  # noqa: S603
