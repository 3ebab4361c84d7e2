//! Faults and plans as text, and plans from seeds.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::fault::{BadEvent, BadRequest, Class, Fault, Menu, Plan, Step};

const LENGTH: Duration = Duration::from_secs(60);

/// Every form of every fault.
fn forms() -> Vec<String> {
    let mut forms: Vec<String> = [
        "process kill stock/1",
        "process kill stock/2",
        "process freeze stock/1",
        "process freeze stock/2",
        "process restart stock/1",
        "process join stock/3",
        "process skew stock/1 +3600s",
        "process skew stock/1 -60s",
        "network stock/1 kafka refuse",
        "network stock/1 postgres cut 40B",
        "network stock/1 registry slow 200ms 65536B/s",
        "network stock/1 http slow 1.500s 1B/s",
        "network stock/1 kafka half-open",
        "network stock/1 kafka one-way",
        "broker crash",
        "broker freeze",
        "broker restart",
        "broker recreate test.events.v1",
        "broker rewind stock",
        "database crash",
        "database restart",
        "database freeze stock",
        "database close stock",
        "database exhaust stock",
        "database terminate stock",
        "database slow stock",
        "database lock stock millrace.outbox",
        "database full stock",
        "registry status 429",
        "registry garbage",
        "registry slow 4.000s",
        "registry wrong-schema",
        "registry crash",
        "registry freeze",
        "operator redrive-twice stock",
        "operator rewind-live stock",
        "operator second-relay stock/3",
    ]
    .map(str::to_owned)
    .into();
    forms.extend(BadEvent::ALL.map(|bad| format!("event {} test.events.v1", bad.as_str())));
    forms.extend(BadRequest::ALL.map(|bad| format!("http {} stock/1", bad.as_str())));
    forms
}

fn menu() -> Menu {
    let read = |form: &String| form.parse().expect("it is the form of a fault");
    Menu::from_faults(forms().iter().map(read))
}

fn plans() -> impl Iterator<Item = Plan> {
    (0..200).map(|seed| Plan::random(seed, LENGTH, &menu()))
}

#[test]
fn every_fault_is_read_as_it_is_shown() {
    for form in forms() {
        let fault: Fault = form.parse().unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(fault.to_string(), form);
    }
}

#[test]
fn every_fault_that_the_readme_shows_is_one() {
    let readme = include_str!("../../../README.md");
    let table = readme.split("```").find(|block| block.contains("process kill stock/1   "));
    let lines = table.expect("the table of faults").trim().lines();
    let shown: Vec<Fault> = lines
        .map(|line| {
            let text = line.split("   ").next().unwrap_or_default();
            text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect();
    assert!(shown.len() > 30, "{} faults", shown.len());
    let classes: BTreeSet<Class> = shown.iter().map(Fault::class).collect();
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), Class::ALL);
    for bad in BadEvent::ALL {
        assert!(readme.contains(&format!("`{}`", bad.as_str())), "{}", bad.as_str());
    }
}

#[test]
fn what_is_no_fault_is_refused_and_says_what_is_missing() {
    let wrong = [
        "",
        "kill stock/1",
        "process",
        "process kill",
        "process kill a b",
        "process skew stock/1 3600",
        "network stock/1 kafka",
        "network stock/1 moon refuse",
        "network stock/1 kafka cut 40",
        "network stock/1 kafka slow 1x 1B/s",
        "network stock/1 kafka slow -1s 1B/s",
        "broker explode",
        "registry status 200",
        "event sad test.events.v1",
        "http slow-head",
        "operator sleeps stock",
    ];
    for text in wrong {
        let error = text.parse::<Fault>().expect_err(text).to_string();
        assert!(error.contains(" is not "), "{error}");
    }
    for text in ["", "plan", "plan seed x length 1s", "plan seed 1 length 1s\nat 1s: broker crash"]
    {
        assert!(text.parse::<Plan>().is_err(), "{text}");
    }
}

