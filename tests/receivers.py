"""Where alarms arrive: a webhook and a mail server, both real, on loopback."""

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.served import free_port


class Webhook:
    """Takes JSON. `status` is what it answers; while `is_open` isn't set it doesn't answer at all."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, str]] = []
        self.status = 200
        self.is_open = threading.Event()
        self.is_open.set()
        self.came = threading.Event()

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.bodies]

    @property
    def titles(self) -> list[str]:
        return [body["title"].removeprefix("Regulars: ") for body in self.bodies]


@contextmanager
def webhook() -> Iterator[tuple[Webhook, str]]:
    """The webhook, and its address for REGULARS_ALARM_URLS: Slack reads the message in `text`."""
    received = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.came.set()
            received.is_open.wait(60)
            if received.status == 200:
                received.bodies.append(body)
            self.send_response(received.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        try:
            yield received, f"json://127.0.0.1:{port}/alarms?:message=text"
        finally:
            received.is_open.set()


@contextmanager
def mail_server() -> Iterator[tuple[list[EmailMessage], str]]:
    """The mails that it took, and its address for REGULARS_ALARM_URLS."""
    received: list[EmailMessage] = []

    class Handler:
        async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
            assert isinstance(envelope.content, bytes)
            received.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
            return "250 taken"

    server = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        address = f"mailto://127.0.0.1:{server.port}/"
        yield received, f"{address}?from=regulars@shop.example&to=operator@shop.example&mode=insecure"
    finally:
        server.stop()


@contextmanager
def _served(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
