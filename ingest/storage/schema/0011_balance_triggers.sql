-- The triggers on the storefront's profits and withdrawals.

do $$
begin
    perform regulars.log_changes('public.shop_profits', 'note_changes(''profit'')');
    perform regulars.log_changes('public.withdrawal_requests', 'note_changes(''withdrawal'')');
end
$$;
