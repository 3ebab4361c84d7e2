//! A small HTTP server on its own thread, so that it answers whatever the caller's runtime does and
//! outlives it when it is shared between tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use axum::Router;
use tokio_util::sync::CancellationToken;

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves on a free loopback port.
    pub(crate) fn start(name: &str, router: Router) -> Result<Self> {
        Self::start_at(name, (Ipv4Addr::LOCALHOST, 0).into(), router)
    }

    /// Serves at this address.
    pub(crate) fn start_at(name: &str, address: SocketAddr, router: Router) -> Result<Self> {
        let listener = TcpListener::bind(address).context("taking a port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                served = async { axum::serve(listener, router).await } => served,
                () = stopped.cancelled() => Ok(()),
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!(%error, "a server of the harness ended");
            }
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
