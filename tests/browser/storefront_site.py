"""A storefront's own site, from which its owner comes to the dashboard."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@contextmanager
def storefront_site(address: str, token: dict[str, str]) -> Iterator[str]:
    """Another site, whose server holds the owner's token: a page with the button, and one that means harm."""

    class Storefront(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/analytics":
                url = httpx.URL(httpx.post(f"{address}/session", headers=token).json()["url"])
                self.send_response(303)
                # The tests' dashboard has another port than its settings say.
                self.send_header("Location", f"{address}{url.raw_path.decode()}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            page = (
                b"<!doctype html><title>Shop</title><a href='/analytics'>Analytics</a>"
                b"<form method='post' action='%s/sign-out'><button>Win a phone</button></form>" % address.encode()
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Nothing: the token is in an address."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Storefront)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        # By another name than the dashboard's, so that it is another site to the browser.
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
