{#-
    Whether a text seems to hold an e-mail address or a phone number: with a plus or 00, as it is dialled within a
    country, with an African country's code, or as Ghana's nine digits alone. A date, an advertisement's long id and a
    hexadecimal token are neither.

    A refresh checks every text. The first two conditions settle most; they are small because PostgreSQL compiles the
    expression again for each text. For the same reason there is no look-around.
-#}
{% macro looks_like_contact(column) -%}
    {%- set gap = '[ ./()_-]{0,2}' -%}
    {%- set more = '(' ~ gap ~ '[0-9])' -%}
    {%- set numbers = [
        '00' ~ gap ~ '[1-9]' ~ more ~ '{8,13}',
        '0[()]?[1-9] ?[0-9]' ~ more ~ '{7,8}',
        '0[1-9]([.-][0-9][0-9]){4}',
        '2[1-6]([2-9]' ~ gap ~ '[0-9]|1[3-9]|0[1-9][4-9])' ~ more ~ '{7,9}',
    ] -%}
    {%- set contacts = [
        '[^[:space:]@/]+(@|%40)[^[:space:]@/]+[.][a-z]',
        '([+]|%2b)' ~ more ~ '{9,15}([^0-9]|$)',
        '(^|[^0-9])(' ~ numbers | join('|') ~ ')([^0-9]|$)',
        '^[25][0-9]{8}$',
    ] -%}
    {%- set readable -%}
        translate(
            replace({{ column }}, '%20', ' '), '０１２３４５６７８９＋＠', '0123456789+@'
        )
    {%- endset -%}
    (
        {{ matches(column, '~', '[@＠+＋０-９]|%40|%2[bB]|(^|[^0-9])(0|2[1-6]|[25][0-9]{8}$)') }}
        and {{ matches(column, '~', '[@＠]|%40|([0-9０-９][^0-9０-９]*){9}') }}
        and {{ matches(readable, '~*', contacts | join('|')) }}
        and {{ matches(column, '!~*', '^([a-z]+[_-])?(?=[0-9-]*[a-f])[0-9a-f-]{24,}$') }}
    )
{%- endmacro %}
