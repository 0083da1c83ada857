-- Which process runs a refresh, and at which step it is: for whoever finds the lock taken.

alter table regulars.refreshes
add column host text,
add column process_id integer,
add column step text,
add column step_began_at timestamptz;
