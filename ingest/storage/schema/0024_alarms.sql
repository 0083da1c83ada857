-- What watches a refresh: days with unusual counts, the alarms that were raised, and figures for a monitor.

-- Days on which a count was far from what the same weekday of the weeks before lets one expect. Each refresh judges the
-- days that have ended since the last one. A day that was found here is left out of what later weeks are compared with,
-- so that four months of lost orders don't become what is usual.
create table regulars.unusual_days (
    measure text not null,
    -- A shop's id, `platform`, or `small shops`: those that are too small to be judged alone.
    subject text not null,
    day date not null,
    -- The slugs of the shops; of the platform and of small shops, those that lack most.
    shops text[] not null,
    found bigint not null,
    expected numeric not null,
    -- Of the last day that was judged.
    is_current boolean not null,
    primary key (measure, subject, day)
);

-- Each alarm from when its cause was found to when it was gone, and whether somebody was told of either.
create table regulars.alarms (
    alarm_id bigint generated always as identity primary key,
    cause text not null,
    -- What the cause was found in: a shop's id, a machine's name, or nothing where there can be only one.
    subject text not null,
    what text not null,
    shops text[] not null,
    since timestamptz not null,
    raised_at timestamptz not null default clock_timestamp(),
    told_at timestamptz,
    cleared_at timestamptz,
    clearing_told_at timestamptz
);

create unique index alarms_open on regulars.alarms (cause, subject) where cleared_at is null;
create index alarms_untold on regulars.alarms (alarm_id) where clearing_told_at is null;

-- Figures of the refresh for a monitor, by name. The ingest API shows them, whose role reads no table; they say nothing
-- about a shop or a person.
create function regulars.refresh_figures() returns table (name text, label text, figure double precision)
language sql stable security definer set search_path = ''
as $$
    with
    latest as (
        select r.status from regulars.refreshes as r where r.status <> 'running' order by r.refresh_id desc limit 1
    ),

    good as (
        select r.as_of, r.started_at, r.finished_at, r.changes
        from regulars.refreshes as r
        where r.status = 'succeeded'
        order by r.refresh_id desc
        limit 1
    )

    select 'as_of', '', extract(epoch from g.as_of) from good as g
    union all
    select 'seconds', '', extract(epoch from g.finished_at - g.started_at) from good as g
    union all
    select 'changes', '', g.changes from good as g
    union all
    select 'failed', '', case when l.status = 'succeeded' then 0 else 1 end from latest as l
    union all
    select 'open_alarms', '', count(*) from regulars.alarms as a where a.cleared_at is null
    union all
    select 'alarms', a.cause, count(*) from regulars.alarms as a where a.cleared_at is null group by a.cause
$$;

-- Run again once the role is there, as regulars.grant_roles is: of this schema's functions, that lets checkout call
-- those of ingest alone.
create function regulars.let_checkout_read_figures() returns void
language plpgsql set search_path = ''
as $$
begin
    revoke all on function regulars.refresh_figures() from public;
    if exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_checkout') then
        grant execute on function regulars.refresh_figures() to regulars_checkout;
    end if;
end
$$;

do $$
begin
    perform regulars.grant_roles();
    perform regulars.let_checkout_read_figures();
    perform regulars.revoke_from_strangers();
end
$$;
