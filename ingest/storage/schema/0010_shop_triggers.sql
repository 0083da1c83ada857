-- The triggers on the storefront's shops.

do $$
begin
    perform regulars.log_changes('public.user_shops', 'note_shop_changes()');
end
$$;

create trigger regulars_country after update of country on public.user_shops
for each row when (old.country is distinct from new.country)
execute function regulars.note_changed_country();

create trigger regulars_forget after delete on public.user_shops
referencing old table as old_rows
for each statement execute function regulars.forget_deleted_shops();
