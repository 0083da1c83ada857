{#- The fifth, 1 to 5, that a value falls into, given the columns with the first value of fifths 2 to 5. -#}
{% macro fifth_of(value, cuts) -%}
    1
    {%- for fifth in range(2, 6) %}
        + case when {{ value }} >= {{ cuts }}_{{ fifth }} then 1 else 0 end
    {%- endfor %}
{%- endmacro %}
