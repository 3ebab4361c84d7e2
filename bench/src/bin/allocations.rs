//! Says how many bytes a thousand encodings into one buffer take beyond it, at their peak. Any
//! allocation at all shows.

#[path = "../order.rs"]
mod order;

use anyhow::Result;
use millrace::Event;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const ENCODES: usize = 1_000;

fn main() -> Result<()> {
    let (placed, mut buffer) = (order::placed()?, Vec::with_capacity(1024));
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    for _ in 0..ENCODES {
        buffer.clear();
        placed.write_framed(7, &mut buffer);
        std::hint::black_box(&buffer);
    }
    println!("{}", ALLOCATED.peak_usage().saturating_sub(before));
    Ok(())
}
