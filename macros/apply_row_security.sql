{#-
    Guards a model in the transaction that made it, so that a rebuild never opens a gap: what owners and analysts may
    read of it, and a view of it in schema `dashboard` that shows an owner their own shops' rows.
-#}
{% macro apply_row_security() -%}
    select regulars.apply_row_security('{{ this.include(database=false) }}')
{%- endmacro %}
