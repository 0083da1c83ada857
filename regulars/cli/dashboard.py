"""`regulars dashboard`."""

import logging
import threading
from typing import Annotated

import typer
from rich.console import Console

from ingest.storage.settings import Settings
from regulars.cli.extras import needs

log = logging.getLogger("regulars.dashboard")


def dashboard(
    host: Annotated[str, typer.Option(help="Where to listen; put anything but loopback behind TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8086,
) -> None:
    """Serve the owners' dashboard and its API, until stopped. `regulars token` makes a sign-in link."""
    with needs("dashboard", subject="The dashboard needs"):
        # Imported here, because no other command needs them.
        import uvicorn

        from regulars.dashboard.app import create_app
        from regulars.dashboard.pages import charts
        from regulars.web.logs import log_as_json
    settings = Settings.from_environment()
    app = create_app(settings)
    _require_owners_role_if_there_is_a_database(settings)
    Console(stderr=True, highlight=False, markup=False).print(
        f"The dashboard is at http://{host}:{port}. Stop with Ctrl-C."
    )
    log_as_json()
    threading.Thread(target=charts.warm_up, daemon=True).start()
    # Uvicorn's own access log would hold query strings.
    uvicorn.run(
        app, host=host, port=port, access_log=False, log_config=None, server_header=False, lifespan="on",
        timeout_graceful_shutdown=10,
    )  # fmt: skip


def _require_owners_role_if_there_is_a_database(settings: Settings) -> None:
    """Without a database the dashboard starts all the same; until there is one, its pages say that nothing loads."""
    from regulars.dashboard.errors import NotLoaded
    from regulars.dashboard.queries.reader import Reader

    reader = Reader(settings)
    reader.open()
    try:
        reader.check()
    except NotLoaded:
        log.warning("There is no database. Until there is one, the pages say that they could not be loaded.")
    finally:
        reader.close()
