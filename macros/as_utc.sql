{#- A timestamptz from the storefront's timestamp, naive UTC or not; NULL from an infinite one. -#}
{% macro as_utc(column) -%}
    {{ adapter.dispatch('as_utc')(column) }}
{%- endmacro %}

{% macro postgres__as_utc(column) -%}
    case when isfinite({{ column }}) then regulars.as_utc({{ column }}) end
{%- endmacro %}

{#- The session's time zone, in which a naive one is read, is UTC. An infinite one was extracted as the furthest there is. -#}
{% macro spark__as_utc(column) -%}
    case
        when
            cast({{ column }} as timestamp) > timestamp_micros(-9223372036854775808)
            and cast({{ column }} as timestamp) < timestamp_micros(9223372036854775807)
            then cast({{ column }} as timestamp)
    end
{%- endmacro %}
