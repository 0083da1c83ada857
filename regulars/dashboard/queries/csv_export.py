"""A shop's customers as CSV: streamed out of the owner's transaction, and harmless to the spreadsheet that opens it.

RFC 4180 in UTF-8 with a byte order mark, by which Excel knows it. Times are the shop's own, written as spreadsheets
read them. A text that a spreadsheet would take for a formula has an apostrophe before it, and so has each phone: it
begins with a plus.
"""

import csv
import io
import logging
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import anyio
import psycopg
from psycopg import sql
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from regulars.dashboard.api.schemas import CustomerFilter, CustomerRow, with_cents
from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.queries import shop as questions
from regulars.dashboard.queries.customers import CUSTOMER_COLUMNS, order, which
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.queries.views import require_counted
from regulars.dashboard.security.tokens import Owner

log = logging.getLogger("regulars.dashboard")

COLUMNS = tuple(CustomerRow.model_fields)

_ROWS_AT_ONCE = 1000
_MOST_SECONDS = 600
_BYTE_ORDER_MARK = "\ufeff"

# What spreadsheets begin a formula with, also where they trim blanks before it, and as East Asian keyboards write it.
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")


class Export:
    """An export under way. It holds a connection until `close()`; `next_part()` answers b"" when all is told."""

    def __init__(
        self, reader: Reader, owner: Owner, slug: str | None, query: CustomerFilter, *, stale_after: timedelta
    ) -> None:
        """Asks for the first rows. Raises as `questions` do, and NotLoaded; nothing is held then."""
        self._reader = reader
        self._owner = owner
        self._began = time.monotonic()
        self._is_complete = False
        self.rows = 0
        with ExitStack() as stack:
            stack.enter_context(reader.one_of_few())
            self._connection = stack.enter_context(reader.as_owner(owner))
            self.shop = questions.chosen_shop(self._connection, slug)
            self.fresh = questions.freshness(self._connection, stale_after=stale_after)
            require_counted(self._connection, self.shop)
            self._zone = ZoneInfo(self.shop.time_zone)
            self._declare(query)
            self._first: bytes | None = self._header() + self._fetch()
            self._held = stack.pop_all()

    @property
    def filename(self) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.shop.shop_slug or str(self.shop.shop_id))
        return f"customers-{name}-{datetime.now(self._zone):%Y-%m-%d}.csv"

    def next_part(self) -> bytes:
        """Raises NotLoaded where the rest can't be had: what came so far is not the whole file."""
        if self._first is not None:
            part, self._first = self._first, None
            return part
        if self._is_complete:
            return b""
        if time.monotonic() - self._began > _MOST_SECONDS:
            raise NotLoaded
        try:
            return self._fetch()
        except psycopg.OperationalError:
            raise NotLoaded from None

    def close(self) -> None:
        """Gives the connection back, and notes who took what out."""
        log.info(
            "customers were exported",
            extra={
                "fields": {
                    "sub": self._owner.sub,
                    "shop": str(self.shop.shop_id),
                    "rows": self.rows,
                    "complete": self._is_complete and self._first is None,
                }
            },
        )
        with suppress(NotLoaded):
            self._held.close()

    def _declare(self, query: CustomerFilter) -> None:
        conditions, parameters = which(self.shop, query)
        self._connection.execute(
            sql.SQL(
                """
                declare export no scroll cursor for
                select {}
                from dashboard.customers as c
                left join dashboard.customer_contacts as k
                    on c.shop_id = k.shop_id and c.shop_customer_id = k.shop_customer_id
                where {}
                order by {}
                """
            ).format(CUSTOMER_COLUMNS, sql.SQL(" and ").join(conditions), order(query)),
            parameters,
        )

    def _fetch(self) -> bytes:
        self._reader.allow_time(self._connection)
        rows = self._connection.execute(sql.SQL("fetch {} from export").format(_ROWS_AT_ONCE)).fetchall()
        self.rows += len(rows)
        self._is_complete = len(rows) < _ROWS_AT_ONCE
        return _written([_cell(value, self._zone) for value in row] for row in rows)

    def _header(self) -> bytes:
        return _BYTE_ORDER_MARK.encode() + _written([COLUMNS])


class Download(Response):
    """Sends an Export. Where the rest can't be had the connection breaks off, so that no part looks like a whole."""

    media_type = "text/csv"

    def __init__(self, export: Export) -> None:
        as_of = export.fresh.as_of
        super().__init__(
            headers={
                "Content-Disposition": f'attachment; filename="{export.filename}"',
                "Cache-Control": "private, no-store",
                "Regulars-As-Of": as_of.isoformat() if as_of else "",
                "Regulars-Stale": "true" if export.fresh.stale else "false",
            }
        )
        del self.headers["Content-Length"]
        self._export = export

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        broke: NotLoaded | None = None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_when_hung_up, receive, group.cancel_scope)
                try:
                    await self._send_all(send)
                except NotLoaded as error:
                    broke = error
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._export.close)
        if broke is not None:
            raise broke

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while part := await run_in_threadpool(self._export.next_part):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _cancel_when_hung_up(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _written(rows: Iterator[list[str]] | list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: object, zone: ZoneInfo) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(" ", "seconds")[:19]
    if isinstance(value, Decimal):
        return format(with_cents(value), "f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
