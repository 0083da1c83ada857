"""Folding old visits: those that differ in nothing but the time of day become one row, which says how many it is.

What is counted by day or month, link, referrer or campaign stays the same, in a refresh and in a rebuild. A visit that
has an order, or ever had one, is left alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from ingest.storage.connections import Connection

_BATCH_ROWS = 5_000

# Visits are alike if staging shows them alike, but for the time of day: by the shop's local day, the link (a slug may
# have become another link's on that day) and what it shows of the referrer, which is no more than scheme and host.
_ALIKE = """
    with
    shops as (
        select
            id as shop_id,
            case when regulars.is_time_zone(timezone::text) then timezone::text else 'UTC' end as time_zone
        from public.user_shops
    ),
    slugs as (
        select shop_id, trim(slug) as slug, max(valid_from) filter (where isfinite(valid_from)) as valid_from
        from public.shop_slugs
        group by shop_id, trim(slug)
    ),
    old as (
        select
            visits.id,
            visits.shop_id,
            visits.accessed_at,
            visits.visit_count,
            visits.accessed_via_slug,
            coalesce(visits.accessed_at >= slugs.valid_from, true) as is_of_link,
            (visits.accessed_at at time zone coalesce(shops.time_zone, 'UTC'))::date as visit_date,
            substring(trim(visits.referrer) from '^[^/]*//[^/?#]*') as referrer,
            visits.utm_source,
            visits.utm_medium,
            visits.utm_campaign
        from regulars.tracking as visits
        left join shops on visits.shop_id = shops.shop_id
        left join slugs on visits.shop_id = slugs.shop_id and trim(visits.accessed_via_slug) = slugs.slug
        where
            visits.accessed_at < %(before)s::timestamp at time zone coalesce(shops.time_zone, 'UTC')
            and visits.shop_order_id is null
            and visits.shop_customer_id is null
            and visits.fingerprint is null
            and not visits.awaits_visit
            and (%(ids)s::uuid[] is null or visits.id = any(%(ids)s::uuid[]))
    ),
    alike as (
        select
            array_agg(id order by accessed_at, id) as ids,
            sum(visit_count) as visit_count,
            referrer
        from old
        group by
            shop_id, visit_date, accessed_via_slug, is_of_link, referrer, utm_source, utm_medium, utm_campaign
        having count(*) > 1
    )
"""

_FOUND = f"{_ALIKE} select ids from alike"  # noqa: S608 - both parts are ours

_LOCK = """
    select id from regulars.tracking where id = any(%(ids)s::uuid[]) order by id for update skip locked
"""

# Looked at again under the locks: somebody may have bought with one of them since.
_FOLD = f"""
    {_ALIKE},
    kept as (
        update regulars.tracking as visits
        set visit_count = alike.visit_count, referrer = alike.referrer
        from alike
        where visits.id = alike.ids[1]
    )
    delete from regulars.tracking as visits
    using (select unnest(ids[2:]) as id from alike) as folded
    where visits.id = folded.id
"""  # noqa: S608 - both parts are ours


@dataclass(frozen=True, slots=True)
class Folded:
    """`rows` old rows of visits became `kept`."""

    rows: int
    kept: int


def find_old_visits(connection: Connection, *, before: date) -> Folded:
    """What `fold_old_visits` would do. Writes nothing."""
    query = f"{_ALIKE} select coalesce(sum(cardinality(ids)), 0)::bigint, count(*) from alike"  # noqa: S608
    return Folded(*(connection.execute(query, {"before": before, "ids": None}).fetchone() or (0, 0)))


def fold_old_visits(
    connection: Connection, *, before: date, on_batch: Callable[[int], None] = lambda _: None
) -> Folded:
    """Folds the visits of the local days before `before`, the shops' own; the next refresh takes it over.

    Each batch is a short transaction that waits for nobody: a row that somebody else holds is left for the next time.
    Stopped anywhere, what was folded is right. `connection` is in autocommit. `on_batch` gets the rows done so far.
    """
    rows = kept = 0
    for ids in _batches(connection, before):
        with connection.transaction():
            connection.execute("set local lock_timeout = '2s'; set local statement_timeout = '60s'")
            held = [visit_id for (visit_id,) in connection.execute(_LOCK, {"ids": ids})]
            # Planned for these ids each time: a plan for any ids would read the whole table.
            removed = connection.execute(_FOLD, {"before": before, "ids": held}, prepare=False).rowcount
        rows, kept = rows + len(held), kept + len(held) - removed
        on_batch(rows)
    return Folded(rows, kept)


def _batches(connection: Connection, before: date) -> Iterator[list[UUID]]:
    """The ids of visits to fold, whole groups of them at a time. Between two batches it holds no snapshot."""
    with connection.cursor("old_visits", withhold=True) as cursor:
        cursor.itersize = 500
        batch: list[UUID] = []
        for (ids,) in cursor.execute(_FOUND, {"before": before, "ids": None}):
            batch += ids
            if len(batch) >= _BATCH_ROWS:
                yield batch
                batch = []
        if batch:
            yield batch
