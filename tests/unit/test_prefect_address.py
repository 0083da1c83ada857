"""An address that is no Prefect server's is one, and no traceback, whatever answers there."""

import socket
import threading
from collections.abc import Iterator

import pytest

from flows.scheduling.prefect_server import ServerNotStarted, answers, running_api
from ingest.storage.settings import Settings


@pytest.fixture
def other_server() -> Iterator[int]:
    """The port of a server that speaks another protocol: it greets, as SSH and SMTP do."""

    def greet() -> None:
        for _ in range(2):
            client, _ = listener.accept()
            with client:
                client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                client.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]


def test_what_speaks_no_http_does_not_answer(other_server: int) -> None:
    address = f"http://127.0.0.1:{other_server}/api"
    assert not answers(address)
    with pytest.raises(ServerNotStarted, match=address):
        running_api(Settings(PREFECT_API_URL=address))


@pytest.mark.parametrize("address", ["http://127.0.0.1:42oo/api", "http://127.0.0.1:42 00/api", "127.0.0.1:4200", ""])
def test_what_is_no_address_does_not_answer(address: str) -> None:
    assert not answers(address)
