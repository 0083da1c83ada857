{#-
    Whether a text matches a regular expression, by one of PostgreSQL's operators: `~`, `~*` (in any case) or `!~*` (not). A
    dollar is the end of the text, and nothing else.
-#}
{% macro matches(text, operator, pattern) -%}
    {{ adapter.dispatch('matches')(text, operator, pattern) }}
{%- endmacro %}

{% macro postgres__matches(text, operator, pattern) -%}
    {{ text }} {{ operator }} '{{ pattern }}'
{%- endmacro %}

{#- Java's dollar also stands before a line break at the end, and it knows no [:space:]. -#}
{% macro spark__matches(text, operator, pattern) -%}
    {{ 'not ' if operator.startswith('!') }}{{ text }} rlike '
    {{- '(?is)' if operator.endswith('*') else '(?s)' }}
    {{- pattern | replace('$', '(?!.)') | replace('[:space:]', '\\\\s') }}'
{%- endmacro %}
