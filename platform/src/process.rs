//! A service as a process: configuration, log, signals, exit code.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::runtime::{RunError, mount_traced};
use crate::service::Service;
use crate::telemetry::{Tracing, log};
use crate::{Config, ConfigError, Loaded, contract};

/// Exit code of a configuration that cannot work (EX_USAGE of sysexits.h).
const REFUSED: u8 = 64;

/// Runs a service until SIGTERM or Ctrl-C: the whole `main` of a service's binary. Configuration
/// comes from files and environment; `--key=value` arguments override them.
pub fn main(service: fn() -> Service) -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let flags: Result<Vec<_>, ConfigError> = arguments.map(flag).collect();
    main_with(service, flags.and_then(|flags| Config::load(&flags)))
}

/// The same for a program that reads its arguments and configuration itself.
pub fn main_with(service: fn() -> Service, loaded: Result<Loaded, ConfigError>) -> ExitCode {
    contract::prepare();
    small_pages();
    let config = match loaded {
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

/// Asks the kernel for memory in small pages from now on, for this process and whatever it starts: ADR 23 says
/// why. A kernel that does not know this is left as it is.
pub fn small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "memory comes in pages of any size");
    }
}

/// A dotted key and its value.
fn flag(argument: String) -> Result<(String, String), ConfigError> {
    match argument.strip_prefix("--").and_then(|pair| pair.split_once('=')) {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(ConfigError::Argument { argument }),
    }
}

async fn run(service: Service, config: Config) -> Result<(), RunError> {
    let tracing = Tracing::start(service.name(), &config, env!("CARGO_PKG_VERSION"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_in_small_pages_once_it_was_asked_for() {
        small_pages();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        // Kernels before 5.0 do not say it.
        let said = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        assert!(said.is_none_or(|enabled| enabled.trim() == "0"), "{said:?}");
    }

    #[test]
    fn an_argument_that_sets_nothing_is_refused_by_name() {
        for (argument, key, value) in [
            ("--http.listen=127.0.0.1:0", "http.listen", "127.0.0.1:0"),
            ("--service.stock.x=a=b", "service.stock.x", "a=b"),
        ] {
            assert_eq!(flag(argument.to_owned()).unwrap(), (key.to_owned(), value.to_owned()));
        }
        for argument in ["", "-", "--", "stock", "--http.listen", "-http.listen=x", "http.listen=x"]
        {
            let error = flag(argument.to_owned()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{argument}` is not ")), "{error}");
        }
    }
}
