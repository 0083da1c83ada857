"""Raw rows in which everything is wrong that a storefront has been seen to do, the same ones for the same numbers."""

from ingest.storage.connections import Connection

# The first shop has two fifths of all orders. Some zones are PostgreSQL's alone, and some are nobody's.
_SHOPS = """
    insert into public.user_shops (id, shop_name, shop_slug, timezone, currency)
    select md5('shop' || number)::uuid, name, 'shop-' || number, zone, currency
    from (values
        (1, 'Ama''s data', 'Africa/Accra', 'GHS'), (2, 'call 0241112223', 'America/New_York', 'USD'),
        (3, null, 'Asia/Kolkata', 'INR'), (4, '', 'Pacific/Auckland', 'NZD'), (5, 'Kofi', 'Not/AZone', 'GHS'),
        (6, 'back\\slash', '+05:30', 'GHS'), (7, 'é ş', 'africa/lagos', 'NGN'), (8, 'x', 'XYZ-3', 'GHS'),
        (9, 'nobody buys', 'EST5EDT', 'USD'), (10, 'y', 'America/St_Johns', 'CAD'), (11, 'z', '', 'GHS'),
        (12, 'w', 'Etc/GMT+9', 'USD')
    ) as shops (number, name, zone, currency)
"""

# A number in [0, 1) that looks random and is always the same for the same text.
_CHANCE = """
    create function pg_temp.chance(key text) returns double precision language sql immutable
    return (('x' || substr(md5(key), 1, 8))::bit(32)::bigint) / 4294967296.0;

    create function pg_temp.pick(key text, choices text[]) returns text language sql immutable
    return choices[1 + floor(pg_temp.chance(key) * cardinality(choices))::integer];

    create function pg_temp.shop_of(customer integer) returns uuid language sql immutable
    return md5('shop' || case
        when pg_temp.chance('of' || customer) < 0.4 then 1
        else 1 + floor(8 * pg_temp.chance('shop' || customer))::integer + (customer % 7 = 0)::integer * 3
    end)::uuid
"""

_SLUGS = """
    insert into public.shop_slugs (shop_id, slug, label, valid_from, valid_to)
    select
        md5('shop' || shop)::uuid,
        -- The last three are earlier ones again, with blanks.
        case
            when number = 4 then '024 111 222' || shop
            when number > 5 then ' link-' || shop || '-' || (number - 5) || ' '
            else 'link-' || shop || '-' || number
        end,
        (array['flyer', ' poster ', null, 'ama@x.com', '', 'poster', 'sms', 'chat'])[number],
        (array[
            '2024-03-01', '2024-03-01', 'infinity', '-infinity', '2024-01-01', '2024-05-01', '2024-03-01', 'infinity'
        ])[number]::timestamptz,
        case when number = 5 then timestamptz '2024-06-01' end
    from generate_series(1, 12) as shop, generate_series(1, 8) as number
"""

_CUSTOMERS = """
    insert into regulars.customers (id, shop_id, phone_number, first_seen_at)
    select md5('customer' || n)::uuid, pg_temp.shop_of(n), '+233' || (200000000 + n), '2024-01-01'
    from generate_series(1, %(customers)s::integer) as n
"""

_ORDERS = """
    insert into public.shop_orders (
        id, shop_id, customer_name, customer_phone, network, volume_gb, base_price, profit_amount, total_price,
        order_status, payment_status, reference_code, created_at, updated_at
    )
    select
        md5('order' || n)::uuid,
        pg_temp.shop_of(1 + floor(%(customers)s * power(pg_temp.chance('by' || n), 2))::integer),
        'Buyer',
        '+233' || (200000000 + n),
        pg_temp.pick('network' || n, array['MTN', 'Telecel', ' AT ', '', null, 'call 024 111 2223', 'MTN']),
        pg_temp.pick('volume' || n, array['1', '2.5', 'NaN', 'Infinity', null])::numeric,
        0,
        pg_temp.pick('profit' || n, array['0.5', '1.25', 'NaN', '-0.75', '3.333333'])::numeric,
        pg_temp.pick('price' || n, array['4.50', '10', '99999.99', 'NaN', 'Infinity', '-Infinity', '0'])::numeric,
        pg_temp.pick('status' || n, array[
            'completed', 'Completed ', 'pending', ' processing', 'refunded', 'reversed', 'failed', '7@x.com'
        ]),
        pg_temp.pick('payment' || n, array['completed', 'completed', 'COMPLETED', 'pending', 'completed']),
        pg_temp.pick('code' || n, array['REF-' || n, null, '  ', '0241112223', 'https://x.example/' || n]),
        -- A third are of one of few moments, around the ends of days, months and daylight saving time.
        case
            when n %% 97 = 0 then 'infinity'
            when n %% 89 = 0 then '-infinity'
            when n %% 83 = 0 then null
            when n %% 1201 = 0 then timestamp '0001-05-01 10:00'
            when n %% 1303 = 0 then timestamp '2199-12-31 23:59:59.999999'
            when n %% 3 = 0 then pg_temp.pick('moment' || n, array[
                '2025-12-31T23:30:00', '2026-01-01T00:30:00', '2026-01-31T12:00:00', '2026-02-01T04:30:00',
                '2026-03-08T06:59:59', '2026-03-29T01:00:00', '2026-03-31T23:59:59.999999', '2024-02-29T23:00:00'
            ])::timestamp
            else timestamp '2024-01-01' + interval '800 days' * pg_temp.chance('at' || n)
        end,
        case when n %% 83 = 0 and n %% 2 = 0 then null else timestamptz '2026-06-01 00:00+05:30' end
    from generate_series(1, %(orders)s::integer) as n
"""

