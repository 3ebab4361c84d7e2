//! Every alert has a runbook that begins with the command to paste, and measures something there is.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::files;

const RULES: &str = "deploy/prometheus/alerts.yml";
const RUNBOOKS: &str = "docs/operations/alerts/";
/// Raised by a check of the command line, since no service measures it.
const WITHOUT_A_RULE: [&str; 1] = ["order-stuck"];
/// Measured by an exporter beside the broker.
const OTHERS: &str = "kafka_consumergroup_";

/// An alert: the text of its rule, and its annotations.
struct Alert {
    rule: String,
    annotations: BTreeMap<String, String>,
}

fn alerts() -> BTreeMap<String, Alert> {
    let text = std::fs::read_to_string(xtask::root().join(RULES)).expect("there are alerts");
    let rules = text.split("- alert: ").skip(1);
    rules
        .map(|rule| {
            let (name, rule) = rule.split_once('\n').expect("a rule has more than one line");
            let pairs = rule.lines().filter_map(|line| line.trim().split_once(": "));
            let annotations = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            (name.to_owned(), Alert { annotations: annotations.collect(), rule: rule.to_owned() })
        })
        .collect()
}

/// `DeadLettersArriving` as `dead-letters-arriving`.
fn page(alert: &str) -> String {
    let letter = |letter: char| match letter.is_uppercase() {
        true => format!("-{}", letter.to_lowercase()),
        false => letter.to_string(),
    };
    alert.chars().map(letter).collect::<String>().trim_start_matches('-').to_owned()
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let pages = files(&["md"]).into_iter();
    let pages: BTreeMap<String, String> = pages
        .filter_map(|(path, text)| {
            let name = path.strip_prefix(RUNBOOKS)?.strip_suffix(".md")?;
            Some((name.to_owned(), text))
        })
        .collect();
    let alerts = alerts();
    let mut wanted: BTreeSet<String> = alerts.keys().map(|alert| page(alert)).collect();
    wanted.extend(WITHOUT_A_RULE.map(str::to_owned));
    assert_eq!(pages.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    for (name, text) in &pages {
        let lines: Vec<&str> = text.lines().take(4).collect();
        let command = lines.get(3).copied().unwrap_or_default();
        assert_eq!(lines[..3].join("|"), format!("# {}||```", title(name)), "{name}");
        assert!(command.starts_with("millrace "), "{name} begins with {command}");
    }
    for (name, Alert { annotations, .. }) in &alerts {
        let said = |key: &str| annotations.get(key).map(String::as_str).unwrap_or_default();
        assert!(!said("summary").is_empty(), "{name} has no summary");
        assert_eq!(said("runbook_url"), format!("{RUNBOOKS}{}.md", page(name)));
        let words = |text: &str| text.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let begins = words(pages[&page(name)].lines().nth(3).unwrap_or_default());
        assert_eq!(words(said("millrace_command")), begins, "{name}");
    }
}

#[test]
fn every_alert_measures_what_is_measured() {
    let sources = files(&["rs"]).into_iter().filter(|(path, _)| path.starts_with("platform/src/"));
    let sources: String = sources.map(|(_, text)| text).collect();
    for (name, Alert { rule, .. }) in alerts() {
        let expression = rule.split("labels:").next().unwrap_or_default();
        let words =
            expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let metrics: Vec<&str> = words.filter(|word| word.contains('_')).collect();
        let known = |word: &&str| {
            let base = word.strip_suffix("_total").unwrap_or(word);
            word.starts_with(OTHERS) || sources.contains(&format!("\"{base}\""))
        };
        let functions = ["min_over_time", "error_type"];
        let codes = |word: &&str| functions.contains(word) || word.ends_with("_schema");
        let unknown: Vec<&&str> =
            metrics.iter().filter(|word| !codes(word) && !known(word)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?} are not measured");
        assert!(metrics.iter().any(|word| !codes(word)), "{name} measures nothing");
    }
}

fn title(page: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    page.split('-').map(word).collect()
}
