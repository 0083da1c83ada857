{#-
    Fails for each key that stands in more than one row, or that has a part missing. An audit: in a refresh the unique index
    sees to it, without which a refresh is a rebuild.
-#}
{% test unique_key(model, columns) %}

{{ config(tags=['audit']) }}

select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1 or {{ columns | join(' is null or ') }} is null

{% endtest %}
