{#-
    Fails for each key that stands in more than one row, or that has a part missing. An audit: in a refresh the unique index
    sees to it, without which a refresh is a rebuild. Where the relation has a unique index of these columns, its rows are
    not sorted once more.
-#}
{% test unique_key(model, columns) %}

{{ config(tags=['audit']) }}

select {{ columns | join(', ') }}
from {{ model }}
where {{ columns | join(' is null or ') }} is null
union all
select {{ columns | join(', ') }}
from {{ model }}
where not {{ has_unique_index(model, columns) }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
