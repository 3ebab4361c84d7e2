//! Builds the crate again when a migration file is added; an edited one is seen anyway. The code that
//! folds has a fingerprint, so that rows are never folded by two sorts of code.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=migrations");
    let folds = ["src/domain.rs", "src/on/mod.rs", "src/store.rs", "../../schemas/src/history.rs"];
    Ok(millrace_codegen::fold_code(&folds)?)
}
