{#- Fails for each row of which the expression is not true; unknown is not true. -#}
{% test holds(model, expression) %}

select *
from {{ model }}
where ({{ expression }}) is not true

{% endtest %}
