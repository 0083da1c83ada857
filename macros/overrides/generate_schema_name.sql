{#- A model's schema is its folder's, without dbt's prefix; in an audit (`flows/audit`), its own. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ 'audit' if var('audit', false) else custom_schema_name or target.schema }}
{%- endmacro %}
