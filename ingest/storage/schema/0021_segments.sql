-- Which segment a customer is in: a grid of recency and value, each a fifth from 1 (lowest) to 5. A row without a shop
-- is the default; a shop's own rows win, cell by cell. Change it with plain SQL: the next refresh names the customers
-- anew.

create table regulars.segment_grid (
    shop_id uuid references public.user_shops (id) on delete cascade,
    recency_score integer not null check (recency_score between 1 and 5),
    value_score integer not null check (value_score between 1 and 5),
    segment text not null check (trim(segment) <> ''),
    unique nulls not distinct (shop_id, recency_score, value_score)
);

insert into regulars.segment_grid (recency_score, value_score, segment)
select
    g.recency_score,
    s.value_score,
    s.segment
from (
    values
    (5, array['new', 'potential loyal', 'loyal', 'champions', 'champions']),
    (4, array['promising', 'potential loyal', 'loyal', 'loyal', 'champions']),
    (3, array['promising', 'needs attention', 'needs attention', 'loyal', 'loyal']),
    (2, array['hibernating', 'hibernating', 'at risk', 'at risk', 'at risk']),
    (1, array['lost', 'lost', 'at risk', 'can''t lose', 'can''t lose'])
) as g (recency_score, segments)
cross join lateral unnest(g.segments) with ordinality as s (segment, value_score);

-- A change of the default concerns every shop.
create function regulars.note_grid_changes() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_op in ('DELETE', 'UPDATE') then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'segment_grid', s.id, s.id
        from public.user_shops as s
        where exists (select 1 from old_rows as r where r.shop_id is null or r.shop_id = s.id);
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'segment_grid', s.id, s.id
        from public.user_shops as s
        where exists (select 1 from new_rows as r where r.shop_id is null or r.shop_id = s.id);
    end if;
    if tg_op = 'TRUNCATE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'segment_grid', s.id, s.id from public.user_shops as s;
    end if;
    return null;
end
$$;

do $$
begin
    perform regulars.log_changes('regulars.segment_grid', 'note_grid_changes()');
end
$$;
