//! `cargo run -p xtask -- docs` writes every generated document anew.

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("docs") => {
            for path in xtask::write()? {
                println!("{}", path.display());
            }
            Ok(())
        }
        _ => anyhow::bail!("usage: cargo run -p xtask -- docs"),
    }
}
