//! What the embedded broker cannot show: members that are missed within seconds, and groups whose
//! offsets are reset.

mod crash;
mod view;

use super::order::gapless;
use super::{Bench, SOON};
