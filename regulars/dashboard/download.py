"""The response that streams an export, for the API and the pages."""

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.queries.csv_export import Export


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        failure: NotLoaded | None = None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_on_disconnect, receive, group.cancel_scope)
                try:
                    await self._send_all(send)
                except NotLoaded as error:
                    failure = error
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._export.close)
        if failure is not None:
            raise failure

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (part := await run_in_threadpool(self._export.next_part)) is not None:
            if part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
