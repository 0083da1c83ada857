-- Old visits that differ in nothing but the time of day are folded into one row, which says how many it stands for. See
-- `regulars prune`.

alter table regulars.tracking add column visit_count integer not null default 1;

-- It concerns new rows only, so the table need not be read; those that stand are 1.
alter table regulars.tracking add constraint tracking_stands_for_visits check (visit_count > 0) not valid;
