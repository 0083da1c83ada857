"""A TCP proxy on loopback with the faults of networks: slow, silent, cut, refused."""

import contextlib
import socket
import threading
import time
from typing import Literal, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Fault = Literal["none", "slow", "silent", "cut before", "cut after"]


class Proxy:
    """A proxy in front of the server's socket. `fault` applies to all further messages, on open connections too.

    slow: everything takes 5 s. silent: nothing arrives and nothing is closed. cut before: half of the client's next
    message is delivered, and the connection is closed. cut after: the message is delivered and carried out, and the
    connection is closed instead of the answer.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self.fault: Fault = "none"
        self._open: list[socket.socket] = []
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _connect(self) -> socket.socket:
        given = conninfo_to_dict(self._conninfo)
        host, port = str(given.get("host", "localhost")), str(given.get("port", 5432))
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    @property
    def conninfo(self) -> str:
        """The server's connection string, with the proxy's address."""
        return make_conninfo(self._conninfo, host="127.0.0.1", port=self.port)

    def refuse(self) -> None:
        """Stops listening and cuts all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def listen_again(self) -> None:
        self._listener = self._listen(self.port)

    def cut(self, connections: int | None = None) -> None:
        """Closes the oldest connections, or all."""
        ends = self._open[: None if connections is None else 2 * connections]
        del self._open[: len(ends)]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def wait_for(self, connections: int) -> None:
        """Waits until so many are open that were not cut."""
        deadline = time.monotonic() + 10
        while len(self._open) < 2 * connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.refuse()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._pump, args=[client, server, True], daemon=True).start()
            threading.Thread(target=self._pump, args=[server, client, False], daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_question: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.fault == "slow":
                    time.sleep(5)
                while self.fault == "silent":
                    time.sleep(0.02)
                if self.fault == "cut before" and is_question:
                    target.sendall(data[: len(data) // 2])
                    break
                if self.fault == "cut after" and not is_question:
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
