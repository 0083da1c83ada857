-- Forecasts: fitted once a week by a step of the refresh from the published marts, and kept as source data of the marts
-- that publish them, so that a rebuild changes none of them.

-- Every attempt at a fit. Of a shop's fits the one in use is the last that gave usable parameters.
create table regulars.forecast_fits (
    shop_id uuid not null references public.user_shops (id) on delete cascade,
    fit_id bigint not null generated always as identity,
    fitted_at timestamptz not null default clock_timestamp(),
    -- The last local day of the data. What it holds of them is counted beside it: without a change there is no new fit.
    fitted_through date not null,
    purchase_days bigint not null,
    net_amount numeric not null,
    customers bigint not null,
    repeat_customers bigint not null,
    -- BG/NBD, in weeks.
    r double precision,
    alpha double precision,
    a double precision,
    b double precision,
    log_likelihood double precision,
    converged boolean not null,
    reason text,
    -- Gamma-gamma.
    p double precision,
    q double precision,
    v double precision,
    amount_log_likelihood double precision,
    amount_reason text,
    is_in_use boolean not null default false,
    primary key (shop_id, fit_id),
    check (converged or not is_in_use),
    check (converged = (reason is null))
);

create unique index forecast_fits_in_use on regulars.forecast_fits (shop_id) where is_in_use;

-- The customers of each shop's fit in use. There are no foreign keys, which would be checked a million times: triggers
-- below remove who leaves.
create table regulars.forecasts (
    shop_id uuid not null,
    shop_customer_id uuid not null,
    fit_id bigint not null,
    probability_alive numeric not null,
    expected_purchases_30 numeric not null,
    expected_purchases_90 numeric not null,
    expected_purchases_365 numeric not null,
    expected_net_amount_30 numeric,
    expected_net_amount_90 numeric,
    expected_net_amount_365 numeric,
    primary key (shop_id, shop_customer_id)
);

-- The sums of every fit that was in use, kept to be held against what came.
create table regulars.shop_forecasts (
    shop_id uuid not null,
    fit_id bigint not null,
    horizon_days integer not null,
    -- The days that are predicted: from the first one up to, but not including, the last.
    from_day date not null,
    matures_on date not null,
    customers bigint not null,
    expected_purchases numeric not null,
    expected_net_amount numeric,
    primary key (shop_id, fit_id, horizon_days),
    foreign key (shop_id, fit_id) references regulars.forecast_fits (shop_id, fit_id) on delete cascade
);

-- The marts of forecasts are written anew by shop.
create function regulars.note_forecast_changes() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select distinct 'forecast', r.shop_id, r.shop_id from new_rows as r;
    else
        insert into regulars.changes (entity, shop_id, entity_id)
        select distinct 'forecast', r.shop_id, r.shop_id from old_rows as r;
    end if;
    return null;
end
$$;

create trigger regulars_insert after insert on regulars.forecast_fits
referencing new table as new_rows for each statement execute function regulars.note_forecast_changes();

create trigger regulars_update after update on regulars.forecast_fits
referencing old table as old_rows for each statement execute function regulars.note_forecast_changes();

create trigger regulars_delete after delete on regulars.forecast_fits
referencing old table as old_rows for each statement execute function regulars.note_forecast_changes();

-- Nothing is predicted of a person who was erased, or of a customer who is gone.
create function regulars.forget_forecast() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.forecasts as f where f.shop_id = old.shop_id and f.shop_customer_id = old.id;
    if found then
        insert into regulars.changes (entity, shop_id, entity_id) values ('forecast', old.shop_id, old.shop_id);
    end if;
    return null;
end
$$;

create trigger regulars_forget_erased after update of erased_at on regulars.customers
for each row when (old.erased_at is null and new.erased_at is not null)
execute function regulars.forget_forecast();

create function regulars.forget_forecasts() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    with gone as (
        delete from regulars.forecasts as f
        using old_rows as r
        where f.shop_id = r.shop_id and f.shop_customer_id = r.id
        returning f.shop_id
    )

    insert into regulars.changes (entity, shop_id, entity_id)
    select distinct 'forecast', g.shop_id, g.shop_id from gone as g;
    return null;
end
$$;

create trigger regulars_forget_deleted after delete on regulars.customers
referencing old table as old_rows for each statement execute function regulars.forget_forecasts();

do $$
declare
    name text;
begin
    foreach name in array '{forecast_fits,forecasts,shop_forecasts}'::text[] loop
        execute format(
            'alter table regulars.%1$I enable row level security;
            create policy regulars_owner_reads on regulars.%1$I for select
            using (shop_id = any ((select regulars.own_shops())::uuid[]))', name
        );
    end loop;
    perform regulars.grant_roles();
    perform regulars.revoke_from_strangers();
end
$$;
