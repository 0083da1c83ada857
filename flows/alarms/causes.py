"""What can be wrong. Each check reads what is stored, so that every process finds the same, at any time."""

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from statistics import median

from flows import history
from flows.volume.measures import ORDERS, SALES, TRACKED, UNMATCHED, Measure, Unusual, found_and_expected
from ingest.spool.file import SPOOL, Spool, SpoolRefused
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

_SLOW = 3  # times the median
_LEAST_SLOW = timedelta(minutes=1)
_FEWEST_REFRESHES = 5
_MOST_REFRESHES = 30

_LONGEST_SPOOLED = timedelta(hours=1)

# The smaller of: a tenth of the disk, 20 GiB.
_LEAST_FREE_SHARE = 10
_LEAST_FREE_BYTES = 20 * 2**30


@dataclass(frozen=True, slots=True)
class Cause:
    """`name`: in the database and for a monitor. `is_of_machine`: each machine finds its own, and clears its own."""

    name: str
    title: str
    remedy: str
    is_of_machine: bool = False


FAILED = Cause(
    "refresh_failed", "The refresh fails; the last good numbers stay up",
    "The message says what to do, and docs/operating.md, \"When something is wrong\", says it at length.",
)  # fmt: skip
TOO_OLD = Cause(
    "numbers_too_old", "The numbers are too old",
    "See `regulars status`, and whether `regulars serve` or your own scheduler runs; then run `regulars refresh`.",
)  # fmt: skip
SLOW = Cause(
    "refresh_slow", "The refresh is slow",
    "See what else the database does, how many changes there were, and whether its disk is slow.",
)  # fmt: skip
SPOOLED = Cause(
    "spool_not_empty", "Events wait in the spool",
    "`regulars spool list` says what waits and why. It empties itself once the database answers; events that were set "
    "aside wait for you.", is_of_machine=True,
)  # fmt: skip
DISK = Cause(
    "disk_nearly_full", "The disk is nearly full",
    "Make room, or move REGULARS_HOME: the spool, and the embedded database, need this disk.", is_of_machine=True,
)  # fmt: skip
VOLUME = {
    ORDERS: Cause("orders_missing", "Orders are missing", ORDERS.remedy),
    SALES: Cause("sales_missing", "Orders aren't paid", SALES.remedy),
    TRACKED: Cause("links_missing", "Which links brought the orders is lost", TRACKED.remedy),
    UNMATCHED: Cause("customers_missing", "More orders than usual have no known customer", UNMATCHED.remedy),
}

DRIFT = Cause(
    "drift", "What is published differs from the raw rows",
    "The next refresh recomputes these shops; `regulars refresh` does so now. Find out what wrote to the marts: "
    "regulars.drift has each row as it was published and as it was computed.",
)  # fmt: skip

