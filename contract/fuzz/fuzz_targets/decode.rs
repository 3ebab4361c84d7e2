//! Every target behind one: `FUZZ_TARGET` names the one to run, else the first byte chooses.
#![no_main]

use std::sync::LazyLock;

use millrace_contract_fuzz::{TARGETS, Target, warm_up};

static CHOSEN: LazyLock<Option<&'static Target>> = LazyLock::new(|| {
    warm_up();
    let name = std::env::var("FUZZ_TARGET").ok()?;
    Some(TARGETS.iter().find(|target| target.name == name).expect("no such target"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(target) = *CHOSEN {
        (target.run)(input);
    } else if let Some((first, rest)) = input.split_first() {
        (TARGETS[usize::from(*first) % TARGETS.len()].run)(rest);
    }
});
