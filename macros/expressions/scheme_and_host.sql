{#- The scheme and the host of an address, in lower case; NULL where a text is no address. -#}
{% macro scheme_and_host(address) -%}
    {%- set host_and_port = "split_part(translate(" ~ address ~ ", '?#', '//'), '/', 3)" -%}
    case
        when
            {{ matches(
                address, '~*', '^[a-z][a-z0-9+.-]*://([^/?#@]*@)?[a-z0-9._-]+(:[0-9]+)?([/?#]|$)'
            ) }}
            then lower(
                split_part({{ address }}, ':', 1)
                || '://'
                -- The part before an @ is a user.
                || split_part(
                    substr({{ host_and_port }}, position('@' in {{ host_and_port }}) + 1), ':', 1
                )
            )
    end
{%- endmacro %}
