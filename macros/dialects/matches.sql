{#-
    Whether a text matches a regular expression, by one of PostgreSQL's operators: `~`, `~*` (in any case) or `!~*`
    (not). A dollar matches only the end of the text.
-#}
{% macro matches(text, operator, pattern) -%}
    {{ adapter.dispatch('matches')(text, operator, pattern) }}
{%- endmacro %}

{% macro postgres__matches(text, operator, pattern) -%}
    {{ text }} {{ operator }} '{{ pattern }}'
{%- endmacro %}

{#- Java's dollar also matches before a line break at the end, and Java has no [:space:]. -#}
{% macro spark__matches(text, operator, pattern) -%}
    {{ 'not ' if operator.startswith('!') }}{{ text }} rlike '
    {{- '(?is)' if operator.endswith('*') else '(?s)' }}
    {{- pattern | replace('$', '(?!.)') | replace('[:space:]', '\\\\s') }}'
{%- endmacro %}
