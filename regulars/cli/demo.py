"""`regulars demo`: what Regulars shows, with made-up shops."""

import shutil
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from rich.text import Text

from ingest.storage.connections import conninfo
from ingest.storage.settings import Settings
from regulars.demo.dashboard import served_dashboard
from regulars.demo.database import DATABASE
from regulars.demo.sample_data import SampleData, make_sample_data, yesterday
from regulars.demo.show import play

_ADDRESS = ("host", "port", "user", "dbname")


def demo(
    seed: Annotated[int, typer.Option(help="The same seed makes the same people and numbers.")] = 7,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], show_default="yesterday", help="The last day of the year that it shows."),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep it running until Enter, with the shops' dashboards in a browser and the tables in psql.",
        ),
    ] = False,
) -> None:
    """Show a year of four made-up shops, from checkout to the nine cards.

    The demo has a database of its own, regulars_demo, which it drops and creates each time.
    """
    settings, console = Settings.from_environment(), Console(highlight=False)
    data = make_sample_data(seed=seed, until=until.date() if until else yesterday(datetime.now(UTC)))
    play(settings, data, console=console)
    _print_next_steps(settings, console, is_there=keep or settings.database_url is not None)
    if keep:
        _stay(settings, data, console)


def _stay(settings: Settings, data: SampleData, console: Console) -> None:
    own = settings.model_copy(update={"database_url": conninfo(settings, database=DATABASE)})
    with served_dashboard(own, data.shops) as links:
        console.print("\n[bold]The shops' dashboards[/], each as its owner sees it; the links work for 15 minutes")
        for name, link in links.items():
            console.print(Text.assemble((f"  {name}\n", "dim"), (f"    {link}", "cyan")), soft_wrap=True)
        console.print("\nEnter ends the demo.")
        sys.stdin.readline()


def _print_next_steps(settings: Settings, console: Console, *, is_there: bool) -> None:
    """Prints commands that can be pasted as they are. `is_there`: the demo's database outlives this process."""
    me = "regulars" if shutil.which("regulars") else sys.argv[0]
    steps = {f"{me} demo --keep": "the same, and then look around in the shops' dashboards and the database"}
    if is_there:
        given = conninfo_to_dict(conninfo(settings, database=DATABASE))
        where = " ".join(f"{name}={value}" for name, value in given.items() if name in _ADDRESS)
        steps = {
            f'DATABASE_URL="{where}" {me} sql': "which link brings whom: table slug_analytics;",
            f'DATABASE_URL="{where}" {me} status': "how old the numbers are",
        }
    steps |= {f"{me} demo --seed 8": "other people", f"{me} migrate": "your own shops; then load and refresh"}
    console.print("[bold]Try next[/]")
    for command, why in steps.items():
        console.print(Text.assemble((f"  {why}\n", "dim"), (f"    {command}", "cyan")), soft_wrap=True)
