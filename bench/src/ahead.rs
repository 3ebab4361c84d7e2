//! A thread that goes before all others. On a machine that is full, whoever puts orders in by a plan
//! would be late for standing in the same queue as what it loads; and only who was there before the
//! others stood back keeps its place without being allowed more than they are.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::setpriority_process;
use tokio::sync::oneshot;

/// How far everybody else stands back, as a nice value.
const BACK: i32 = 5;

type Job = Box<dyn FnOnce() + Send>;

static AHEAD: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();

/// Makes the thread, and lets the calling one stand back with all that it starts from now on.
pub(crate) fn stand_back() -> Result<()> {
    let (jobs, todo) = channel::<Job>();
    let work = move || todo.into_iter().for_each(|job| job());
    thread::Builder::new().name("ahead".to_owned()).spawn(work)?;
    AHEAD.set(Mutex::new(jobs)).ok().context("somebody goes ahead already")?;
    Ok(setpriority_process(None, BACK)?)
}

/// Work on that thread, one after the other; the threads it starts go ahead as well.
pub(crate) async fn go<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    let job: Job = Box::new(move || drop(done.send(work())));
    let jobs = AHEAD.get().context("nobody goes ahead")?;
    let sent = jobs.lock().unwrap_or_else(PoisonError::into_inner).send(job);
    sent.ok().context("what goes ahead has ended")?;
    result.await.context("what went ahead panicked")?
}
