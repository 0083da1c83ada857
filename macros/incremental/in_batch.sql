{#- The condition that keeps a mart's query to the keys that changed; `true` in a rebuild. -#}
{% macro in_batch() -%}
    {%- if is_incremental() -%}
        ({{ config.get('meta')['keys'] | join(', ') }}) in ({{ batch_keys() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
