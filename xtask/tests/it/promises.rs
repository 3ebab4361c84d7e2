//! A promise in a README names the test that keeps it.

use std::collections::BTreeSet;

use crate::source::Source;

const PROMISES: [&str; 2] = ["README.md", "platform/README.md"];

/// Rows of the table under `## What is promised`: the promise, and the tests in its last cell.
fn promises(readme: &str) -> Vec<(String, Vec<String>)> {
    let section = readme.split("\n## ").find(|section| section.starts_with("What is promised"));
    let lines = section.unwrap_or_default().lines().filter(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let tests =
                cells.last().into_iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
            let tests = tests.filter_map(|test| test.rsplit("::").next()).map(str::to_owned);
            (cells[0].to_owned(), tests.collect())
        })
        .collect()
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let tests: BTreeSet<String> = Source::all().iter().flat_map(Source::tests).collect();
    let mut faults = vec![];
    for path in PROMISES {
        let readme = std::fs::read_to_string(xtask::root().join(path)).expect("it is there");
        let promises = promises(&readme);
        assert!(!promises.is_empty(), "{path} has no table under `## What is promised`");
        for (promise, named) in promises {
            if named.is_empty() {
                faults.push(format!("{path}: no test keeps: {promise}"));
            }
            let missing = named.iter().filter(|test| !tests.contains(*test));
            faults.extend(missing.map(|test| format!("{path}: there is no test {test}")));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_promise_and_its_tests_are_read_from_the_table() {
    let readme = "# A\n\n## What is promised\n\n| Promise | Kept by |\n| --- | --- |\n\
                  | one | `it::a`, `b` |\n| two | soon |\n\n## Else\n\n| x | `y` |\n";
    let found = promises(readme);
    assert_eq!(found[0], ("one".to_owned(), vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(found[1], ("two".to_owned(), vec![]));
    assert_eq!(found.len(), 2);
    let source = Source::new(
        "a.rs",
        "#[test]\nfn a() {}\nfn helper() {}\n#[tokio::test(flavor = \"x\")]\nasync fn b() {}\n\
         proptest! {\n    #[test]\n    fn c(n in 0..9) {}\n}\n#[cfg(test)]\nmod tests { fn d() {} }\n",
    )
    .expect("it is Rust");
    assert_eq!(source.tests(), ["a", "b", "c"]);
}
