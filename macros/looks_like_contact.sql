{#-
    Whether a text looks as if it held an e-mail address or a phone number: with a plus or 00, as it is dialled within a
    country, with an African country's code, or as Ghana's nine digits alone. A date, an advertisement's long id and a
    hexadecimal token are none. Without look-around, which costs five times as much; and most texts have neither an @ nor
    nine digits, which is cheaper to see.
-#}
{% macro looks_like_contact(column) -%}
    {%- set gap = '([ ./()_-]{0,2}|%20)' -%}
    {%- set more = '(' ~ gap ~ '[0-9])' -%}
    {%- set contacts = [
        '[^[:space:]@/]+(@|%40)[^[:space:]@/]+[.][a-z]',
        '([+]|%2b)' ~ more ~ '{9,15}([^0-9]|$)',
        '(^|[^0-9])00' ~ gap ~ '[1-9]' ~ more ~ '{8,13}([^0-9]|$)',
        '(^|[^0-9])0[()]?[1-9] ?[0-9]' ~ more ~ '{7,8}([^0-9]|$)',
        '(^|[^0-9])0[1-9]([.-][0-9][0-9]){4}([^0-9]|$)',
        '(^|[^0-9])2[1-6]([2-9]' ~ gap ~ '[0-9]|1[3-9]|0[1-9][4-9])' ~ more ~ '{7,9}([^0-9]|$)',
        '^[25][0-9]{8}$',
    ] -%}
    {%- set full_width = '０１２３４５６７８９＋＠' -%}
    (
        {{ column }} ~ '[@＠]|%40|([0-9０-９][^0-9０-９]*){9}'
        and case
            when octet_length({{ column }}) > length({{ column }})
                then translate({{ column }}, '{{ full_width }}', '0123456789+@')
            else {{ column }}
        end ~* '{{ contacts | join('|') }}'
        and {{ column }} !~* '^([a-z]+[_-])?(?=[0-9-]*[a-f])[0-9a-f-]{24,}$'
    )
{%- endmacro %}
