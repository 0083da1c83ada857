-- Which address was told of which alarm, so that one that failed is tried again whatever the others did.

create table regulars.tellings (
    alarm_id bigint not null references regulars.alarms (alarm_id) on delete cascade,
    -- A hash of it: it may hold a password.
    address text not null,
    told_at timestamptz not null default clock_timestamp(),
    clearing_told_at timestamptz,
    primary key (alarm_id, address)
);

-- They said that any address was told. Alarms that are open now are told once more.
alter table regulars.alarms
drop column told_at,
drop column clearing_told_at;

do $$
begin
    perform regulars.revoke_from_strangers();
end
$$;
