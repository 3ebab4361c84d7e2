//! Builds the crate again when a migration file is added; an edited one is seen anyway.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
