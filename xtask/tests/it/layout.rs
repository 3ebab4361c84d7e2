//! Sizes and shapes: functions, files, entry points, the root; nothing unfinished, nothing that
//! waits by guessing, no path of anybody's machine.

use crate::source::{Source, files};

/// Lines of a function, of a handler of a fact, of a file.
const FUNCTION_MAX: usize = 70;
const HANDLER_MAX: usize = 40;
const FILE_MAX: usize = 400;
/// Lines of a service's `main.rs` and of its `lib.rs`, which must fit one screen.
const MAIN_MAX: usize = 15;
const SCREEN_MAX: usize = 60;
/// Entries of the root that a plain listing shows.
const ROOT_MAX: usize = 20;

/// What is wrong with one file, as `path:line: sentence`.
fn faults(source: &Source) -> Vec<String> {
    let mut faults = vec![];
    let path = &source.path;
    let mut say = |line: usize, what: String| faults.push(format!("{path}:{line}: {what}"));
    if !source.text.starts_with("//! ") {
        say(1, "the file does not open with `//!` and what it is for".to_owned());
    }
    if !source.is_generated() {
        let function_max = if path.contains("/src/on/") { HANDLER_MAX } else { FUNCTION_MAX };
        for function in source.functions().iter().filter(|it| it.lines > function_max) {
            let (name, lines) = (&function.name, function.lines);
            say(function.line, format!("{name} has {lines} lines, more than {function_max}"));
        }
        let lines = source.product_lines();
        if !source.is_test() && lines > FILE_MAX {
            say(1, format!("{lines} lines without its tests, more than {FILE_MAX}"));
        }
    }
    if let Some(max) = entry_max(path)
        && source.text.lines().count() > max
    {
        say(1, format!("more than {max} lines"));
    }
    for (words, what) in [
        (&["todo", "!"][..], "is not finished"),
        (&["unimplemented", "!"], "is not finished"),
        (&["#", "[", "ignore"], "is a test that does not run"),
        (
            &["#", "[", "allow"],
            "says nothing when it is no longer needed; use expect with a reason",
        ),
    ] {
        source.lines_with(words).into_iter().for_each(|line| say(line, what.to_owned()));
    }
    if path.contains("/tests/it/") || path.starts_with("testcontainers/tests/") {
        for line in source.lines_with(&["sleep", "("]) {
            say(line, "waits by guessing; poll with a deadline".to_owned());
        }
    }
    faults
}

fn entry_max(path: &str) -> Option<usize> {
    let inside = path.strip_prefix("services/")?.split_once('/')?.1;
    match inside {
        "src/main.rs" => Some(MAIN_MAX),
        "src/lib.rs" => Some(SCREEN_MAX),
        _ => None,
    }
}

#[test]
fn functions_files_and_entry_points_are_small_finished_and_introduced() {
    let faults: Vec<String> = Source::all().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_root_can_be_taken_in_at_a_glance() {
    let entries = std::fs::read_dir(xtask::root()).expect("the root can be read");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let shown: Vec<String> = names.filter(|it| !it.starts_with('.') && it != "target").collect();
    assert!(shown.len() <= ROOT_MAX, "{} entries: {shown:?}", shown.len());
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let endings = [
        "rs", "md", "toml", "sql", "sh", "avsc", "json", "yml", "yaml", "xml", "csv", "run",
        "Makefile",
    ];
    let homes = ["root", "home", "work", "farm", "Users"].map(|home| format!("/{home}/"));
    let mut faults = vec![];
    for (path, text) in files(&endings) {
        for (line, text) in text.lines().enumerate() {
            let starts = |home: &String| {
                text.match_indices(home.as_str()).any(|(at, _)| {
                    !text[..at].ends_with(|c: char| c.is_alphanumeric() || ".-_}".contains(c))
                })
            };
            faults.extend(
                homes.iter().filter(|home| starts(home)).map(|_| format!("{path}:{}", line + 1)),
            );
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_rules_see_what_they_forbid() {
    let long =
        |lines: usize| format!("//! Long.\nfn long() {{\n{}}}\n", "    f();\n".repeat(lines - 2));
    let cases = [
        ("a/src/a.rs", "fn f() {}\n".to_owned(), "does not open"),
        ("a/src/a.rs", long(71), "long has 71 lines"),
        ("a/src/a.rs", long(70), ""),
        ("services/a/src/on/b.rs", long(41), "more than 40"),
        ("a/src/a.rs", format!("//! A.\n{}", "const A: u8 = 0;\n".repeat(400)), "401 lines"),
        ("a/tests/it/a.rs", format!("//! A.\n{}", "const A: u8 = 0;\n".repeat(400)), ""),
        (
            "a/src/a.rs",
            format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 0;\n".repeat(400)),
            "",
        ),
        ("services/a/src/main.rs", format!("//! A.\n{}", "use a;\n".repeat(15)), "more than 15"),
        ("a/src/a.rs", "//! A.\nfn f() { todo! () }\n".to_owned(), "2: is not finished"),
        ("a/src/a.rs", "//! A.\n# [ignore = \"slow\"]\nfn f() {}\n".to_owned(), "does not run"),
        (
            "a/src/a.rs",
            "//! todo! () and sleep () in prose.\nconst A: &str = \"todo! ()\";\n".to_owned(),
            "",
        ),
        ("a/tests/it/a.rs", "//! A.\nfn f() { sleep (SECOND) }\n".to_owned(), "waits by guessing"),
    ];
    for (path, text, wanted) in cases {
        let source = Source::new(path, &text).expect("it is Rust");
        let found = faults(&source).join("\n");
        assert_eq!(found.is_empty(), wanted.is_empty(), "{path}: {found}");
        assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
    }
}
