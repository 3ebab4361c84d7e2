//! Stands before the C library's `fdatasync` and `fsync`, when it is loaded first: nothing is brought
//! to the disk, and each call takes `SLOW_DISK_SYNC_MICROS` microseconds. A disk of any speed, and the
//! same one in every run.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::time::Duration;

fn wait() -> c_int {
    static WAIT: OnceLock<Duration> = OnceLock::new();
    let told = || std::env::var("SLOW_DISK_SYNC_MICROS").ok()?.parse().ok();
    let wait = WAIT.get_or_init(|| Duration::from_micros(told().unwrap_or(0)));
    if !wait.is_zero() {
        std::thread::sleep(*wait);
    }
    0
}

/// In the place of the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(_file: c_int) -> c_int {
    wait()
}

/// In the place of the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(_file: c_int) -> c_int {
    wait()
}
