with

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

compared as (
    select
        matured.*,
        case when matured.fit_id is not null then coalesce(bought.purchases, 0) end
            as actual_purchases,
        case when matured.fit_id is not null then coalesce(bought.net_amount, 0) end
            as actual_net_amount
    from matured
    -- Not a join and `group by`, which would sort all that the shop sold in the time.
    cross join lateral (
        -- Only customers who were in the prediction: those who came later are not its error.
        select
            sum(case when purchases.is_first_of_day then 1 else 0 end) as purchases,
            sum(purchases.net_amount) as net_amount
        from {{ ref('purchases') }} as purchases
        where
            purchases.shop_id = matured.shop_id
            and purchases.order_date >= matured.from_day
            and purchases.order_date < matured.matures_on
            and purchases.first_purchase_date < matured.from_day
    ) as bought
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
