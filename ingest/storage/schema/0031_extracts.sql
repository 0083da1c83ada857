-- The extract of the raw rows for Spark that is kept in a folder, so that the next one reads only what changed since.

create table regulars.extracts (
    extract_id uuid primary key default gen_random_uuid(),
    -- With it, texts that look like a contact are replaced. The folder doesn't have it: there is no way back.
    salt text not null default replace(cast(gen_random_uuid() as text), '-', ''),
    began_at timestamptz not null default clock_timestamp(),
    -- The moment of the files in the folder; null until they are whole for the first time.
    as_of timestamptz
);

-- What refreshes have published since then: the change log no longer has it. Append-only.
create table regulars.unextracted (
    entity text not null,
    shop_id uuid not null,
    entity_id uuid not null
);

-- An extract that nobody has continued for a month isn't any more, and nothing is noted for it.
create function regulars.note_unextracted() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if
        exists (
            select 1
            from regulars.extracts as e
            where coalesce(e.as_of, e.began_at) > now() - interval '31 days'
        )
    then
        insert into regulars.unextracted (entity, shop_id, entity_id)
        select r.entity, r.shop_id, r.entity_id
        from old_rows as r
        where r.entity in ('order', 'visit', 'profit', 'withdrawal');
    elsif exists (select 1 from regulars.extracts) then
        delete from regulars.extracts;
        delete from regulars.unextracted;
    end if;
    return null;
end
$$;

create trigger regulars_unextracted after delete on regulars.batch
referencing old table as old_rows for each statement execute function regulars.note_unextracted();

do $$
begin
    perform regulars.revoke_from_strangers();
end
$$;
