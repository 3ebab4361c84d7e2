//! A child process that ends with its owner, also when the owner is killed with -9: a small shell
//! beside it holds the other end of a pipe and kills the child when the pipe closes. No unsafe.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The shell becomes the program, so that the owner's child is the program itself. What watches the
/// pipe is made by a shell that ends at once, and so is no child of the program, which could take
/// its end for a crash of its own (Postgres does). `$1` is the orphan's signal, `$2` a folder that
/// goes with it. A child that nobody has reaped yet does not run any more.
const WATCHDOG: &str = r#"
exec 3<&0 </dev/null
(
  (
    exec >/dev/null 2>&1
    read -r goodbye <&3 && exit 0
    runs() {
      kill -0 $$ || return 1
      read -r state </proc/$$/stat || return 0
      case $state in *") Z "*) return 1 ;; esac
    }
    kill -s "$1" $$
    patience=100
    while runs && [ $patience -gt 0 ]; do sleep 0.05; patience=$((patience - 1)); done
    kill -s KILL $$
    if [ -n "$2" ]; then rm -rf "$2"; rmdir "${2%/*}"; fi
    kill -s KILL -- -$$
  ) &
)
shift 2
exec 3<&- "$@"
"#;

/// How often an exit is looked for.
const TICK: Duration = Duration::from_millis(5);

/// What a process can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End in good order.
    Term,
    /// Postgres: end now, but leave no shared memory behind.
    Quit,
    /// Postgres: end in good order without waiting for its clients.
    Interrupt,
    /// End, unasked.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Quit => "QUIT",
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// How a process is started; it can be started from this again.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    log: PathBuf,
    folder: Option<PathBuf>,
    user: Option<u32>,
    orphan: Signal,
    orphan_folder: Option<PathBuf>,
}

impl Launch {
    /// A program whose output is appended to the file `log`.
    pub fn new(program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            log: log.into(),
            folder: None,
            user: None,
            orphan: Signal::Kill,
            orphan_folder: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The folder it works in.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs it as this user and group, which only root may do.
    #[must_use]
    pub fn user(mut self, id: Option<u32>) -> Self {
        self.user = id;
        self
    }

    /// What ends it when its owner is gone; after five seconds it is killed anyway.
    #[must_use]
    pub fn orphan_signal(mut self, signal: Signal) -> Self {
        self.orphan = signal;
        self
    }

    /// A folder that is removed when its owner is gone, with its parent if that is empty then.
    #[must_use]
    pub fn orphan_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.orphan_folder = Some(folder.into());
        self
    }

    /// The signal that stands for a crash of this program.
    pub fn crash_signal(&self) -> Signal {
        self.orphan
    }

    /// Starts it in its own process group, so that a Ctrl-C in the terminal reaches the owner
    /// alone, who ends it in good order.
    ///
    /// # Errors
    /// When the log cannot be opened or no shell can be started. A program that does not exist
    /// ends at once with 127.
    pub fn start(&self) -> Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("opening {}", self.log.display()))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHDOG, "millrace-watchdog", self.orphan.name()])
            .arg(self.orphan_folder.as_deref().unwrap_or(Path::new("")))
            .args(self.user.iter().flat_map(|user| run_as(*user)))
            .arg(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let child = command.spawn().with_context(|| format!("starting {}", self.name()))?;
        Ok(Process { child, name: self.name(), log: self.log.clone() })
    }

    fn name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Only the program is given to the other user: its watchdog must still be able to remove a folder
/// that lies in one of ours.
fn run_as(user: u32) -> [String; 5] {
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    let [user, group] = ids;
    ["setpriv".to_owned(), user, group, "--clear-groups".to_owned(), "--".to_owned()]
}

/// A running child process; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Its process id, which is also its process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        self.say_goodbye();
        Some(status)
    }

    /// Sends a signal; `Kill` goes to everything it started as well, `Stop` and `Continue` to its
    /// children, of which Postgres has one for each connection. One that has ended already is left
    /// alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_some() {
            return;
        }
        let group = if signal == Signal::Kill { "-" } else { "" };
        let (name, id) = (signal.name(), self.child.id());
        let mut script = format!("kill -s {name} -- {group}{id}");
        if matches!(signal, Signal::Stop | Signal::Continue) {
            script += &format!("; kill -s {name} -- $(cat /proc/{id}/task/{id}/children)");
        }
        // The process may end between the look and the signal: that is what was wanted anyway.
        drop(Command::new("/bin/sh").args(["-c", &script]).stderr(Stdio::null()).status());
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the deadline passes first; it runs on.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + deadline;
        loop {
            if let Some(status) = self.exited() {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("{} still runs after {deadline:?}", self.name);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Asks it to end with this signal and kills it when the deadline passes. Answers whether it
    /// ended by itself.
    pub async fn stop(&mut self, signal: Signal, deadline: Duration) -> bool {
        self.signal(signal);
        let ended = self.wait(deadline).await.is_ok();
        self.kill();
        ended
    }

    /// Kills it with -9 and reaps it.
    pub fn kill(&mut self) {
        self.signal(Signal::Kill);
        drop(self.child.wait());
        self.say_goodbye();
    }

    /// The last lines it wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Where it writes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Lets the watchdog go, so that it never signals a process id that is somebody else's by now.
    fn say_goodbye(&mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            drop(pipe.write_all(b"goodbye\n"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
