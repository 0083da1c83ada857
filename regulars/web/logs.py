"""Logs as JSON lines, without anything that a caller gave: no phone, e-mail or name, wherever it was put."""

import json
import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.storage.errors import RegularsError
from regulars.web.problems import Problem, of_status

log = logging.getLogger("regulars.ingest_api")

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}


class JsonLines(logging.Formatter):
    """One object a line. Of an exception its kind and place: the text may hold a person's data."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _without_traceback(record.getMessage()),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line |= what_broke(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _without_traceback(message: str) -> str:
    # uvicorn logs the traceback of a start that failed as a message.
    return "it could not start" if message.startswith("Traceback") else message


def what_broke(error: BaseException) -> dict[str, str]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    told = {"error": type(error).__name__}
    if isinstance(error, RegularsError):
        told["detail"] = str(error)
    if trace is not None:
        told["where"] = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
    return told


def log_as_json() -> None:
    """Everything that this process logs goes to stderr as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Watch:
    """The outermost layer of ours: logs each request, and turns what broke into a problem without its text.

    `paths` are those that are ours; one with a parameter, such as /customers/{customer_id}, is logged as it is written
    here. `broken` is what is answered where something broke.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        paths: Collection[str],
        logger: logging.Logger = log,
        broken: Problem | None = None,
    ) -> None:
        self._app = app
        self._paths = frozenset(path for path in paths if "{" not in path)
        self._templates = [(compile_path(path)[0], path) for path in paths if "{" in path]
        self._log = logger
        self._broken = broken or of_status(500)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        broke: dict[str, str] = {}
        try:
            await self._app(scope, receive, note)
        except ClientDisconnect:
            status = 499  # as nginx writes it: the caller hung up before its body had come
        except Exception as error:  # noqa: BLE001  # the server would log its text
            broke = what_broke(error)
            if status == 0:
                await self._broken.response()(scope, receive, note)
        self._log.log(
            logging.ERROR if broke else logging.INFO,
            "request",
            extra={
                "fields": {
                    # Of a path or a method that is not ours, nothing is told: it may be anything.
                    "method": scope["method"] if scope["method"] in _METHODS else "other",
                    "path": self._known(scope["path"]),
                    "status": status,
                    "ms": round((time.perf_counter() - began) * 1000, 1),
                    **broke,
                }
            },
        )

    def _known(self, path: str) -> str:
        if path in self._paths:
            return path
        return next((template for pattern, template in self._templates if pattern.fullmatch(path)), "other")
