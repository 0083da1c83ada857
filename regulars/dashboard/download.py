"""The response that streams an export, for the API and the pages."""

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.queries.exports import Export
from regulars.web.head import is_head


class Download(Response):
    """Sends an export. If the rest can't be read it drops the connection, so that a part never looks complete."""

    def __init__(self, export: Export) -> None:
        as_of = export.freshness.as_of
        super().__init__(
            media_type=export.media_type,
            headers={
                "Content-Disposition": f'attachment; filename="{export.filename}"',
                "Cache-Control": "private, no-store",
                "Regulars-As-Of": as_of.isoformat() if as_of else "",
                "Regulars-Stale": "true" if export.freshness.stale else "false",
            },
        )
        del self.headers["Content-Length"]
        self._export = export

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: NotLoaded | None = None
        try:
            async with anyio.create_task_group() as group:
                if is_head(scope):
                    self._export.rows = 0  # for the log: nobody gets them
                group.start_soon(_cancel_on_disconnect, receive, group.cancel_scope)
                try:
                    await self._send_all(send, is_head=is_head(scope))
                except NotLoaded as error:
                    failure = error
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._export.close)
        if failure is not None:
            raise failure

    async def _send_all(self, send: Send, *, is_head: bool) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # More parts would follow, so a HEAD has the headers of a compressed stream too.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        while not is_head and (part := await run_in_threadpool(self._export.next_part)) is not None:
            if part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
