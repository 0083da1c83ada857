{#- Fails for each row whose key is not in the other model: `relationships` for keys that start with shop_id. -#}
{% test refers_to(model, columns, to) %}

with

referring as (
    select * from {{ model }}
)

select {{ prefixed('referring', columns) }}
from referring
where
    not exists (
        select 1
        from {{ to }} as referred
        where
            {% for column in columns -%}
            referred.{{ column }} = referring.{{ column }}{{ ' and ' if not loop.last }}
            {%- endfor %}
    )

{% endtest %}
