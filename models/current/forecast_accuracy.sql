with

{% set horizons = [30, 90, 365] -%}

forecasts as (
    select
        shop_forecasts.*,
        {{ shop_today('shops.time_zone') }} >= shop_forecasts.matures_on as is_mature
    from {{ ref('shop_forecasts') }} as shop_forecasts
    inner join {{ ref('shops') }} as shops on shop_forecasts.shop_id = shops.shop_id
),

horizons as (
    select
        shop_id,
        horizon_days,
        max(case when is_mature then fit_id end) as fit_id,
        min(case when not is_mature then matures_on end) as next_matures_on
    from forecasts
    group by shop_id, horizon_days
),

matured as (
    select
        horizons.shop_id,
        horizons.horizon_days,
        horizons.next_matures_on,
        forecasts.fit_id,
        forecasts.from_day,
        forecasts.matures_on,
        forecasts.customers,
        forecasts.expected_purchases,
        forecasts.expected_net_amount
    from horizons
    left join forecasts
        on
            horizons.shop_id = forecasts.shop_id
            and horizons.horizon_days = forecasts.horizon_days
            and horizons.fit_id = forecasts.fit_id
),

-- A row per shop, so that its purchases are read once and not once for each horizon.
spans as (
    select
        shop_id,
        {% for days in horizons -%}
            min(case when horizon_days = {{ days }} then from_day end) as from_{{ days }},
            min(case when horizon_days = {{ days }} then matures_on end) as to_{{ days }},
        {% endfor -%}
        min(from_day) as first_day
    from matured
    where fit_id is not null
    group by shop_id
),

-- Of the customers of whom something was predicted: those who came later are not its error.
came as (
    select
        purchases.shop_id,
        purchases.net_amount,
        {% for days in horizons -%}
            purchases.order_date >= spans.from_{{ days }}
            and purchases.order_date < spans.to_{{ days }}
            and purchases.first_purchase_date < spans.from_{{ days }} as is_in_{{ days }},
        {% endfor -%}
        purchases.is_first_of_day
    from spans
    inner join {{ ref('purchases') }} as purchases
        on
            spans.shop_id = purchases.shop_id
            and spans.first_day <= purchases.order_date
),

sums as (
    select
        shop_id,
        {% for days in horizons -%}
            sum(case when is_in_{{ days }} and is_first_of_day then 1 else 0 end)
                as purchases_{{ days }},
            sum(case when is_in_{{ days }} then net_amount end) as net_amount_{{ days }}
            {{- ',' if not loop.last }}
        {% endfor -%}
    from came
    group by shop_id
),

bought as (
    {% for days in horizons -%}
        select
            shop_id,
            {{ days }} as horizon_days,
            purchases_{{ days }} as purchases,
            net_amount_{{ days }} as net_amount
        from sums
        {% if not loop.last -%}
            union all
        {% endif -%}
    {% endfor -%}
),

compared as (
    select
        matured.*,
        case when matured.fit_id is not null then coalesce(bought.purchases, 0) end
            as actual_purchases,
        case when matured.fit_id is not null then coalesce(bought.net_amount, 0) end
            as actual_net_amount
    from matured
    left join bought
        on
            matured.shop_id = bought.shop_id
            and matured.horizon_days = bought.horizon_days
)

select
    shop_id,
    horizon_days,
    fit_id,
    from_day,
    matures_on,
    customers,
    expected_purchases,
    actual_purchases,
    round(
        100.0 * (expected_purchases - actual_purchases) / nullif(actual_purchases, 0), 1
    ) as purchases_error,
    expected_net_amount,
    actual_net_amount,
    round(
        100.0 * (expected_net_amount - actual_net_amount) / nullif(actual_net_amount, 0), 1
    ) as net_amount_error,
    next_matures_on
from compared
