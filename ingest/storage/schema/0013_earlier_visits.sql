-- Queues the orders that the earlier tracking knows so far, in a transaction that holds no lock on
-- its table.

do $$
begin
    if regulars.has_earlier_tracking() then
        insert into regulars.earlier_visits (order_id)
        select distinct e.shop_order_id
        from public.customer_tracking as e
        where e.shop_order_id is not null;
    end if;
end
$$;
