"""`regulars check`: whether anything is wrong, for cron or a monitor."""

import json
from typing import Annotated

import typer
from rich.console import Console

from flows.alarms.telling import messages
from flows.alarms.watch import keep_watch
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a monitor.")] = False,
) -> None:
    """Say what is wrong, since when and what to do; exit status 1 if anything is. Tells of what is new, once."""
    settings = Settings.from_environment()
    with open_database(settings, application="regulars-check") as connection:
        alarms = keep_watch(connection, settings)
    if as_json:
        shown = [
            {
                "cause": alarm.cause_name, "what": alarm.what, "since": alarm.since.isoformat(), "shops": alarm.shops,
                "remedy": alarm.cause.remedy,
            }
            for alarm in alarms
        ]  # fmt: skip
        typer.echo(json.dumps(shown, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True, markup=False)
        for message in messages(alarms):
            console.print(message.title.removeprefix("Regulars: "), style="bold red")
            console.print(f"{message.body}\n")
        if not alarms:
            console.print("Nothing is wrong.")
    if alarms:
        raise typer.Exit(1)
