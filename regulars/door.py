"""`regulars door`."""

import logging
from typing import Annotated

import typer
from rich.console import Console

from ingest.database import connect, conninfo
from ingest.errors import DatabaseError
from ingest.migrations import require_schema
from ingest.settings import Settings
from regulars.parts import needs

log = logging.getLogger("regulars.door")


def door(
    host: Annotated[
        str, typer.Option(help="Where it listens; anything but loopback belongs behind TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8085,
) -> None:
    """Take checkouts and visits over HTTP, until stopped. Callers show one of REGULARS_INGEST_TOKENS."""
    with needs("http", subject="The door needs"):
        # Not above: no other command needs them.
        import uvicorn

        from door.app import create_app
        from web.logs import log_as_json
    settings = Settings.from_environment()
    app = create_app(settings)
    _require_schema_if_there_is_a_database(settings)
    Console(stderr=True, highlight=False).print(f"The door is at http://{host}:{port}/api/ingest. Stop with Ctrl-C.")
    log_as_json()
    # The server's own log of requests would hold their query strings.
    uvicorn.run(
        app, host=host, port=port, access_log=False, log_config=None, server_header=False, lifespan="on",
        timeout_graceful_shutdown=10,
    )  # fmt: skip


def _require_schema_if_there_is_a_database(settings: Settings) -> None:
    """Without a database the door opens all the same, and keeps what it is told; in a wrong one it would keep all."""
    try:
        connection = connect(conninfo(settings), application="regulars-door")
    except DatabaseError as error:
        log.warning("%s Until then events are kept on this machine's disk.", error)
        return
    with connection:
        require_schema(connection)
