-- Fails for a column of text, of any mart or view that analysts or owners read, that holds what
-- looks like a phone number or an e-mail address. It names the column and how many rows, never the
-- text.
-- Not a failure: the contacts that owners read of their own customers, and their own shop's name.
-- These are no models: views show them live, to their owner alone. Nor the name of a mart in
-- `reconciliation`, which is no data.
-- An audit: it reads every text there is, so no nightly refresh runs it.
{{ config(tags=['audit']) }}

-- dbt learns here what must be built before; a test holds that no model with a text is missing.
{%- set models = [
    'campaign_analytics', 'campaign_months', 'customer_rhythms', 'customer_segments', 'customers',
    'forecast_fits', 'ledger_entries', 'link_analytics', 'link_months', 'links', 'network_months',
    'network_shares', 'network_switches', 'orders', 'purchases', 'segment_changes',
    'segment_sizes', 'shop_overview', 'shop_segments', 'shops', 'slug_analytics', 'slug_months',
    'state_sizes', 'visits',
] %}

with

texts as (
    {% for model in models -%}
        {%- set relation = ref(model) -%}
        {%- set node = graph.nodes['model.regulars.' ~ model] if execute -%}
        {%- set columns = node.columns.values() if execute else [] -%}
        {%- set texts = [] -%}
        {%- for column in columns | selectattr('data_type', 'equalto', 'text') -%}
            {%- do texts.append(["'" ~ column.name ~ "'", 'shown.' ~ column.name]) -%}
        {%- endfor -%}
        select
            '{{ model }}' as relation_name,
            texts.column_name,
            count(*) as contacts
        from {{ relation }} as shown
        cross join
            lateral {{ rows_of(texts) }} as texts (column_name, content)
        where {{ looks_like_contact('texts.content') }}
        group by texts.column_name
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    relation_name,
    column_name,
    contacts
from texts
