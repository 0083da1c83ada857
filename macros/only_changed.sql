{#- The condition that keeps a mart's query to the keys that changed; true of every row in a rebuild. -#}
{% macro only_changed() -%}
    {%- if computes_changes_only() -%}
        ({{ config.get('meta')['keys'] | join(', ') }}) in ({{ changed_keys() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
