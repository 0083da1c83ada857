-- Up to the current local day of the zone that is furthest ahead, where a shop may be.
select cast(calendar.midnight as date) as date_day
from
    {{ day_series('1990-01-01', shop_today("'Pacific/Kiritimati'")) }} as calendar (midnight)
