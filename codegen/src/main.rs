//! `millrace-codegen DIR [--release]`: regenerates `DIR/src/generated.rs`; with `--release` also
//! freezes every schema that changed since its last released version.

use std::path::Path;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (dir, release) = match arguments.as_slice() {
        [dir] => (Path::new(*dir), false),
        [dir, "--release"] => (Path::new(*dir), true),
        _ => bail!("usage: millrace-codegen DIR [--release]"),
    };
    println!("{}", millrace_codegen::write(dir)?.display());
    if release {
        for path in millrace_codegen::release(dir)? {
            println!("{}", path.display());
        }
    }
    Ok(())
}
