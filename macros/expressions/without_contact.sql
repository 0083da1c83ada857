{#- A text; the word `hidden` in place of one that looks like a phone number or an e-mail address. -#}
{% macro without_contact(column) -%}
    case when {{ looks_like_contact(column) }} then 'hidden' else {{ column }} end
{%- endmacro %}
