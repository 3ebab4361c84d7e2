//! Which ground is stood on: what `MILLRACE_GROUND` says, else what the machine offers.

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
    use super::*;

    #[test]
    fn the_major_version_of_java_is_read_in_both_forms() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK.."), Some(17));
        assert_eq!(major("java version \"1.8.0_392\""), Some(8));
        assert_eq!(major("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major("command not found"), None);
    }
}