CAUSES = {cause.name: cause for cause in (FAILED, TOO_OLD, SLOW, *VOLUME.values(), SPOOLED, DISK, DRIFT)}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A cause that holds now. `subject`: where it was found, which distinguishes two of one cause. `shops`: slugs."""

    cause: Cause
    since: datetime
    what: str
    subject: str = ""
    shops: tuple[str, ...] = ()


def find_trouble(connection: Connection, settings: Settings) -> list[Trouble]:
    """All that is wrong now."""
    return [trouble for check in _CHECKS for trouble in check(connection, settings)]


def _failed(connection: Connection, _: Settings) -> Iterator[Trouble]:
    """The last refresh that ended did not succeed. It holds since the first failure in a row."""
    row = connection.execute(
        """
        select min(finished_at), max(finished_at), count(*), (array_agg(error order by refresh_id desc))[1]
        from regulars.refreshes
        where
            status in ('failed', 'abandoned')
            and refresh_id
            > coalesce((select max(refresh_id) from regulars.refreshes where status = 'succeeded'), 0)
        """
    ).fetchone()
    if row and row[2]:
        since, last, count, error = row
        # The first line: a further one may hold values.
        reason = (error or "its process was killed.").splitlines()[0]
        times = f"{count:,} times in a row, the last" if count > 1 else "It failed"
        yield Trouble(FAILED, since, f"{times} at {last:%Y-%m-%d %H:%M} UTC: {reason}")


def _too_old(connection: Connection, settings: Settings) -> Iterator[Trouble]:
    good = history.last(connection, succeeded=True)
    limit = timedelta(hours=settings.stale_after_hours)
    if good is None or good.as_of is None:
        (migrated_at,) = connection.execute("select min(applied_at) from regulars.migrations").fetchone() or (None,)
        yield Trouble(TOO_OLD, migrated_at or datetime.now(UTC), "No refresh has succeeded yet.")
    elif datetime.now(UTC) - good.as_of > limit:
        yield Trouble(
            TOO_OLD,
            good.as_of + limit,
            f"They are as of {good.as_of:%Y-%m-%d %H:%M} UTC; after {settings.stale_after_hours} hours they are too "
            "old (REGULARS_STALE_AFTER_HOURS).",
        )


def _slow(connection: Connection, _: Settings) -> Iterator[Trouble]:
    """The refresh that runs, or the last that ended, compared with those before it of its mode.

    The time of a partial rebuild depends on which models changed, so it isn't compared.
    """
    rows = connection.execute(
        """
        with latest as (select * from regulars.refreshes order by refresh_id desc limit 1)
        select runs.started_at, coalesce(runs.finished_at, clock_timestamp()) - runs.started_at, runs.status, runs.mode
        from latest
        inner join regulars.refreshes as runs
            on latest.mode = runs.mode and (runs.status = 'succeeded' or latest.refresh_id = runs.refresh_id)
        where latest.status in ('running', 'succeeded') and latest.mode <> 'partial'
        order by runs.refresh_id desc
        limit %s + 1
        """,
        [_MOST_REFRESHES],
    ).fetchall()
    if len(rows) <= _FEWEST_REFRESHES:
        return
    (started_at, took, status, mode), *earlier = rows
    usual = median(duration for _, duration, *_ in earlier)
    if took > max(_SLOW * usual, _LEAST_SLOW):
        verb = "has been running for" if status == "running" else "took"
        yield Trouble(
            SLOW,
            started_at,
            f"The {mode} that began at {started_at:%Y-%m-%d %H:%M} UTC {verb} {took.total_seconds():,.0f} s; the "
            f"median of the last {len(earlier)} is {usual.total_seconds():,.0f} s.",
        )


def _volume(connection: Connection, _: Settings) -> Iterator[Trouble]:
    """The unusual counts of the last day, by the last refresh.

    Among a thousand shops some are unusual by chance every day, so a single shop's must be unusual for two days, or by
    a factor of four.
    """
    measures: dict[str, Measure] = {measure.column: measure for measure in VOLUME}
    for column, subject, day, shops, found, expected in connection.execute(
        """
        select latest.measure, latest.subject, latest.day, latest.shops, latest.found, latest.expected
        from regulars.unusual_days as latest
        where
            latest.is_current
            and (
                latest.subject in ('platform', 'small shops')
                or latest.found <= latest.expected / 4
                or latest.found >= latest.expected * 4
                or exists (
                    select 1
                    from regulars.unusual_days as before
                    where
                        before.measure = latest.measure
                        and before.subject = latest.subject
                        and before.day = latest.day - 1
                )
            )
        order by latest.subject not in ('platform', 'small shops'), abs(latest.expected - latest.found) desc
        """
    ):
        if (measure := measures.get(column)) is not None:
            unusual = Unusual(measure, subject, day, tuple(shops), found, expected)
            yield Trouble(
                VOLUME[measure],
                datetime.combine(day, time(), UTC),
                f"On {day:%A}, {day}, {found_and_expected(unusual)}.",
                subject,
                unusual.shops,
            )


def _spooled(_: Connection, settings: Settings) -> Iterator[Trouble]:
    """The oldest event of this machine's spool, including those that were set aside."""
    try:
        oldest = Spool(settings.home / SPOOL).everything(limit=1)
    except SpoolRefused as error:
        yield Trouble(SPOOLED, datetime.now(UTC), str(error), machine())
        return
    for event in oldest:
        if datetime.now(UTC) - event.spooled_at > _LONGEST_SPOOLED:
            yield Trouble(
                SPOOLED,
                event.spooled_at,
                f"On {machine()} the oldest {event.kind} has waited since {event.spooled_at:%Y-%m-%d %H:%M} UTC.",
                machine(),
            )


def _disk(_: Connection, settings: Settings) -> Iterator[Trouble]:
    """The disk of REGULARS_HOME. A server elsewhere can't be asked for its disk."""
    folder = settings.home.resolve()
    usage = shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists()))
    if usage.free < min(usage.total // _LEAST_FREE_SHARE, _LEAST_FREE_BYTES):
        yield Trouble(
            DISK,
            datetime.now(UTC),
            f"On {machine()} {usage.free / 2**30:,.1f} of {usage.total / 2**30:,.1f} GiB are free.",
            machine(),
        )


def _drift(connection: Connection, _: Settings) -> Iterator[Trouble]:
    """What an audit found, until a refresh has recomputed the shop."""
    for shop_id, slug, audited_at, rows, names in connection.execute(
        """
        select
            drift.shop_id::text,
            drift.shop,
            min(audits.audited_at),
            count(*),
            string_agg(distinct drift.relation, ', ')
        from regulars.drift as drift
        inner join regulars.audits as audits on drift.audit_id = audits.audit_id
        where not exists (
            select 1
            from regulars.refreshes as refreshes
            where refreshes.refresh_id >= drift.rebuilt_by and refreshes.status = 'succeeded'
        )
        group by 1, 2
        order by 2
        """
    ):
        yield Trouble(DRIFT, audited_at, f"An audit found {rows:,} rows of {slug}: {names}.", shop_id, (slug,))


def machine() -> str:
    """The name of this machine in causes that are found on each machine."""
    return socket.gethostname()


_CHECKS: tuple[Callable[[Connection, Settings], Iterator[Trouble]], ...] = (
    _failed,
    _too_old,
    _slow,
    _volume,
    _spooled,
    _disk,
    _drift,
)
