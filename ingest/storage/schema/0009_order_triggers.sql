-- The triggers on the storefront's orders. This migration and the next two each lock their tables
-- for a moment only: writers wait, readers don't.

do $$
begin
    perform regulars.log_changes('public.shop_orders', 'note_changes(''order'')');
end
$$;

create trigger regulars_phone after update of customer_phone, shop_id on public.shop_orders
for each row when (
    old.customer_phone is distinct from new.customer_phone
    or old.shop_id is distinct from new.shop_id
)
execute function regulars.note_changed_phone();
