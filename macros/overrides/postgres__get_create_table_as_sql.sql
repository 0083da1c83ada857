{#-
    The table of a model under a contract: `create table … as`, whose query PostgreSQL runs on several cores. dbt
    would create the table first and insert into it, on one core. With the variable `is_loaded` it has no rows: Spark
    has computed them, and `flows/spark/load.py` copies them in.
-#}
{% macro postgres__get_create_table_as_sql(temporary, relation, sql) -%}
    {%- if temporary or not config.get('contract').enforced -%}
        {{ default__get_create_table_as_sql(temporary, relation, sql) }}
    {%- else -%}
        {{ get_assert_columns_equivalent(sql) }}
        create table {{ relation }} as
        select
            {% for column in model['columns'].values() -%}
                cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
            {% endfor %}
        from (
            {{ sql }}
        ) as computed
        {{- ' limit 0' if var('is_loaded', false) }};
        {%- set required = [] -%}
        {%- for column in model['columns'].values() -%}
            {%- if 'not_null' in column.constraints | map(attribute='type') | list -%}
                {%- do required.append('alter column ' ~ column.name ~ ' set not null') -%}
            {%- endif -%}
        {%- endfor %}
        {% if required %}alter table {{ relation }} {{ required | join(', ') }};{% endif %}
    {%- endif -%}
{%- endmacro %}
