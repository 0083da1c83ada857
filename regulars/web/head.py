"""Middleware that answers HEAD wherever there is a GET, with the same status and headers and without the body."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IS_HEAD = "regulars.is_head"


def is_head(scope: Scope) -> bool:
    """For what a GET does beyond answering: a HEAD must not do it."""
    return bool(scope.get(_IS_HEAD))


class Head:
    """Routes see a GET. What they send as a body is dropped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        is_head = scope["method"] == "HEAD"

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("Allow") == "GET":
                    headers["Allow"] = "GET, HEAD"
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET", _IS_HEAD: True} if is_head else scope, receive, send_head)
