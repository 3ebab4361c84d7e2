//! A fingerprint of the code that folds a view: other code gives another, other comments and other
//! line breaks do not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use sha2::{Digest, Sha256};

/// For the build script of a service: fingerprints these sources, tells cargo to look at them again
/// when they change, and hands the fingerprint to the code as `env!("FOLD_CODE")`.
///
/// # Errors
/// When a file cannot be read, or is not Rust.
pub fn fold_code(sources: &[&str]) -> Result<()> {
    let mut digest = Sha256::new();
    for source in sources {
        println!("cargo:rerun-if-changed={source}");
        let text = fs::read_to_string(Path::new(source)).with_context(|| (*source).to_owned())?;
        digest.update(code(&text).with_context(|| (*source).to_owned())?);
    }
    let fingerprint: String =
        digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rustc-env=FOLD_CODE={fingerprint}");
    Ok(())
}

/// The tokens of a source, without comments and documentation.
fn code(text: &str) -> Result<String> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
    Ok(without_docs(tokens).to_string())
}

fn without_docs(tokens: TokenStream) -> TokenStream {
    let (mut kept, mut mark): (Vec<TokenTree>, usize) = (vec![], 0);
    for token in tokens {
        match token {
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Bracket && is_doc(&group) =>
            {
                // Before it stands `#`, or `#!`.
                kept.truncate(mark);
            }
            TokenTree::Group(group) => {
                let inner = without_docs(group.stream());
                kept.push(proc_macro2::Group::new(group.delimiter(), inner).into());
            }
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                mark = kept.len();
                kept.push(punct.into());
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}

fn is_doc(group: &proc_macro2::Group) -> bool {
    matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "#[derive(Debug)] pub struct A(u8); fn f() -> u8 { 1 }";

    #[test]
    fn comments_and_line_breaks_are_no_code() {
        let told = "//! About.\n\n/// A.\n#[derive(Debug)]\npub struct A(u8);\n\n// f\nfn f() -> u8 {\n    /* one */ 1\n}\n";
        assert_eq!(code(told).unwrap(), code(PLAIN).unwrap());
    }

    #[test]
    fn another_number_is_other_code() {
        assert_ne!(code(&PLAIN.replace('1', "2")).unwrap(), code(PLAIN).unwrap());
        assert_ne!(code(&PLAIN.replace("Debug", "Clone")).unwrap(), code(PLAIN).unwrap());
        assert!(code("fn f( {").is_err());
    }
}
