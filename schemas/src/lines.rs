//! What lines of an order come to. Arithmetic only: what a line may be is for the services to say.

use crate::{Money, MoneyError, OrderLine};

impl OrderLine {
    /// The price of all its pieces; fails when it cannot be counted.
    pub fn amount(&self) -> Result<Money, MoneyError> {
        self.unit_price.times(self.quantity)
    }

    /// Whether these lines are what an order can have: at least one, every quantity positive, no
    /// price negative, and together exactly this total.
    pub fn make_up(lines: &[Self], total: Money) -> bool {
        let sound = |line: &Self| line.quantity > 0 && !line.unit_price.is_negative();
        let zero = Money::zero(total.currency());
        let mut amounts = lines.iter().map(Self::amount);
        let sum = amounts.try_fold(zero, |sum, amount| sum.plus(amount?));
        !lines.is_empty() && lines.iter().all(sound) && sum == Ok(total)
    }
}
