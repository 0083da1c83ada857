{#-
    The local day of a moment of a row that is joined with its shop as `shops`. A row without a moment in the
    storefront has the day 1 January 1970 in every zone.
-#}
{% macro day_in_shop(moment, is_timed) -%}
    case
        when {{ is_timed }} then {{ local_date(moment, "coalesce(shops.time_zone, 'UTC')") }}
        else cast('1970-01-01' as date)
    end
{%- endmacro %}
