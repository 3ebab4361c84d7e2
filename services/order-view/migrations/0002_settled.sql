-- Whether an order has ended and nothing that was done for it is still to be undone: what is late
-- is found among those that are not settled, however many others there are.
ALTER TABLE order_view ADD COLUMN settled boolean NOT NULL DEFAULT false;

UPDATE order_view SET settled = true
WHERE status = 'confirmed'
   OR (status IN ('rejected', 'refused', 'cancelled', 'expired')
       AND NOT EXISTS (
           SELECT 1
           FROM (VALUES ('StockReserved', 'StockReleased'),
                        ('PaymentAccepted', 'PaymentRefunded'),
                        ('SaleConfirmed', 'SaleCancelled')) AS pair (done, undone)
           WHERE facts @> jsonb_build_array(jsonb_build_object('what',
                     jsonb_build_object('fact', pair.done)))
             AND NOT facts @> jsonb_build_array(jsonb_build_object('what',
                     jsonb_build_object('fact', pair.undone)))));

CREATE INDEX order_view_unsettled ON order_view (order_id) WHERE NOT settled;
