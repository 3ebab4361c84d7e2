//! Tests of the accept loop over raw connections, with limits of milliseconds.

use std::time::Instant;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

struct World {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    /// Whoever asks for `/slow` says so here and waits for a word.
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

impl World {
    async fn new(connections_max: usize) -> Self {
        let header_timeout = Duration::from_millis(100);
        let limits = config::Http { header_timeout, connections_max, ..config::Http::default() };
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (here, go) = (entered.clone(), release.clone());
        let slow = async move || {
            here.notify_one();
            go.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/echo", post(async |body: String| body))
            .route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (heard, served) = (stop.clone(), limits.clone());
        let server = tokio::spawn(async move { serve(listener, router, &served, heard).await });
        Self { address, stop, server, entered, release }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn say(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

/// Everything until the server closes, which it must do within our patience.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = vec![];
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    match read.expect("the server left the connection open") {
        Ok(_) | Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

const CLOSE: &str = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn silent_connections_and_slow_heads_are_closed() {
    let world = World::new(8).await;
    for text in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: h\r\nx: "] {
        let begun = Instant::now();
        rest(world.say(text).await).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{text:?} {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_head_that_drips_is_closed_at_the_limit() {
    let world = World::new(8).await;
    let (mut read, mut write) = world.say("GET / HTTP/1.1\r\nx: ").await.into_split();
    let begun = Instant::now();
    let drip = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            if write.write_all(b"y").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut bytes = vec![];
    tokio::select! {
        () = drip => unreachable!("it drips for ever"),
        _ = tokio::time::timeout(PATIENCE, read.read_to_end(&mut bytes)) => {}
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let world = World::new(8).await;
    let long = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES_MAX));
    let many = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX + 1));
    for head in [long, many] {
        let answer = rest(world.say(&head).await).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(rest(world.say(CLOSE).await).await.ends_with("here"));
}

/// What comes after the chunks is a request to whoever believes the length.
#[tokio::test]
async fn a_request_with_two_lengths_is_the_last_of_its_connection() {
    let world = World::new(8).await;
    let (length, chunked) = ("content-length: 5\r\n", "transfer-encoding: chunked\r\n");
    let smuggled = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    for (first, second) in [(length, chunked), (chunked, length)] {
        let head = format!("POST /echo HTTP/1.1\r\nhost: h\r\n{first}{second}\r\n");
        let answer = rest(world.say(&format!("{head}0\r\n\r\n{smuggled}")).await).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.to_lowercase().contains("connection: close\r\n"), "{answer}");
    }
    for lengths in ["content-length: 5\r\ncontent-length: 6\r\n", "transfer-encoding: gzip\r\n"] {
        let head = format!("POST /echo HTTP/1.1\r\nhost: h\r\n{lengths}\r\n");
        let answer = rest(world.say(&format!("{head}{smuggled}")).await).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_connection_over_the_cap_waits_for_a_place() {
    let world = World::new(2).await;
    let mut held = vec![];
    for _ in 0..2 {
        held.push(world.say(SLOW).await);
        world.entered.notified().await;
    }
    let third = tokio::spawn(rest(world.say(CLOSE).await));
    let mut third = std::pin::pin!(third);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut third).await;
    assert!(early.is_err(), "it was served beside the others");
    for stream in held {
        world.release.notify_one();
        rest(stream).await;
    }
    assert!(third.await.unwrap().ends_with("here"));
}

#[tokio::test]
async fn an_end_answers_what_is_in_hand_and_closes_what_is_idle() {
    let world = World::new(8).await;
    let idle = world.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let busy = world.say(SLOW).await;
    world.entered.notified().await;
    world.stop.cancel();
    assert!(rest(idle).await.ends_with("here"));
    assert!(!world.server.is_finished());
    world.release.notify_one();
    assert!(rest(busy).await.ends_with("slow"));
    tokio::time::timeout(PATIENCE, world.server).await.unwrap().unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_dropped_server_cuts_its_connections_off() {
    let world = World::new(8).await;
    let mut busy = world.say(SLOW).await;
    world.entered.notified().await;
    world.server.abort();
    let mut byte = [0];
    let read = tokio::time::timeout(PATIENCE, busy.read(&mut byte)).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)));
}
