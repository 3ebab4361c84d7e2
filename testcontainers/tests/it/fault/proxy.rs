//! What the proxy does to connections, seen from both ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::eventually;
use harness::fault::{Proxy, Toxic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(10);
/// Long enough to believe that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);

/// A server that keeps what it hears and says it again.
struct Echo {
    address: String,
    heard: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Echo {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = heard.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let kept = kept.clone();
                connections.spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(read @ 1..) = client.read(&mut buffer).await {
                        let said = &buffer[..read];
                        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(said);
                        if client.write_all(said).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { address, heard, task })
    }

    fn heard(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn behind() -> Result<(Echo, Proxy, TcpStream)> {
    let echo = Echo::start().await?;
    let proxy = Proxy::start(&echo.address).await?;
    let client = TcpStream::connect(proxy.address()).await?;
    Ok((echo, proxy, client))
}

/// Says something and hears it again.
async fn echoes(client: &mut TcpStream) -> Result<()> {
    client.write_all(b"ping").await?;
    let mut answer = [0; 4];
    tokio::time::timeout(SOON, client.read_exact(&mut answer)).await??;
    ensure!(&answer == b"ping");
    Ok(())
}

async fn is_silent(client: &mut TcpStream) -> bool {
    tokio::time::timeout(SILENCE, client.read(&mut [0; 16])).await.is_err()
}

/// The connection ends, with a reset or without one.
async fn until_ended(client: &mut TcpStream) -> Result<()> {
    let read = tokio::time::timeout(SOON, client.read(&mut [0; 16])).await?;
    ensure!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    Ok(())
}

/// A new connection works as soon as the proxy has let go of what it did.
async fn until_healed(proxy: &Proxy) -> Result<()> {
    proxy.set(None);
    eventually(SOON, "a new connection works", async || {
        let mut client =
            TcpStream::connect(proxy.address()).await.map_err(|error| error.to_string())?;
        echoes(&mut client).await.map_err(|error| error.to_string())
    })
    .await
}

#[tokio::test]
async fn what_passes_arrives_as_it_was_sent_and_ends_as_it_ended() -> Result<()> {
    let (echo, _proxy, mut client) = behind().await?;
    let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut answers, mut asks) = client.split();
    let mut received = vec![];
    let said = async {
        asks.write_all(&sent).await?;
        asks.shutdown().await
    };
    let (said, read) = tokio::join!(said, answers.read_to_end(&mut received));
    said?;
    read?;
    ensure!(received == sent && echo.heard() == sent.len());
    Ok(())
}

#[tokio::test]
async fn a_refused_client_is_thrown_out_and_finds_nobody() -> Result<()> {
    let (_echo, proxy, mut client) = behind().await?;
    echoes(&mut client).await?;
    proxy.set(Some(Toxic::Refuse));
    until_ended(&mut client).await?;
    eventually(SOON, "nobody listens", async || match TcpStream::connect(proxy.address()).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    until_healed(&proxy).await
}

#[tokio::test]
async fn a_request_is_cut_after_exactly_so_many_bytes() -> Result<()> {
    let (echo, proxy, mut client) = behind().await?;
    proxy.set(Some(Toxic::Cut { after_bytes: 10 }));
    client.write_all(&[7; 100]).await?;
    let mut echoed = vec![];
    // What was said before the cut may still come back.
    drop(tokio::time::timeout(SOON, client.read_to_end(&mut echoed)).await?);
    ensure!(echo.heard() == 10 && echoed.len() <= 10, "{} of 10 arrived", echo.heard());
    until_healed(&proxy).await
}

#[tokio::test]
async fn slow_bytes_come_late_and_no_faster_than_they_may() -> Result<()> {
    let (_echo, proxy, mut client) = behind().await?;
    let delay = Duration::from_millis(50);
    proxy.set(Some(Toxic::Slow { delay, bytes_per_second: 1_000_000 }));
    let begun = Instant::now();
    echoes(&mut client).await?;
    ensure!(begun.elapsed() >= delay * 2, "both ways in {:?}", begun.elapsed());
    proxy.set(Some(Toxic::Slow { delay: Duration::ZERO, bytes_per_second: 1_000 }));
    let begun = Instant::now();
    client.write_all(&[1; 200]).await?;
    tokio::time::timeout(SOON, client.read_exact(&mut [0; 200])).await??;
    ensure!(begun.elapsed() >= Duration::from_millis(400), "200 B in {:?}", begun.elapsed());
    until_healed(&proxy).await?;
    // Nothing was lost, so the connection goes on.
    echoes(&mut client).await
}

#[tokio::test]
async fn a_half_open_connection_takes_everything_and_gives_nothing() -> Result<()> {
    let (echo, proxy, mut old) = behind().await?;
    echoes(&mut old).await?;
    proxy.set(Some(Toxic::HalfOpen));
    let mut new = TcpStream::connect(proxy.address()).await?;
    for client in [&mut old, &mut new] {
        client.write_all(b"anybody?").await?;
        ensure!(is_silent(client).await, "something came back");
    }
    ensure!(echo.heard() == 4, "the server heard it");
    proxy.set(None);
    for client in [&mut old, &mut new] {
        until_ended(client).await?;
    }
    until_healed(&proxy).await
}

#[tokio::test]
async fn one_way_a_request_arrives_and_its_reply_does_not() -> Result<()> {
    let (echo, proxy, mut client) = behind().await?;
    proxy.set(Some(Toxic::OneWay));
    client.write_all(b"ping").await?;
    ensure!(is_silent(&mut client).await, "the reply came back");
    ensure!(echo.heard() == 4, "the request did not arrive");
    proxy.set(None);
    until_ended(&mut client).await?;
    until_healed(&proxy).await
}
