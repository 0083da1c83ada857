{#-
    The result of `counted_cuts` for the shops in the batch, without reading all of their customers: each first value
    moves past as many customers as came or went below it.
-#}
{% macro moved_cuts(customers, measure) -%}
    {%- set value = measure.value -%}
    with

    changes as (
        select shop_id, {{ value }}, weight from {{ signed_rows(customers) }}
    ),

    -- The customers of a shop that has no fifths yet are counted.
    shops as (
        select
            batch.shop_id,
            coalesce(
                min(cuts.customers) + coalesce(sum(changes.weight), 0),
                (select count(*) from {{ customers }} as customers where customers.shop_id = batch.shop_id)
            ) as customers
        from ({{ batch_keys() }}) as batch
        left join {{ this }} as cuts on batch.shop_id = cuts.shop_id
        left join changes on batch.shop_id = changes.shop_id
        group by batch.shop_id
    ),

    standing as (
        select
            shops.shop_id,
            shops.customers,
            fifths.fifth,
            fifths.cut,
            fifths.below
        from shops
        left join {{ this }} as cuts on shops.shop_id = cuts.shop_id
        cross join lateral (
            values
            {%- for fifth in range(2, 6) %}
            ({{ fifth }}, cuts.{{ measure.cut }}_{{ fifth }}, cuts.{{ measure.name }}_below_{{ fifth }})
            {{- ',' if not loop.last }}
            {%- endfor %}
        ) as fifths (fifth, cut, below)
        where shops.customers >= {{ fewest_customers() }}
    ),

    -- `place` is that of the last customer who has to be below, counted from the smallest value. Where nobody is in the
    -- fifth or above, everybody is below.
    counted as (
        select
            standing.shop_id,
            standing.customers,
            standing.fifth,
            (standing.customers * (standing.fifth - 1) + 4) / 5 as place,
            coalesce(standing.cut, {{ measure.beyond }}) as cut,
            case
                when standing.cut is null then standing.customers
                else standing.below + coalesce(sum(changes.weight), 0)
            end as below
        from standing
        left join changes on standing.shop_id = changes.shop_id and standing.cut > changes.{{ value }}
        group by standing.shop_id, standing.customers, standing.fifth, standing.cut, standing.below
    ),

    reached as (
        select
            counted.*,
            case
                when counted.below >= counted.place
                    then (
                        select customers.{{ value }}
                        from {{ customers }} as customers
                        where customers.shop_id = counted.shop_id and customers.{{ value }} < counted.cut
                        order by customers.{{ value }} desc
                        limit 1 offset greatest(counted.below - counted.place, 0)
                    )
                else (
                    select customers.{{ value }}
                    from {{ customers }} as customers
                    where customers.shop_id = counted.shop_id and customers.{{ value }} >= counted.cut
                    order by customers.{{ value }}
                    limit 1 offset greatest(counted.place - counted.below - 1, 0)
                )
            end as last_below
        from counted
    ),

    moved as (
        select
            reached.shop_id,
            reached.customers,
            reached.fifth,
            (
                select min(customers.{{ value }})
                from {{ customers }} as customers
                where customers.shop_id = reached.shop_id and customers.{{ value }} > reached.last_below
            ) as cut,
            reached.below + (
                select count(*)
                from {{ customers }} as customers
                where
                    customers.shop_id = reached.shop_id
                    and customers.{{ value }} >= reached.cut
                    and customers.{{ value }} <= reached.last_below
            ) - (
                select count(*)
                from {{ customers }} as customers
                where
                    customers.shop_id = reached.shop_id
                    and customers.{{ value }} < reached.cut
                    and customers.{{ value }} > reached.last_below
            ) as below
        from reached
    )

    select
        shop_id,
        {%- for fifth in range(2, 6) %}
        min(case when fifth = {{ fifth }} then cut end) as {{ measure.cut }}_{{ fifth }},
        min(case when fifth = {{ fifth }} then below end) as {{ measure.name }}_below_{{ fifth }},
        {%- endfor %}
        min(customers) as customers
    from moved
    group by shop_id
{%- endmacro %}
