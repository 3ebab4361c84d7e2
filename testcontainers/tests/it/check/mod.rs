//! The checker is itself checked: a clean run passes, and every damage is found by its invariant.

mod clean;
mod damage;
mod damages;
mod sim;
mod tale;
