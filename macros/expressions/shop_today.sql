{#- The current local day of a shop, from its time zone; a reader may set another moment as `regulars.now`. -#}
{% macro shop_today(time_zone) -%}
    regulars.today({{ time_zone }})
{%- endmacro %}
