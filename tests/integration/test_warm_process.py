"""The process of `regulars serve` that refreshes goes on where Prefect's server doesn't."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from flows.scheduling.prefect_server import answers
from flows.scheduling.warm_process import WarmProcess
from ingest.storage.settings import Settings

pytestmark = pytest.mark.usefixtures("takes_long")


class _OnlyHealthy(BaseHTTPRequestHandler):
    """As a server whose database is away."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def healthy() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OnlyHealthy) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()


def test_a_server_that_answers_for_its_health_alone_is_a_line_in_the_log(
    healthy: str, caplog: pytest.LogCaptureFixture
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    assert answers(healthy)
    process = WarmProcess(Settings(PREFECT_API_URL=healthy))
    # It was there when the deployment was made.
    process._deployment = uuid4()
    with temporary_settings({PREFECT_API_URL: healthy}):
        process._run_requested()
    assert "could not be asked for runs. Prefect's server was lost" in caplog.text