#[test]
fn a_plan_is_read_as_it_is_shown() {
    for plan in plans() {
        assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
    }
    let by_hand = "# by hand\n\nplan seed 3 length 1m\n";
    assert!(by_hand.parse::<Plan>().is_err(), "a minute is written in seconds");
    let by_hand = "# by hand\nplan seed 3 length 9s\n\nat 2s for 1s: broker crash\n\
                   at 1s for 250ms: process kill a/1\n";
    let plan: Plan = by_hand.parse().unwrap();
    let shown = plan.to_string();
    assert!(shown.ends_with("kill a/1\nat 2.000s for 1.000s: broker crash\n"), "{shown}");
}

#[test]
fn a_plan_follows_from_its_seed() {
    for plan in plans() {
        assert_eq!(Plan::random(plan.seed, LENGTH, &menu()), plan);
    }
    let different: BTreeSet<String> =
        plans().map(|plan| plan.to_string().lines().skip(1).collect()).collect();
    assert_eq!(different.len(), 200);
}

#[test]
fn a_plan_is_over_at_its_end_and_has_a_fault_every_few_seconds() {
    let (mut steps, mut classes) = (0, BTreeSet::new());
    for plan in plans() {
        assert!(plan.steps.iter().all(|step| step.at + step.lasts <= LENGTH), "{plan}");
        assert!(plan.steps.windows(2).all(|pair| pair[0].at <= pair[1].at), "{plan}");
        steps += plan.steps.len();
        classes.extend(plan.classes().into_keys());
    }
    assert!((8 * 200..=13 * 200).contains(&steps), "{steps} steps in 200 minutes");
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), Class::ALL);
}

/// Written out again, apart from the rule that plans are made by.
#[test]
fn nothing_is_broken_that_another_fault_needs_at_the_same_time() {
    let together = |a: &Step, b: &Step| a.at <= b.at + b.lasts && b.at <= a.at + a.lasts;
    let is = |step: &Step, text: &str| step.fault.to_string().starts_with(text);
    let broker = |step: &Step| {
        ["broker crash", "broker freeze", "broker restart"].iter().any(|text| is(step, text))
    };
    let server = |step: &Step| is(step, "database crash") || is(step, "database restart");
    let mut seen = 0;
    for plan in plans() {
        for (n, a) in plan.steps.iter().enumerate() {
            for b in plan.steps[..n].iter().filter(|b| together(a, b)) {
                seen += 1;
                for (a, b) in [(a, b), (b, a)] {
                    let writes = is(b, "event") || is(b, "broker");
                    assert!(!(broker(a) && writes), "{a} and {b}:\n{plan}");
                    assert!(!(server(a) && is(b, "database")), "{a} and {b}:\n{plan}");
                    assert!(!(is(a, "process kill") && is(b, "broker rewind")), "{a} and {b}");
                    for name in ["stock/1", "stock/2", "stock/3"] {
                        let process = |step: &Step| {
                            let text = step.fault.to_string();
                            let of = text.starts_with("process") || text.contains("second-relay");
                            of && text.contains(name)
                        };
                        assert!(!(process(a) && process(b)), "{a} and {b}:\n{plan}");
                    }
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} pairs of steps at the same time");
}

#[test]
fn a_menu_can_be_kept_to_what_is_wanted() {
    let only = |text: &str| menu().only(text).faults().count();
    assert_eq!(only("process kill"), 2);
    assert_eq!(only("process kill stock/1"), 1);
    assert_eq!(only("proc"), 0);
    let plan = Plan::random(1, LENGTH, &menu().only("broker crash"));
    assert!(!plan.steps.is_empty());
    assert!(plan.steps.iter().all(|step| step.fault.to_string() == "broker crash"), "{plan}");
    let quiet = Class::ALL.into_iter().fold(menu(), |menu, class| menu.weight(class, 0));
    assert!(Plan::random(1, LENGTH, &quiet).steps.is_empty());
}
