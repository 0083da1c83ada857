-- Up to the current local day of the zone that is furthest ahead: some shop may be in it.
select cast(calendar.midnight as date) as date_day
from
    generate_series(
        timestamp '1990-01-01',
        cast({{ shop_today("'Pacific/Kiritimati'") }} as timestamp),
        interval '1 day'
    ) as calendar (midnight)
