{#- The calendar day of a moment in a time zone. -#}
{% macro local_date(moment, time_zone) -%}
    {{ adapter.dispatch('local_date')(moment, time_zone) }}
{%- endmacro %}

{% macro postgres__local_date(moment, time_zone) -%}
    cast({{ moment }} at time zone {{ time_zone }} as date)
{%- endmacro %}

{#- Java doesn't know all zones by PostgreSQL's names, so `flows/spark/sources.py` defines one for the extract. -#}
{% macro spark__local_date(moment, time_zone) -%}
    regulars.local_date({{ moment }}, {{ time_zone }})
{%- endmacro %}
