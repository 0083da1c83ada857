"""Middleware that answers HEAD wherever there is a GET, with the same status and headers."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IS_HEAD = "regulars.is_head"


def is_head(scope: Scope) -> bool:
    """For what a GET does beyond answering: a HEAD must not do it."""
    return bool(scope.get(_IS_HEAD))


class Head:
    """Routes see a GET. The server, which knows what was asked, sends no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def name_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("Allow") == "GET":
                    headers["Allow"] = "GET, HEAD"
            await send(message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", _IS_HEAD: True}
        await self._app(scope, receive, name_head)
