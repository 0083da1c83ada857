"""`regulars ingest-api`."""

import logging
from typing import Annotated

import typer
from rich.console import Console

from ingest.storage.errors import DatabaseError
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings
from regulars.cli.extras import needs
from regulars.cli.opening import open_database

log = logging.getLogger("regulars.ingest_api")


def ingest_api(
    host: Annotated[str, typer.Option(help="Where to listen; put anything but loopback behind TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8085,
) -> None:
    """Accept checkouts and visits over HTTP, until stopped. Callers need one of REGULARS_INGEST_TOKENS."""
    with needs("ingest-api", subject="The ingest API needs"):
        # Imported here, because no other command needs them.
        import uvicorn

        from regulars.ingest_api.app import create_app
        from regulars.web.logs import log_as_json
    settings = Settings.from_environment()
    app = create_app(settings)
    _require_schema_if_there_is_a_database(settings)
    Console(stderr=True, highlight=False, markup=False).print(
        f"The ingest API is at http://{host}:{port}/api/ingest. Stop with Ctrl-C."
    )
    log_as_json()
    # Uvicorn's own access log would hold query strings.
    uvicorn.run(
        app, host=host, port=port, access_log=False, log_config=None, server_header=False, lifespan="on",
        timeout_graceful_shutdown=10,
    )  # fmt: skip


def _require_schema_if_there_is_a_database(settings: Settings) -> None:
    """Without a database the API starts and spools events on disk; with one that has no schema it must not start."""
    try:
        connection = open_database(settings, must_be_migrated=False, application="regulars-ingest-api")
    except DatabaseError as error:
        log.warning("%s Until then, events are spooled on this machine's disk.", error)
        return
    with connection:
        require_schema(connection)
