//! What the command line accepts, refuses and explains, without anything running.

use crate::run::Room;

const COMMANDS: [&[&str]; 31] = [
    &["import", "products"],
    &["import", "stock"],
    &["import", "accounts"],
    &["import", "orders"],
    &["order", "place"],
    &["order", "show"],
    &["order", "list"],
    &["order", "cancel"],
    &["topic", "list"],
    &["topic", "create"],
    &["schema", "register"],
    &["config", "show"],
    &["order", "stuck"],
    &["order", "explain"],
    &["group", "list"],
    &["group", "show"],
    &["group", "pause"],
    &["group", "resume"],
    &["group", "skip"],
    &["dlq", "causes"],
    &["dlq", "list"],
    &["dlq", "show"],
    &["dlq", "redrive"],
    &["dlq", "discard"],
    &["dlq", "restore"],
    &["dlq", "export"],
    &["operation", "list"],
    &["operation", "watch"],
    &["operation", "pause"],
    &["operation", "resume"],
    &["operation", "cancel"],
];

#[test]
fn help_is_data_and_begins_with_examples() {
    let room = Room::new();
    for command in COMMANDS.into_iter().chain([&[] as &[&str]]) {
        let help = room.run(&[command, &["--help"]].concat());
        assert_eq!(help.code, Some(0), "{help:?}");
        assert!(help.stdout.starts_with("Example"), "{command:?}: {}", help.stdout);
        assert!(help.stdout.contains("Usage: millrace"), "{}", help.stdout);
        assert_eq!(help.stderr, "");
    }
}

#[test]
fn wrong_arguments_are_told_on_standard_error_with_code_two() {
    let room = Room::new();
    for wrong in [
        &["nonsense"] as &[&str],
        &["order", "show"],
        &["order", "show", "no-uuid"],
        &["order", "show", "--wait", "soon", "0190b2e0-0000-7000-8000-000000000000"],
        &["order", "place", "--customer", "c 1", "--store", "s-1", "--line", "p-1=1"],
        &["order", "place", "--customer", "c-1", "--store", "s-1", "--line", "p-1"],
        &["order", "cancel", "0190b2e0-0000-7000-8000-000000000000", "--execute"],
        &["order", "list", "-o", "xml"],
        &["import", "orders", "a.csv", "--in-flight", "0"],
        &["import", "stock", "a.csv", "--wait"],
        &["import", "stock", "a.txt"],
        &["topic", "create", "--replication", "0"],
        &["schema", "generate", "--check", "--release"],
        &["config", "show", "--set", "http.listen"],
        &["--endpoints", "missing.json", "topic", "list"],
        &["completion", "cobol"],
        &["order", "stuck", "--older-than", "soon"],
        &["order", "show", "0190b2e0-0000-7000-8000-000000000000", "-w", "--wait"],
        &["group", "pause", "stock", "--execute"],
        &["group", "pause", "stock", "--partition", "1"],
        &["group", "skip", "stock", "--topic", "t", "--partition", "1"],
        &["dlq", "redrive"],
        &["dlq", "redrive", "--cause", "soon"],
        &["dlq", "redrive", "--cause", "7f3a", "--execute"],
        &["dlq", "redrive", "--cause", "7f3a", "--rate", "fast"],
        &["dlq", "redrive", "--cause", "7f3a", "--canary", "0"],
        &["dlq", "redrive", "--cause", "7f3a", "--set", "a=1"],
        &["dlq", "redrive", "--cause", "7f3a", "--where", "$.a==1"],
        &["dlq", "discard", "--execute", "--reason", "no"],
        &["dlq", "list", "--status", "lost"],
        &["dlq", "list", "--original-topic-header", "x"],
        &["operation", "watch"],
        &["operation", "cancel", "0190b2e0-0000-7000-8000-000000000000", "--execute"],
    ] {
        let done = room.run(wrong);
        assert_eq!(done.code, Some(2), "{wrong:?}: {done:?}");
        assert_eq!(done.stdout, "", "{wrong:?}");
        assert!(done.stderr.contains("error: "), "{wrong:?}: {}", done.stderr);
    }
}

#[test]
fn a_completion_script_names_the_commands() {
    let room = Room::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = room.run(&["completion", shell]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stdout.contains("doctor"), "{shell}");
    }
}

#[test]
fn a_service_that_does_not_exist_is_not_found() {
    let done = Room::new().run(&["service", "nonsense"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), ""), "{done:?}");
    let done = Room::new().run(&["service", "stock", "nonsense"]);
    assert_eq!(done.code, Some(2), "{done:?}");
}

#[test]
fn a_service_with_a_configuration_that_cannot_work_ends_with_sixty_four() {
    for (flag, told) in [
        ("--http.lisen=127.0.0.1:0", "did you mean `http.listen`?"),
        ("--kafka.properties.nonsense.key=1", "`kafka.properties.nonsense.key` "),
        ("--kafka.properties.acks=0", "`kafka.properties.acks` is fixed"),
    ] {
        let done = Room::new().run(&["service", "stock", flag]);
        assert_eq!(done.code, Some(64), "{done:?}");
        assert!(done.stderr.contains(told), "{}", done.stderr);
    }
}
