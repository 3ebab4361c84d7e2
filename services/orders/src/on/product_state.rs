//! The catalogue says something new of an article: our own copy follows.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::ProductState;

use crate::domain::{Desk, Product};
use crate::store::Keys;

impl Decide<ProductState> for Desk {
    /// The newest state replaces whatever is there, so no row is needed.
    fn keys(_fact: &Envelope<ProductState>, _keys: &mut Keys) {}

    fn decide(&mut self, fact: &Envelope<ProductState>, _emit: &mut Emit) -> Result<(), Poison> {
        let ProductState { sku, name, price, withdrawn, .. } = fact.event.clone();
        self.learn(sku, Product { name, price, withdrawn }).map_err(Poison::new)
    }
}
