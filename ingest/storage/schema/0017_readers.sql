-- Changing what somebody may be reading. A reader locks a view and then what it reads; a change takes its locks in the
-- same order: the outermost view first, the relation last. Readers queue behind a wait for a lock, so no wait is longer
-- than they would notice: it is given up, and tried again.

-- Who holds or queues for a lock that others wait behind: on these relations, in any mode; or else on any relation
-- that a refresh reads, in a mode that keeps readers or writers out. A sentence each, without the text of a query.
create function regulars.lock_holders(relations oid[] default null) returns setof text
language sql stable set search_path = ''
as $$
    select
        format(
            '%s %s %s on %s.%s%s%s',
            case
                when l.pid is null then 'a prepared transaction'
                else format(
                    'pid %s (application %s, user %s)',
                    l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.usename, 'unknown')
                )
            end,
            case when l.granted then 'holds' else 'waits for' end,
            l.mode, c.relnamespace::regnamespace, c.relname,
            coalesce(' since ' || to_char(a.xact_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), ''),
            coalesce(
                format(
                    ', %s, last statement %s', a.state,
                    upper(substring(a.query from '^\s*(?:/\*.*?\*/\s*)*([A-Za-z]+)'))
                ), ''
            )
        )
    from pg_catalog.pg_locks as l
    inner join pg_catalog.pg_class as c on l.relation = c.oid
    left join pg_catalog.pg_stat_activity as a on l.pid = a.pid
    where
        l.locktype = 'relation'
        and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
        and l.pid is distinct from pg_backend_pid()
        and case
            when relations is not null then l.relation = any (relations)
            else
                l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                and c.relkind <> 'i'
                and c.relnamespace::regnamespace::text
                in ('public', 'regulars', 'staging', 'building', 'analytics', 'dashboard')
        end
    order by a.xact_start, l.pid, c.relname
    limit 5
$$;

-- The grants on a relation and its columns, to others than its owner, as statements.
create function regulars.grants_of(relation oid) returns text[]
language sql stable set search_path = ''
as $$
    select
        coalesce(
            array_agg(
                format(
                    'grant %s%s on %s.%s to %s%s',
                    g.privilege_type, ' (' || quote_ident(a.attname) || ')',
                    c.relnamespace::regnamespace, quote_ident(c.relname),
                    case g.grantee when 0 then 'public' else g.grantee::regrole::text end,
                    case when g.is_grantable then ' with grant option' else '' end
                )
            ), '{}'
        )
    from pg_catalog.pg_class as c
    inner join (
        select a.attrelid, a.attname, a.attacl as acl from pg_catalog.pg_attribute as a where not a.attisdropped
        union all
        select t.oid, null, t.relacl from pg_catalog.pg_class as t
    ) as a on c.oid = a.attrelid
    cross join lateral aclexplode(a.acl) as g
    where c.oid = grants_of.relation and g.grantee <> c.relowner
$$;

