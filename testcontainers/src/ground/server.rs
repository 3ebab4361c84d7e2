//! One server process of a ground: waits until it is ready, and lets a test freeze it, crash it and
//! start it again on the same port and data.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::Mutex;

use crate::eventually;
use crate::process::{Launch, Process, Signal};

/// How long a server may take to become ready; a cold disk under load needs most of it.
const READY: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);

/// A server that was started here.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    launch: Launch,
    stop_signal: Signal,
    process: Mutex<Process>,
}

impl Server {
    pub(crate) fn start(name: &'static str, launch: Launch, stop_signal: Signal) -> Result<Self> {
        let process = Mutex::new(launch.start()?);
        Ok(Self { name, launch, stop_signal, process })
    }

    /// Waits until the probe succeeds; fails at once when the server ends.
    pub(crate) async fn until_ready(
        &self,
        probe: impl AsyncFnMut() -> Result<(), String>,
    ) -> Result<()> {
        let what = format!("{} becomes ready", self.name);
        let outcome = tokio::select! {
            ready = eventually(READY, &what, probe) => ready,
            status = self.end() => Err(anyhow::anyhow!("{} ended with {status}", self.name)),
        };
        if let Err(error) = outcome {
            let process = self.process.lock().await;
            bail!("{error}\n{}:\n{}", process.log().display(), process.log_tail(15));
        }
        Ok(())
    }

    pub(crate) async fn log(&self) -> std::path::PathBuf {
        self.process.lock().await.log().to_owned()
    }

    pub(crate) async fn process_id(&self) -> u32 {
        self.process.lock().await.id()
    }

    pub(crate) async fn freeze(&self) {
        self.process.lock().await.signal(Signal::Stop);
    }

    pub(crate) async fn thaw(&self) {
        self.process.lock().await.signal(Signal::Continue);
    }

    /// Ends it without any farewell to its clients.
    pub(crate) async fn crash(&self) {
        let mut process = self.process.lock().await;
        process.stop(self.launch.crash_signal(), STOP).await;
    }

    /// Starts it again after a crash; the caller waits for it to become ready.
    pub(crate) async fn restart(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        process.kill();
        *process = self.launch.start()?;
        Ok(())
    }

    /// Ends it in good order.
    pub(crate) async fn stop(&self) {
        self.process.lock().await.stop(self.stop_signal, STOP).await;
    }

    async fn end(&self) -> std::process::ExitStatus {
        loop {
            if let Some(status) = self.process.lock().await.exited() {
                return status;
            }
            tokio::time::sleep(TICK).await;
        }
    }
}
