-- Nested selects and no CTEs, as in stg_orders.
select
    shop_id,
    slug,
    shown_slug,
    link,
    valid_from,
    valid_to
from (
    select
        *,
        -- The storefront may have a slug with and without a blank around it. What decides is what
        -- readers are shown: Spark doesn't get the rest.
        row_number() over (
            partition by shop_id, slug
            order by
                valid_from desc nulls last,
                valid_to desc nulls first,
                {{ by_bytes('link') }} asc
        ) as number_from_newest
    from (
        select
            shop_id,
            slug,
            {{ without_contact('slug') }} as shown_slug,
            {{ without_contact('link') }} as link,
            valid_from,
            valid_to
        from (
            select
                slugs.shop_id,
                trim({{ as_text('slugs.slug') }}) as slug,
                coalesce(
                    {{ text_or_null('slugs.label') }}, trim({{ as_text('slugs.slug') }})
                ) as link,
                {{ as_utc('slugs.valid_from') }} as valid_from,
                {{ as_utc('slugs.valid_to') }} as valid_to
            from {{ source('storefront', 'shop_slugs') }} as slugs
            where {{ text_or_null('slugs.slug') }} is not null
        ) as renamed
    ) as shown
) as numbered
where number_from_newest = 1