-- Comments a relation and its columns where the comment differs: one that is right is not written again.
create function regulars.comment_on(relation regclass, wanted text, wanted_of_columns jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
    statement text;
begin
    for statement in
        select
            format(
                'comment on %s %s is %L',
                case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end,
                relation, nullif(wanted, '')
            )
        from pg_catalog.pg_class as c
        where c.oid = relation and obj_description(c.oid, 'pg_class') is distinct from nullif(wanted, '')
        union all
        select format('comment on column %s.%I is %L', relation, a.attname, nullif(w.value, ''))
        from pg_catalog.pg_attribute as a
        inner join jsonb_each_text(wanted_of_columns) as w on a.attname in (w.key, w.key || '__next')
        where
            a.attrelid = relation
            and a.attnum > 0
            and col_description(a.attrelid, a.attnum) is distinct from nullif(w.value, '')
    loop
        execute statement;
    end loop;
end
$$;

-- Gives a published relation, and the view that shows it to owners, the comments of the working one.
create function regulars.copy_comments(published regclass, working regclass) returns void
language plpgsql set search_path = ''
as $$
declare
    shown regclass := (
        select to_regclass(format('dashboard.%I', c.relname)) from pg_catalog.pg_class as c where c.oid = published
    );
    comment text := obj_description(working, 'pg_class');
    comments jsonb := (
        select coalesce(jsonb_object_agg(a.attname, coalesce(col_description(working, a.attnum), '')), '{}')
        from pg_catalog.pg_attribute as a
        where a.attrelid = working and a.attnum > 0 and not a.attisdropped
    );
begin
    perform regulars.comment_on(published, comment, comments);
    if shown is not null then
        perform regulars.comment_on(shown, comment, comments);
    end if;
end
$$;

-- The columns of a published table that its working one no longer has, or has with another type.
create function regulars.retiring_columns(relation regclass) returns name[]
language sql stable set search_path = ''
as $$
    select
        coalesce(
            array_agg(a.attname order by a.attnum) filter (
                where
                not regulars.is_passing(a.attname)
                and (
                    not exists (
                        select 1
                        from pg_catalog.pg_attribute as w
                        where w.attrelid = working.oid and w.attname = a.attname and not w.attisdropped
                    )
                    or exists (
                        select 1
                        from pg_catalog.pg_attribute as n
                        where n.attrelid = published.oid and n.attname = a.attname || '__next' and not n.attisdropped
                    )
                )
            ), '{}'
        )
    from pg_catalog.pg_class as published
    inner join pg_catalog.pg_class as working
        on published.relname = working.relname and working.relnamespace = 'building'::regnamespace
    inner join pg_catalog.pg_attribute as a on published.oid = a.attrelid
    where
        published.oid = retiring_columns.relation
        and published.relnamespace = 'analytics'::regnamespace
        and a.attnum > 0
        and not a.attisdropped
$$;

-- The views that read these relations, or that read such a view, the outermost first, each with all that it takes to
-- make it again. Of a table only the owners' view, and those that somebody else made and that read a retiring column.
create function regulars.views_on(relations regclass[]) returns jsonb
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
        union all
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

-- Keeps everybody else away from relations until the transaction ends: drops the views that read them (see
-- views_on), then those that are views themselves, and locks the tables; returns what it dropped beside them, for
-- put_back. It holds all of these locks or none, so that nobody waits behind one while it waits for another; tries as
-- long as the session's lock_timeout says, and lets readers pass in between.
create function regulars.take_down(relations regclass[]) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    timeout text := current_setting('lock_timeout');
    patience int := (select nullif(s.setting::int, 0) from pg_catalog.pg_settings as s where s.name = 'lock_timeout');
    deadline timestamptz := clock_timestamp() + coalesce(patience, 60000) * interval '1 millisecond';
    views jsonb;
    outer_view jsonb;
    relation regclass;
    reason text;
begin
    loop
        begin
            views := regulars.views_on(relations);
            for outer_view in select v.value from jsonb_array_elements(views) as v loop
                if not (outer_view ->> 'is_plain')::boolean then
                    raise exception '% has rules or triggers, and reads %, which is to be replaced',
                        outer_view ->> 'name', array_to_string(relations, ', ')
                        using hint = 'Drop it, refresh, and make it again.';
                end if;
                perform set_config('lock_timeout', '200', true);
                execute format('drop view %s', outer_view ->> 'name');
            end loop;
            for relation in
                select c.oid
                from pg_catalog.pg_class as c
                where c.oid = any (relations)
                order by c.relkind = 'r', c.oid
            loop
                -- An automatic vacuum gives way to a wait that is longer than deadlock_timeout.
                perform set_config(
                    'lock_timeout', case when regulars.is_being_vacuumed(relation) then '1200' else '200' end, true
                );
                execute format(
                    case (select c.relkind from pg_catalog.pg_class as c where c.oid = relation)
                        when 'r' then 'lock table %s' else 'drop view %s'
                    end, relation
                );
            end loop;
            perform set_config('lock_timeout', timeout, true);
            return views;
        exception
            when lock_not_available then
                if clock_timestamp() > deadline then
                    raise exception 'lock timeout: % could not be changed under its readers: %',
                        array_to_string(relations, ', '), (
                            select string_agg(h, '; ')
                            from regulars.lock_holders(relations::oid[] || array(
                                select to_regclass(v.value ->> 'name')::oid
                                from jsonb_array_elements(regulars.views_on(relations)) as v
                            )) as h
                        ) using errcode = 'lock_not_available';
                end if;
                perform pg_sleep(0.1 + 0.2 * random());
            when dependent_objects_still_exist then
                get stacked diagnostics reason = pg_exception_detail;
                raise exception '% is to be replaced, but what can''t be made again reads it: %',
                    array_to_string(relations, ', '), reason
                    using hint = 'Drop that, refresh, and make it again.';
            when insufficient_privilege then
                raise exception '% is to be replaced, but % reads it, which is not ours to make again: %',
                    array_to_string(relations, ', '), outer_view ->> 'name', sqlerrm
                    using hint = 'Let its owner drop it, refresh, and make it again.';
        end;
    end loop;
end
$$;

-- Whether a vacuum, or an analysis of what there is, holds the relation.
create function regulars.is_being_vacuumed(relation regclass) returns boolean
language sql stable set search_path = ''
as $$
    select exists (
        select 1
        from pg_catalog.pg_locks as l
        where
            l.locktype = 'relation'
            and l.relation = is_being_vacuumed.relation
            and l.mode = 'ShareUpdateExclusiveLock'
            and l.granted
            and l.pid <> pg_backend_pid()
    )
$$;

-- Makes again what take_down dropped: each view with its owner, grants and comments. A view of somebody else's that
-- can't be made again stops the transaction; one of ours doesn't, as dbt makes it later in the same run.
create function regulars.put_back(views jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
    taken jsonb;
    statement text;
begin
    for taken in select v.value from jsonb_array_elements(views) with ordinality as v order by v.ordinality desc loop
        begin
            if to_regclass(taken ->> 'name') is null then
                execute format(
                    'create view %s%s as %s', taken ->> 'name', ' with (' || (taken ->> 'options') || ')',
                    taken ->> 'definition'
                );
                for statement in
                    select distinct
                        format(
                            'revoke all on %s from %s', taken ->> 'name',
                            case g.grantee when 0 then 'public' else g.grantee::regrole::text end
                        )
                    from pg_catalog.pg_class as c
                    cross join lateral aclexplode(c.relacl) as g
                    where c.oid = to_regclass(taken ->> 'name') and g.grantee <> c.relowner
                loop
                    execute statement;
                end loop;
                perform regulars.comment_on(
                    to_regclass(taken ->> 'name'), taken ->> 'comment',
                    coalesce(nullif(taken -> 'comments', 'null'), '{}')
                );
                if taken ->> 'owner' <> current_user::regrole::text then
                    execute format('alter view %s owner to %s', taken ->> 'name', taken ->> 'owner');
                end if;
            end if;
            for statement in select g.value from jsonb_array_elements_text(taken -> 'grants') as g loop
                execute statement;
            end loop;
        exception
            when others then
                if not (taken ->> 'is_ours')::boolean then
                    raise exception 'the view % can''t be made again over what it is to read now: %',
                        taken ->> 'name', sqlerrm
                        using hint = 'Change it or drop it, and refresh again.';
                end if;
        end;
    end loop;
end
$$;

-- Replaces a view in place; where its columns are no longer those of the one that stands, by a new one. With
-- `as_reader`, the view reads with the rights of who reads it.
create function regulars.replace_view(name text, definition text, as_reader boolean) returns void
language plpgsql set search_path = ''
as $$
declare
    options text := case when as_reader then 'with (security_invoker = true)' else '' end;
    grants text[];
    views jsonb;
    statement text;
    timeout text := current_setting('lock_timeout');
    patience int := (select nullif(s.setting::int, 0) from pg_catalog.pg_settings as s where s.name = 'lock_timeout');
    deadline timestamptz := clock_timestamp() + coalesce(patience, 60000) * interval '1 millisecond';
begin
    loop
        begin
            perform set_config('lock_timeout', '200', true);
            execute format('create or replace view %s %s as %s', name, options, definition);
            perform set_config('lock_timeout', timeout, true);
            return;
        exception
            when lock_not_available then
                if clock_timestamp() > deadline then
                    raise;
                end if;
                perform pg_sleep(0.1 + 0.2 * random());
            when invalid_table_definition then
                exit;
        end;
    end loop;
    grants := regulars.grants_of(to_regclass(name));
    views := regulars.take_down(array[to_regclass(name)]);
    execute format('create view %s %s as %s', name, options, definition);
    foreach statement in array grants loop
        execute statement;
    end loop;
    perform regulars.put_back(views);
end
$$;
