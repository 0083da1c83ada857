"""Logs as JSON lines, without anything that a caller sent: no phone number, e-mail address or name."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from ingest.storage.errors import RegularsError


class JsonLines(logging.Formatter):
    """One object a line. An exception is logged by type and place, because its text may hold personal data."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _without_traceback(record.getMessage()),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line |= describe(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _without_traceback(message: str) -> str:
    # uvicorn logs the traceback of a failed start as a message.
    return "it could not start" if message.startswith("Traceback") else message


def describe(error: BaseException) -> dict[str, str]:
    """The error's type and place; its text only where it is one of ours, which hold no personal data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    fields = {"error": type(error).__name__}
    if isinstance(error, RegularsError):
        fields["detail"] = str(error)
    if trace is not None:
        fields["where"] = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
    return fields


def log_as_json() -> None:
    """Sends everything that this process logs to stderr, as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
