-- A charge is taken from the customer's account or by the payment provider. The provider's answer
-- comes later: until then the charge is asked, or withdrawn when the order was cancelled meanwhile.
ALTER TABLE charge ADD COLUMN purse text NOT NULL DEFAULT 'account'
    CHECK (purse IN ('account', 'provider'));
ALTER TABLE charge DROP CONSTRAINT charge_state_check, DROP CONSTRAINT charge_check;
-- One fact can lead to a charge and, if the order was cancelled meanwhile, to its refund.
ALTER TABLE money_ledger DROP CONSTRAINT money_ledger_pkey, ADD PRIMARY KEY (cause, account, kind);
ALTER TABLE charge ADD CONSTRAINT charge_state_check CHECK (state IN
    ('asked', 'withdrawn', 'charged', 'refused', 'refunding', 'refunded', 'tombstone'));
ALTER TABLE charge ADD CONSTRAINT charge_check CHECK ((amount IS NOT NULL AND currency IS NOT NULL)
    = (state IN ('asked', 'withdrawn', 'charged', 'refunding', 'refunded')));
