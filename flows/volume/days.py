"""The days that a refresh judges, and the table of those that were unusual."""

from datetime import date

from psycopg import sql

from flows.volume.judging import MOST_WEEKS_BACK, WEEKS, Shop, days_to_judge, judge
from flows.volume.measures import MEASURES, Unusual
from ingest.storage.connections import Connection

_MOST_DAYS = 7  # after nights without a refresh

# How many days have ended since the last refresh that succeeded; at least one.
_DAYS_SINCE = """
    select least(%(most)s, greatest(1, cast(this.as_of as date) - cast(max(earlier.as_of) as date)))
    from regulars.refreshes as this
    left join regulars.refreshes as earlier
        on this.refresh_id > earlier.refresh_id and earlier.status = 'succeeded'
    where this.refresh_id = %(refresh)s
    group by this.as_of
"""

# The days that are judged and those that they are compared with, from the shop's first order on. A day without an order
# has no row. Unusual days aren't compared with, so for each of them one more week is read.
_COUNTS = """
    with
    shops as (
        select
            shops.shop_id,
            shops.shop_slug,
            cast(refreshes.as_of at time zone shops.time_zone as date) - 1 as last_day,
            -- Orders without a time are in 1970.
            (
                select days.order_date
                from {schema}.shop_days as days
                where days.shop_id = shops.shop_id and days.order_date > date '1970-01-01'
                order by days.order_date
                limit 1
            ) as first_day
        from {schema}.shops as shops
        cross join regulars.refreshes as refreshes
        where refreshes.refresh_id = %(refresh)s
    ),
    unusual_weeks as (
        select subject, cast(count(distinct date_trunc('week', day)) as integer) as weeks
        from regulars.unusual_days
        group by subject
    )
    select
        cast(shops.shop_id as text),
        coalesce(shops.shop_slug, cast(shops.shop_id as text)),
        shops.last_day,
        compared.day,
        {columns}
    from shops
    left join unusual_weeks on cast(shops.shop_id as text) = unusual_weeks.subject
    cross join (
        select coalesce(max(weeks), 0) as weeks from unusual_weeks where subject in ('platform', 'small shops')
    ) as of_all
    cross join lateral generate_series(
        0, shops.last_day - (select min(last_day) from shops where first_day <= last_day) + %(days)s - 1
    ) as days_back
    cross join lateral generate_series(
        0, least(%(most_weeks)s, %(weeks)s + greatest(coalesce(unusual_weeks.weeks, 0), of_all.weeks))
    ) as weeks_back
    cross join lateral (select cast(shops.last_day - days_back - 7 * weeks_back as date) as day) as compared
    -- With the limit, these days are looked up, instead of joining all days.
    left join lateral (
        select * from {schema}.shop_days as found
        where found.shop_id = shops.shop_id and found.order_date = compared.day
        limit 1
    ) as days on true
    where compared.day >= shops.first_day
"""

_FORGET = """
    delete from regulars.unusual_days
    where
        (subject, day) in (select * from unnest(%(subjects)s::text[], %(days)s::date[]))
        or day < %(before)s
"""

_STORE = """
    insert into regulars.unusual_days (measure, subject, day, shops, found, expected, is_current)
    values (%s, %s, %s, %s, %s, %s, %s)
"""


def judge_days(connection: Connection, *, schema: str, refresh_id: int) -> list[Unusual]:
    """Judges the days that have ended since the last refresh, stores those that are unusual, and returns them.

    `schema`: where the marts are. A day is over if it had ended in its shop's time zone at the refresh's as_of. The
    cost follows the number of shops, times nine days.
    """
    (days,) = connection.execute(_DAYS_SINCE, {"refresh": refresh_id, "most": _MOST_DAYS}).fetchone() or (1,)
    shops = _read(connection, schema=schema, refresh_id=refresh_id, days=days)
    if not shops:
        return []
    to_judge = days_to_judge(shops, days=days)
    known = {
        (column, subject, day)
        for column, subject, day in connection.execute("select measure, subject, day from regulars.unusual_days")
    }
    found = judge(shops, to_judge, known)
    _store(connection, found, to_judge)
    return found


def _read(connection: Connection, *, schema: str, refresh_id: int, days: int) -> list[Shop]:
    names = [measure.column for measure in MEASURES]
    columns = sql.SQL(", ").join(
        sql.SQL("cast(coalesce(days.{}, 0) as bigint)").format(sql.Identifier(name)) for name in names
    )
    with connection.transaction():
        # Turned off for a short query whose cost the planner can't estimate.
        connection.execute("set local jit = off")
        rows = connection.execute(
            sql.SQL(_COUNTS).format(schema=sql.Identifier(schema), columns=columns),
            {"refresh": refresh_id, "days": days, "weeks": WEEKS, "most_weeks": MOST_WEEKS_BACK},
        ).fetchall()
    counts: dict[tuple[str, str, date], dict[date, dict[str, int]]] = {}
    for key, slug, last_day, day, *counted in rows:
        counts.setdefault((key, slug, last_day), {})[day] = dict(zip(names, counted, strict=True))
    return [Shop(*shop, days=of_days) for shop, of_days in counts.items()]


def _store(connection: Connection, found: list[Unusual], to_judge: dict[str, list[date]]) -> None:
    judged = [(subject, day) for subject, days in to_judge.items() for day in days]
    with connection.transaction():
        connection.execute("update regulars.unusual_days set is_current = false where is_current")
        connection.execute(
            _FORGET,
            {
                "subjects": [subject for subject, _ in judged],
                "days": [day for _, day in judged],
                # No day is compared with one farther back.
                "before": date.fromordinal(min(day.toordinal() for _, day in judged) - 7 * MOST_WEEKS_BACK),
            },
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                _STORE,
                [
                    (
                        one.measure.column, one.subject, one.day, list(one.shops), one.found,
                        round(one.expected, 1), one.day == to_judge[one.subject][-1],
                    )
                    for one in found
                ],
            )  # fmt: skip
