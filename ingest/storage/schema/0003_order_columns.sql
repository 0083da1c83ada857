-- The columns of an order that Regulars reads, added if the storefront's table lacks them.

do $$
begin
    perform regulars.add_missing_columns('public.shop_orders', array[
        'customer_name text',
        'customer_email text',
        'customer_phone text',
        'network text',
        'volume_gb numeric',
        'base_price numeric',
        'profit_amount numeric',
        'total_price numeric',
        'order_status text',
        'payment_status text',
        'reference_code text',
        'created_at timestamptz default now()',
        'updated_at timestamptz default now()'
    ]);
end
$$;
