{#- The scheme and the host of an address, in lower case; NULL where a text is no address. -#}
{% macro scheme_and_host(address) -%}
    case
        when
            lower({{ address }})
            ~ '^[a-z][a-z0-9+.-]*://([^/?#@]*@)?[a-z0-9._-]+(:[0-9]+)?([/?#]|$)'
            then regexp_replace(
                lower({{ address }}),
                '^([a-z][a-z0-9+.-]*://)([^/?#@]*@)?([a-z0-9._-]+).*$',
                '\1\3'
            )
    end
{%- endmacro %}
