//! What the embedded broker cannot show: members that are missed within seconds, groups whose
//! offsets are reset, and a broker that keeps its log while it is away.

mod ask;
mod away;
mod crash;
mod frozen;
mod projection;
mod scale;
mod seek;
mod starved;
mod swollen;
mod view;

use super::{Bench, SOON, gapless, until_unready};
