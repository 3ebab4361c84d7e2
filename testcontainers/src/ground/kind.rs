//! Which ground is stood on: what `MILLRACE_GROUND` says, else what the machine offers. The Makefile
//! asks `deploy/native/setup.sh --ground`, which has the same rule; a test compares.

use std::fmt;
use std::process::Command;

use anyhow::{Result, bail};

use crate::find_program;

/// Kafka 4 runs on no older Java.
const JAVA_OLDEST: u32 = 17;

/// What stands under development, demo and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroundKind {
    /// Kafka, a registry and PostgreSQL as processes on loopback.
    Native,
    /// PostgreSQL as a process; a mock broker and a small registry in this process.
    Embedded,
}

impl fmt::Display for GroundKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Embedded => "embedded",
        })
    }
}

impl GroundKind {
    /// The kind to use here, and why.
    ///
    /// # Errors
    /// When `MILLRACE_GROUND` names none of them.
    pub fn choose() -> Result<(Self, String)> {
        let wish = std::env::var("MILLRACE_GROUND").unwrap_or_default();
        let wished = || "because MILLRACE_GROUND says so".to_owned();
        match wish.as_str() {
            "native" => Ok((Self::Native, wished())),
            "embedded" => Ok((Self::Embedded, wished())),
            "" => Ok(match lack() {
                None => (Self::Native, "because Java and Maven are here".to_owned()),
                Some(lack) => (Self::Embedded, format!("because {lack}")),
            }),
            other => bail!("MILLRACE_GROUND is {other:?}; write native or embedded"),
        }
    }
}

/// What the native ground needs and this machine has not.
fn lack() -> Option<String> {
    let Some(java) = find_program("java") else {
        return Some("there is no java on PATH".to_owned());
    };
    let told = Command::new(java).arg("-version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    match major(&told.unwrap_or_default()) {
        Some(major) if major < JAVA_OLDEST => {
            Some(format!("Java {major} is older than {JAVA_OLDEST}"))
        }
        None => Some("java does not say its version".to_owned()),
        Some(_) if find_program("mvn").is_none() => Some("there is no mvn on PATH".to_owned()),
        Some(_) => None,
    }
}

/// `openjdk version "17.0.15" 2025-04-15` is 17; the old form `"1.8.0_392"` is 8.
fn major(told: &str) -> Option<u32> {
    let version = told.split('"').nth(1)?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    /// What the Makefile is told where `java -version` says this, if there is a `java`.
    fn ground_of_the_script(java: Option<&str>, mvn: bool) -> String {
        let bin = tempfile::tempdir().unwrap();
        for needed in ["sh", "sed", "cat"] {
            symlink(find_program(needed).unwrap(), bin.path().join(needed)).unwrap();
        }
        let put = |name: &str, says: &str| {
            let script = bin.path().join(name);
            fs::write(&script, format!("#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\n")).unwrap();
            fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        };
        java.into_iter().for_each(|says| put("java", says));
        mvn.then(|| put("mvn", ""));
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/native/setup.sh");
        let mut script = Command::new(setup);
        script.arg("--ground").env("PATH", bin.path()).env_remove("MILLRACE_GROUND");
        let output = script.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn the_makefile_and_the_harness_choose_the_same_ground() {
        for told in [
            "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment",
            "openjdk version \"16.0.2\" 2021-07-20",
            "java version \"1.8.0_392\"",
            "openjdk version \"25\" 2025-09-16",
            "openjdk version \"26-ea\" 2026-03-17",
            "no version at all",
        ] {
            let young = major(told).is_some_and(|major| major >= JAVA_OLDEST);
            let wanted = if young { GroundKind::Native } else { GroundKind::Embedded };
            assert_eq!(ground_of_the_script(Some(told), true), wanted.to_string(), "{told}");
            assert_eq!(ground_of_the_script(Some(told), false), "embedded", "{told}");
        }
        assert_eq!(ground_of_the_script(None, true), "embedded");
    }

    #[test]
    fn the_major_version_of_java_is_read_in_both_forms() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK.."), Some(17));
        assert_eq!(major("java version \"1.8.0_392\""), Some(8));
        assert_eq!(major("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major("command not found"), None);
    }
}
