//! A service as a process: configuration, log, signals, exit code.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::runtime::{RunError, mount_traced};
use crate::service::Service;
use crate::telemetry::{Tracing, log};
use crate::{Config, contract};

/// Exit code of a configuration that cannot work (EX_USAGE of sysexits.h).
const REFUSED: u8 = 64;

/// Runs a service until SIGTERM or Ctrl-C: the whole `main` of a service's binary. Configuration
/// comes from files and environment; `--key=value` arguments override them.
pub fn main(service: fn() -> Service) -> ExitCode {
    let flags: Vec<(String, String)> = std::env::args()
        .skip(1)
        .filter_map(|argument| {
            let (key, value) = argument.strip_prefix("--")?.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect();
    main_with(service, &flags)
}

/// The same for a program that reads its arguments itself: `flags` are pairs of a dotted key and
/// a value.
pub fn main_with(service: fn() -> Service, flags: &[(String, String)]) -> ExitCode {
    contract::prepare();
    let config = match Config::load(flags) {
        Ok(loaded) => loaded.config,
        Err(error) => return refuse(&error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    let ended = runtime.block_on(run(service(), config));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ RunError::Refused(_)) => refuse(&error),
        Err(error) => {
            tracing::error!(%error, "service ended");
            ExitCode::FAILURE
        }
    }
}

async fn run(service: Service, config: Config) -> Result<(), RunError> {
    let tracing = Tracing::start(service.name(), &config.trace, env!("CARGO_PKG_VERSION"));
    log::init_service(log::json_wanted(), &tracing);
    let running = mount_traced(service, config, tracing).await?;
    tracing::info!(service = running.name(), url = running.url(), "listening");
    let ended = |error: std::io::Error| RunError::Ended(error.into());
    let mut terminate = signal(SignalKind::terminate()).map_err(ended)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ended)?;
    let stop = running.stop_token();
    let listener = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    let outcome = running.wait().await;
    listener.abort();
    outcome
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(REFUSED)
}