# Seven of eight orders are somebody's. Visits without an order come besides.
_TRACKING = """
    insert into regulars.tracking (
        id, shop_id, shop_order_id, shop_customer_id, accessed_via_slug, accessed_at, referrer, utm_source, utm_medium,
        utm_campaign
    )
    select
        md5('visit' || n)::uuid,
        orders.shop_id,
        orders.id,
        case when n %% 8 > 0 then (
            select customers.id from regulars.customers as customers
            where customers.shop_id = orders.shop_id
            order by md5(customers.id::text || (n / 3)) limit 1
        ) end,
        link.slug,
        case
            when n %% 41 = 0 then 'infinity'
            when n %% 43 = 0 then null
            else timestamptz '2024-01-01' + interval '800 days' * pg_temp.chance('at' || n)
        end,
        pg_temp.pick('referrer' || n, array[
            'https://WhatsApp.com/x?y', 'https://wa.me/233241112223', 'ama@x.com', 'http://u:p@host.example:80/', null
        ]),
        pg_temp.pick('source' || n, array['whatsapp', ' sms', '', null, '024 111 2223']),
        pg_temp.pick('medium' || n, array['chat', null]),
        pg_temp.pick('campaign' || n, array['spring', 'march' || chr(10), null])
    from generate_series(1, %(orders)s::integer + %(orders)s::integer / 4) as n
    left join public.shop_orders as ordered on ordered.id = md5('order' || n)::uuid
    cross join lateral (
        select ordered.id, coalesce(ordered.shop_id, pg_temp.shop_of(n)) as shop_id
    ) as orders
    cross join lateral (
        select pg_temp.pick('slug' || n, array[
            'link-1-1', 'link-1-2 ', 'link-2-3', ' link-3-1', '024 111 2223', 'elsewhere', '', null, 'unknown'
        ]) as slug
    ) as link
    where n %% 9 > 0
"""

_LEDGER = """
    insert into public.shop_profits (id, shop_id, profit_amount, status, created_at)
    select
        md5('profit' || n)::uuid, md5('shop' || (1 + n %% 12))::uuid,
        pg_temp.pick('amount' || n, array['1', '2.5', 'NaN', '-1'])::numeric,
        pg_temp.pick('status' || n, array['credited', 'Credited ', 'pending', 'withdrawn']),
        case when n %% 31 = 0 then 'infinity' else timestamptz '2025-06-01' + n * interval '1 hour' end
    from generate_series(1, %(orders)s::integer / 5) as n;

    insert into public.withdrawal_requests (id, shop_id, amount, status, created_at)
    select
        md5('withdrawal' || n)::uuid, md5('shop' || (1 + n %% 12))::uuid,
        pg_temp.pick('amount' || n, array['1', '2.5', 'NaN'])::numeric,
        pg_temp.pick('status' || n, array['pending', 'approved', 'processing', 'completed', 'rejected']),
        timestamptz '2025-06-01' + n * interval '1 hour'
    from generate_series(1, %(orders)s::integer / 50) as n
"""

# Fits with digits wherever a double has them, and predictions of which some have matured.
_FORECASTS = """
    insert into regulars.forecast_fits (
        shop_id, fitted_at, fitted_through, purchase_days, net_amount, customers, repeat_customers, r, alpha, a, b,
        log_likelihood, converged, reason, p, q, v, amount_log_likelihood, amount_reason, is_in_use
    )
    select
        md5('shop' || n)::uuid, timestamptz '2025-12-01 03:00:00.123456+00' + n * interval '1 second', '2025-12-01', 40,
        123.45, 30, 12, 0.1 + n / 3.0, 1e3 / 7 * n, 0.00012345678901234567 * n, n / 7.0, -123456.78901234567 * n,
        n %% 3 > 0, case when n %% 3 = 0 then 'too few' end, n / 11.0, 2.5, null, -9.000000000000005, null, n %% 3 = 1
    from generate_series(1, 8) as n;

    insert into regulars.shop_forecasts
    select
        fits.shop_id, fits.fit_id, days, '2025-12-02', date '2025-12-02' + days, 30, days * 12.3456, days * 99.99
    from regulars.forecast_fits as fits, unnest(array[30, 90, 365]) as days
    where fits.is_in_use;

    insert into regulars.forecasts
    select fits.shop_id, customers.id, fits.fit_id, 0.625, 1.25, 3.5, 10.75, 4.2, null, 40.123456
    from regulars.forecast_fits as fits
    inner join regulars.customers as customers on fits.shop_id = customers.shop_id
    where fits.is_in_use;

    insert into regulars.segment_grid (shop_id, recency_score, value_score, segment)
    values
        (md5('shop1')::uuid, 5, 5, 'the best'), (md5('shop1')::uuid, 1, 1, 'call 0241112223')
"""


def write_messy_orders(connection: Connection, orders: int) -> None:
    """Fills a migrated database in which nothing is built yet, with columns as they are elsewhere."""
    connection.execute(
        "alter table public.shop_orders alter created_at drop not null, alter updated_at drop not null, "
        "alter created_at type timestamp using created_at at time zone 'UTC', "
        "alter total_price type numeric, alter profit_amount type numeric"
    )
    connection.execute(_CHANCE)
    numbers = {"orders": orders, "customers": orders // 5}
    for statement in (_SHOPS, _SLUGS, _CUSTOMERS, _ORDERS, _TRACKING, *_LEDGER.split(";"), *_FORECASTS.split(";")):
        if "%(" in statement:
            connection.execute(statement, numbers)
        else:
            connection.execute(statement.replace("%%", "%"))
