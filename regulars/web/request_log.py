"""Middleware that logs each request, and turns an unexpected exception into a problem."""

import logging
import time
from collections.abc import Collection

from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regulars.web.logs import describe
from regulars.web.problems import Problem, of_status

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}


class RequestLog:
    """Add it last. It logs method, path, status and milliseconds, and nothing else of the request.

    Only the dashboard's middleware for CORS is outside it, and answers preflights itself, so these aren't logged.

    `paths` are the application's; one with a parameter, such as /customers/{customer_id}, is logged as written here.
    `on_exception` is the response to an unexpected exception.
    """

    def __init__(
        self, app: ASGIApp, *, paths: Collection[str], logger: str, on_exception: Problem | None = None
    ) -> None:
        self._app = app
        self._paths = frozenset(path for path in paths if "{" not in path)
        self._templates = [(compile_path(path)[0], path) for path in paths if "{" in path]
        self._log = logging.getLogger(logger)
        self._on_exception = on_exception or of_status(500)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        failure: dict[str, str] = {}
        try:
            await self._app(scope, receive, record_status)
        except ClientDisconnect:
            status = 499  # nginx's code for a client that disconnected before it had sent its body
        except Exception as error:  # noqa: BLE001  # the server would log its text
            failure = describe(error)
            if status == 0:
                await self._on_exception.response()(scope, receive, record_status)
        self._log.log(
            logging.ERROR if failure else logging.INFO,
            "request",
            extra={
                "fields": {
                    # An unknown method or path may be anything, so it is not logged.
                    "method": scope["method"] if scope["method"] in _METHODS else "other",
                    "path": self._known_path(scope["path"]),
                    "status": status,
                    "ms": round((time.perf_counter() - began) * 1000, 1),
                    **failure,
                }
            },
        )

    def _known_path(self, path: str) -> str:
        if path in self._paths:
            return path
        return next((template for pattern, template in self._templates if pattern.fullmatch(path)), "other")
