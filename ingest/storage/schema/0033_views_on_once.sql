-- Finds the views on a relation in a time that grows with their number. pg_depend has a row for each column that a view
-- reads: as it was, a chain of views was followed once for each combination of columns.

-- The views that read these relations, or that read such a view, the outermost first, each with all that it takes to
-- make it again. Of a table only the owners' view, and those that somebody else made and that read a retiring column.
create or replace function regulars.views_on(relations regclass[]) returns jsonb
language sql stable set search_path = ''
as $$
    with recursive reading as (
        select r.ev_class as view, 1 as depth
        from pg_catalog.pg_class as c
        inner join pg_catalog.pg_depend as d on c.oid = d.refobjid and d.refclassid = 'pg_catalog.pg_class'::regclass
        inner join pg_catalog.pg_rewrite as r on d.objid = r.oid and d.classid = 'pg_catalog.pg_rewrite'::regclass
        inner join pg_catalog.pg_class as v on r.ev_class = v.oid
        where
            c.oid = any (views_on.relations)
            and v.oid <> all (views_on.relations)
            and v.relkind = 'v'
            and (
                c.relkind <> 'r'
                or v.oid = to_regclass(format('dashboard.%I', c.relname))
                or (
                    v.relnamespace::regnamespace::text <> 'analytics'
                    and d.refobjsubid in (
                        select a.attnum
                        from pg_catalog.pg_attribute as a
                        where a.attrelid = c.oid and a.attname = any (regulars.retiring_columns(c.oid))
                    )
                )
            )
        union
        select r.ev_class, reading.depth + 1
        from reading
        inner join pg_catalog.pg_depend as d
            on reading.view = d.refobjid and d.refclassid = 'pg_catalog.pg_class'::regclass
        inner join pg_catalog.pg_rewrite as r on d.objid = r.oid and d.classid = 'pg_catalog.pg_rewrite'::regclass
        inner join pg_catalog.pg_class as v on r.ev_class = v.oid
        where v.oid <> reading.view and v.oid <> all (views_on.relations) and v.relkind = 'v'
    )

    select
        coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'name', format('%s.%I', v.relnamespace::regnamespace, v.relname),
                    'is_ours', v.relnamespace::regnamespace::text in ('staging', 'building', 'analytics', 'dashboard'),
                    'is_plain',
                    not v.relhastriggers
                    and 1 = (select count(*) from pg_catalog.pg_rewrite as r where r.ev_class = v.oid),
                    'owner', v.relowner::regrole::text,
                    'options', array_to_string(v.reloptions, ', '),
                    'definition', pg_get_viewdef(v.oid),
                    'grants', regulars.grants_of(v.oid),
                    'comment', obj_description(v.oid, 'pg_class'),
                    'comments', (
                        select jsonb_object_agg(a.attname, col_description(v.oid, a.attnum))
                        from pg_catalog.pg_attribute as a
                        where a.attrelid = v.oid and col_description(v.oid, a.attnum) is not null
                    )
                )
                order by views.depth desc, v.oid
            ), '[]'
        )
    from (select reading.view, max(reading.depth) as depth from reading group by reading.view) as views
    inner join pg_catalog.pg_class as v on views.view = v.oid
$$;
