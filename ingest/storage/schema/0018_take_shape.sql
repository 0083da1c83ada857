-- Gives what is published the columns and views of what was built, at the end of the transaction that filled it: a
-- column that was filled under the name `<column>__next` takes its name; one that the model has no more is retired, as
-- `<column>__old_<number>`, until nothing reads it; and each view of schema `building` is made in `analytics`, over the
-- published tables. Takes no lock where there is nothing to change.
create function regulars.take_shape() returns void
language plpgsql set search_path = ''
as $$
declare
    tables regclass[] := array(
        select p.oid::regclass
        from pg_catalog.pg_class as p
        where
            p.relnamespace = 'analytics'::regnamespace
            and p.relkind = 'r'
            and (
                cardinality(regulars.retiring_columns(p.oid)) > 0
                or exists (
                    select 1
                    from pg_catalog.pg_attribute as a
                    where a.attrelid = p.oid and a.attname like '%\_\_next' and not a.attisdropped
                )
            )
        order by p.relname
    );
    replaced jsonb := (
        select
            coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'name', format('analytics.%I', w.relname),
                        'working', w.oid::regclass::text,
                        'options', coalesce('with (' || array_to_string(w.reloptions, ', ') || ')', ''),
                        'definition', d.wanted,
                        'grants', regulars.grants_of(to_regclass(format('analytics.%I', w.relname)))
                    )
                ), '[]'
            )
        from pg_catalog.pg_class as w
        cross join lateral (
            select regexp_replace(pg_get_viewdef(w.oid), '\mbuilding\.', 'analytics.', 'g') as wanted
        ) as d
        where
            w.relnamespace = 'building'::regnamespace
            and w.relkind = 'v'
            and (
                -- By its text, a view that reads a retiring column looks as it should.
                cardinality(tables) > 0
                or d.wanted is distinct from pg_get_viewdef(to_regclass(format('analytics.%I', w.relname)))
            )
    );
    changed regclass;
    moved name;
    view jsonb;
    views jsonb;
    statement text;
begin
    if cardinality(tables) = 0 and jsonb_array_length(replaced) = 0 then
        return;
    end if;
    views := regulars.take_down(tables || array(
        select to_regclass(v.value ->> 'name')
        from jsonb_array_elements(replaced) as v
        where to_regclass(v.value ->> 'name') is not null
    ));
    foreach changed in array tables loop
        foreach moved in array regulars.retiring_columns(changed) loop
            execute format(
                'alter table %s rename column %I to %I', changed, moved, left(moved, 40) || '__old_' || (
                    select a.attnum
                    from pg_catalog.pg_attribute as a
                    where a.attrelid = changed and a.attname = moved
                )
            );
        end loop;
        for moved in
            select a.attname
            from pg_catalog.pg_attribute as a
            where a.attrelid = changed and a.attname like '%\_\_next' and not a.attisdropped
        loop
            execute format(
                'alter table %s rename column %I to %I', changed, moved, left(moved, length(moved) - length('__next'))
            );
        end loop;
        perform regulars.apply_row_security(changed);
    end loop;
    for view in select v.value from jsonb_array_elements(replaced) as v loop
        execute format('create view %s %s as %s', view ->> 'name', view ->> 'options', view ->> 'definition');
        perform regulars.copy_comments(to_regclass(view ->> 'name'), to_regclass(view ->> 'working'));
        for statement in select g.value from jsonb_array_elements_text(view -> 'grants') as g loop
            execute statement;
        end loop;
        perform regulars.apply_row_security(to_regclass(view ->> 'name'));
    end loop;
    perform regulars.put_back(views);
end
$$;

-- Nobody else may call these functions either.
do $$
begin
    perform regulars.grant_roles();
end
$$;
