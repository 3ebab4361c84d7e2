//! A TCP proxy between one client and one server, which does to their connections what a network
//! does. It understands no protocol and never changes a byte that it lets through.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::Toxic;
use crate::free_port;

/// Read at once at most.
const CHUNK_BYTES: usize = 16 * 1024;
/// Between two attempts to take the port again after it was given up.
const REBIND: Duration = Duration::from_millis(20);

/// A port on loopback that stands for a server. It is gone when this is dropped, with every
/// connection through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    rule: watch::Sender<Option<Toxic>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Stands on a free port for the server at `upstream`, which is `host:port`.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(upstream: impl Into<String>) -> Result<Self> {
        Self::start_on(free_port()?, upstream).await
    }

    /// As [`Proxy::start`], on a given port.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start_on(port: u16, upstream: impl Into<String>) -> Result<Self> {
        let listener = listen(port).await.with_context(|| format!("listening on {port}"))?;
        let (rule, seen) = watch::channel(None);
        let task = tokio::spawn(accept(listener, port, upstream.into(), seen));
        Ok(Self { port, rule, task })
    }

    /// Where its clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Does this to every connection, old and new, from now on. `None` lets everything pass;
    /// connections whose bytes were swallowed end then.
    pub fn set(&self, toxic: Option<Toxic>) {
        self.rule.send_replace(toxic);
    }

    /// What it does now.
    pub fn toxic(&self) -> Option<Toxic> {
        *self.rule.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are owned by the task.
        self.task.abort();
    }
}

/// The connection has to end without a farewell.
struct Severed;

impl From<std::io::Error> for Severed {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

type Rule = watch::Receiver<Option<Toxic>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

async fn accept(listener: TcpListener, port: u16, upstream: String, mut rule: Rule) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let refused = *rule.borrow_and_update() == Some(Toxic::Refuse);
        match (&listener, refused) {
            // Without a listener the kernel itself refuses.
            (Some(_), true) => listener = None,
            (None, true) => {
                if rule.changed().await.is_err() {
                    return;
                }
            }
            (None, false) => match listen(port).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => tokio::time::sleep(REBIND).await,
            },
            (Some(open), false) => tokio::select! {
                accepted = open.accept() => {
                    if let Ok((client, _)) = accepted {
                        connections.spawn(carry(client, upstream.clone(), rule.clone()));
                    }
                }
                Some(_) = connections.join_next() => {}
                changed = rule.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            },
        }
    }
}

/// One connection from its first to its last byte.
async fn carry(mut client: TcpStream, upstream: String, mut rule: Rule) {
    if *rule.borrow_and_update() == Some(Toxic::HalfOpen) {
        drop(swallow(&mut client, &mut rule).await);
        drop(client.set_zero_linger());
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        drop(client.set_zero_linger());
        return;
    };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let carried = {
        let (requests, replies) = client.split();
        let (answers, asked) = server.split();
        tokio::try_join!(
            pump(requests, asked, Way::Request, rule.clone()),
            pump(answers, replies, Way::Reply, rule)
        )
    };
    if carried.is_err() {
        // Both sides see a reset, as when a machine between them goes away.
        drop((client.set_zero_linger(), server.set_zero_linger()));
    }
}

/// Takes what comes and gives nothing, until the rule changes or the client goes.
async fn swallow(client: &mut TcpStream, rule: &mut Rule) -> Result<(), Severed> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        tokio::select! {
            read = client.read(&mut buffer) => if read? == 0 { return Ok(()) },
            _ = rule.changed() => return Err(Severed),
        }
    }
}

/// Carries bytes one way until the sender has no more.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    mut rule: Rule,
) -> Result<(), Severed> {
    let mut buffer = vec![0; CHUNK_BYTES];
    // Bytes since the rule was set, and whether any of them was lost: after that the stream is
    // not the one that was sent.
    let (mut passed, mut lost) = (0, false);
    loop {
        let read = tokio::select! {
            biased;
            changed = rule.changed() => {
                let refused = *rule.borrow() == Some(Toxic::Refuse);
                if changed.is_err() || lost || refused {
                    return Err(Severed);
                }
                passed = 0;
                continue;
            }
            read = from.read(&mut buffer) => read?,
        };
        let (now, chunk) = (*rule.borrow(), &buffer[..read]);
        match (now, way) {
            (Some(Toxic::HalfOpen), _) | (Some(Toxic::OneWay), Way::Reply) => {
                lost = true;
                if read == 0 {
                    // Even the farewell is lost; only a change of the rule ends this.
                    drop(rule.changed().await);
                    return Err(Severed);
                }
            }
            _ if read == 0 => return Ok(to.shutdown().await?),
            (Some(Toxic::Cut { after_bytes }), Way::Request) => {
                let left = after_bytes.saturating_sub(passed);
                let part = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                to.write_all(&chunk[..part]).await?;
                passed += part as u64;
                if passed >= after_bytes {
                    return Err(Severed);
                }
            }
            (Some(Toxic::Slow { delay, bytes_per_second }), _) => {
                let line = chunk.len() as f64 / bytes_per_second.max(1) as f64;
                tokio::time::sleep(delay + Duration::from_secs_f64(line)).await;
                to.write_all(chunk).await?;
            }
            _ => to.write_all(chunk).await?,
        }
    }
}
