//! Tests of the registry client against a small registry in the same process, which can be made
//! to fail in the ways real ones do.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use super::*;

const SCHEMA: &str =
    r#"{"type":"record","name":"Rung","namespace":"t","fields":[{"name":"n","type":"long"}]}"#;
const RECURSIVE: &str =
    r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}"#;
const SUBJECT: &str = "t.bell.events.v1-t.Rung";

/// How the registry behaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Healthy,
    Status(u16),
    /// A status with the registry's own kind of body.
    Code(u16, u32),
    Html,
    Silent,
}

struct Fake {
    mood: Mutex<Mood>,
    calls: AtomicU32,
    levels: Mutex<Vec<(String, String)>>,
}

struct World {
    fake: Arc<Fake>,
    registry: Registry,
    url: String,
}

impl World {
    async fn new() -> Self {
        let fake = Arc::new(Fake {
            mood: Mutex::new(Mood::Healthy),
            calls: AtomicU32::new(0),
            levels: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/schemas/ids/{id}", get(schema))
            .route(
                "/subjects",
                get(async |State(fake): State<Arc<Fake>>| answer(&fake, "[]").await),
            )
            .route("/subjects/{subject}", post(lookup))
            .route("/subjects/{subject}/versions", post(register))
            .route("/config", put(level))
            .route("/config/{subject}", put(level))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let timeout = Duration::from_millis(200);
        Self { fake, registry: Registry::new(&config::Registry { url: url.clone(), timeout }), url }
    }

    /// With a client that a busy machine does not make impatient.
    async fn patient() -> Self {
        let world = Self::new().await;
        let (url, timeout) = (world.url.clone(), Duration::from_secs(10));
        Self { registry: Registry::new(&config::Registry { url, timeout }), ..world }
    }

    fn mood(&self, mood: Mood) {
        *self.fake.mood.lock().unwrap() = mood;
    }

    fn calls(&self) -> u32 {
        self.fake.calls.load(Ordering::SeqCst)
    }
}

async fn answer(fake: &Fake, healthy: impl IntoResponse) -> Response {
    fake.calls.fetch_add(1, Ordering::SeqCst);
    let mood = *fake.mood.lock().unwrap();
    match mood {
        Mood::Healthy => healthy.into_response(),
        Mood::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Mood::Code(status, code) => error(status, code),
        Mood::Html => Html("<h1>Please log in</h1>").into_response(),
        Mood::Silent => std::future::pending().await,
    }
}

fn error(status: u16, code: u32) -> Response {
    let body = axum::Json(json!({ "error_code": code, "message": "no" }));
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn schema(State(fake): State<Arc<Fake>>, Path(id): Path<u32>) -> Response {
    let healthy = match id {
        1..=1000 => axum::Json(json!({ "schema": SCHEMA })).into_response(),
        2001 => axum::Json(json!({ "schema": RECURSIVE })).into_response(),
        2002 => axum::Json(json!({ "schema": "{}", "schemaType": "JSON" })).into_response(),
        2003 => {
            let other = json!([{ "name": "t.Other", "subject": "other", "version": 1 }]);
            axum::Json(json!({ "schema": SCHEMA, "references": other })).into_response()
        }
        2004 => {
            let schema = format!("{}{SCHEMA}", " ".repeat(256 * 1024));
            axum::Json(json!({ "schema": schema })).into_response()
        }
        2005 => {
            let field = |at| json!({ "name": format!("f{at}"), "type": "long" });
            let fields: Value = (0..501).map(field).collect();
            let schema = json!({ "type": "record", "name": "Wide", "fields": fields }).to_string();
            axum::Json(json!({ "schema": schema })).into_response()
        }
        _ => error(404, 40403),
    };
    answer(&fake, healthy).await
}

async fn lookup(
    State(fake): State<Arc<Fake>>,
    Path(subject): Path<String>,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let healthy = match (subject.as_str(), body["schema"].as_str()) {
        (SUBJECT, Some(SCHEMA)) => axum::Json(json!({ "id": 7, "version": 1 })).into_response(),
        (SUBJECT, _) => error(404, 40403),
        _ => error(404, 40401),
    };
    answer(&fake, healthy).await
}

async fn register(State(fake): State<Arc<Fake>>, axum::Json(_): axum::Json<Value>) -> Response {
    answer(&fake, axum::Json(json!({ "id": 8 }))).await
}

async fn level(
    State(fake): State<Arc<Fake>>,
    subject: Option<Path<String>>,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let subject = subject.map(|Path(subject)| subject).unwrap_or_default();
    let level = body["compatibility"].as_str().unwrap().to_owned();
    fake.levels.lock().unwrap().push((subject, level));
    answer(&fake, axum::Json(json!({}))).await
}

/// Asks until it succeeds; the registry has recovered, so it must within a second.
async fn recovered<T>(ask: impl AsyncFn() -> Result<T, RegistryError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "still {error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_registry_that_failed_in_any_way_is_used_again_when_it_is_well() {
    let failures = [
        Mood::Status(500),
        Mood::Status(503),
        Mood::Status(429),
        Mood::Status(401),
        Mood::Status(404),
        Mood::Code(500, 50001),
        Mood::Code(401, 40101),
        Mood::Html,
        Mood::Silent,
    ];
    let world = World::new().await;
    for (id, failure) in (1..).zip(failures) {
        world.mood(failure);
        let error = world.registry.schema(id).await.unwrap_err();
        assert!(error.is_transient(), "{failure:?}: {error}");
        let error = world.registry.id_of(SUBJECT, SCHEMA).await.unwrap_err();
        assert!(error.is_transient(), "{failure:?}: {error}");
        world.mood(Mood::Healthy);
        let schema = recovered(async || world.registry.schema(id).await).await;
        assert_eq!(&*schema, SCHEMA);
    }
    assert_eq!(recovered(async || world.registry.id_of(SUBJECT, SCHEMA).await).await, 7);
}

#[tokio::test]
async fn many_first_uses_of_an_id_are_one_request() {
    let world = World::new().await;
    let asks = (0..200).map(|_| world.registry.schema(5));
    let answers = futures::future::join_all(asks).await;
    assert!(answers.iter().all(|answer| answer.as_deref() == Ok(SCHEMA)));
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn many_waiting_for_a_silent_registry_fail_together() {
    let world = World::new().await;
    world.mood(Mood::Silent);
    let begun = Instant::now();
    let answers = futures::future::join_all((0..200).map(|_| world.registry.schema(5))).await;
    assert!(answers.iter().all(|answer| answer.is_err()));
    assert_eq!(world.calls(), 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_known_needs_no_registry() {
    let world = World::new().await;
    world.registry.schema(5).await.unwrap();
    world.registry.id_of(SUBJECT, SCHEMA).await.unwrap();
    world.mood(Mood::Status(500));
    assert_eq!(world.registry.schema(5).await.as_deref(), Ok(SCHEMA));
    assert_eq!(world.registry.clone().id_of(SUBJECT, SCHEMA).await, Ok(7));
    assert_eq!(world.calls(), 2);
}

#[tokio::test]
async fn an_absent_id_is_missing_and_not_asked_for_again_at_once() {
    let world = World::new().await;
    for _ in 0..50 {
        let error = world.registry.schema(4242).await.unwrap_err();
        assert_eq!(error, RegistryError::Missing { what: "schema 4242".to_owned() });
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn ids_that_nobody_registered_do_not_flood_the_registry() {
    let world = World::patient().await;
    let begun = Instant::now();
    let ask = async |id| world.registry.schema(id).await.unwrap_err();
    for id in 10_000..10_200 {
        for _ in 0..5 {
            assert!(matches!(ask(id).await, RegistryError::Missing { .. }));
        }
    }
    // The last one waits for those before it, and nobody waits for the last one.
    let paced = f64::from(199 - MISSES_AT_ONCE) / f64::from(MISSES_PER_SECOND);
    assert!(begun.elapsed().as_secs_f64() >= paced, "{:?}", begun.elapsed());
    assert_eq!(world.calls(), 200, "each was asked for once");
    let paced = Instant::now();
    for id in 1..=1000 {
        assert_eq!(world.registry.schema(id).await.as_deref(), Ok(SCHEMA));
    }
    // At the pace of the absent ones it would take nine seconds.
    assert!(paced.elapsed() < Duration::from_secs(7), "what is there waits for no pace");
}

#[tokio::test]
async fn exactly_this_schema_is_looked_up() {
    let world = World::new().await;
    let other = SCHEMA.replace("long", "int");
    for (subject, schema) in [(SUBJECT, other.as_str()), ("unheard-of", SCHEMA)] {
        let error = world.registry.id_of(subject, schema).await.unwrap_err();
        assert!(matches!(error, RegistryError::Missing { what } if what.ends_with(subject)));
    }
    assert_eq!(world.registry.id_of(SUBJECT, SCHEMA).await, Ok(7));
}

#[tokio::test]
async fn a_schema_unfit_to_read_with_is_not_handed_out() {
    let world = World::patient().await;
    for (id, wanted) in [
        (2001, "contains itself"),
        (2002, "not an Avro"),
        (2003, "refers to"),
        (2004, "over the limit of 262144"),
        (2005, "more than 500 fields"),
    ] {
        let error = world.registry.schema(id).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn registering_makes_the_id_known() {
    let world = World::new().await;
    let other = SCHEMA.replace("long", "int");
    assert!(world.registry.id_of(SUBJECT, &other).await.is_err());
    assert_eq!(world.registry.register(SUBJECT, &other).await, Ok(8));
    assert_eq!(world.registry.id_of(SUBJECT, &other).await, Ok(8));
}

#[tokio::test]
async fn an_incompatible_schema_is_refused_for_good() {
    let world = World::new().await;
    for (status, code) in [(409, 409), (422, 42201)] {
        world.mood(Mood::Code(status, code));
        let error = world.registry.register(SUBJECT, SCHEMA).await.unwrap_err();
        assert_eq!(error, RegistryError::Refused { status: code, message: "no".to_owned() });
    }
}

#[tokio::test]
async fn levels_are_set_for_one_subject_or_all() {
    let world = World::new().await;
    world.registry.set_compatibility(None, "BACKWARD_TRANSITIVE").await.unwrap();
    world.registry.set_compatibility(Some(SUBJECT), "FULL_TRANSITIVE").await.unwrap();
    let wanted = [("", "BACKWARD_TRANSITIVE"), (SUBJECT, "FULL_TRANSITIVE")];
    let wanted = wanted.map(|(subject, level)| (subject.to_owned(), level.to_owned()));
    assert_eq!(*world.fake.levels.lock().unwrap(), wanted);
    world.mood(Mood::Code(422, 42203));
    let error = world.registry.set_compatibility(None, "BEST").await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { status: 42203, .. }), "{error}");
}

#[tokio::test]
async fn a_ping_tells_a_registry_from_none() {
    let world = World::new().await;
    assert_eq!(world.registry.ping().await, Ok(()));
    world.mood(Mood::Status(500));
    assert!(world.registry.ping().await.unwrap_err().is_transient());
    let url = "http://127.0.0.1:9".to_owned();
    let nobody = Registry::new(&config::Registry { url, timeout: Duration::from_secs(1) });
    let error = nobody.ping().await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn what_is_remembered_is_bounded_and_failures_go_first() {
    let all: Slots<u32, u32> = Mutex::default();
    let ids = u32::try_from(IDS_MAX).unwrap();
    once(&all, 0, async { Ok(1) }).await.unwrap();
    for id in 1..ids * 2 {
        let missing = RegistryError::Missing { what: String::new() };
        once(&all, id, async { Err(missing) }).await.unwrap_err();
        assert!(all.lock().unwrap().len() <= IDS_MAX);
    }
    assert_eq!(once(&all, 0, async { panic!("asked again") }).await, Ok(1));
}
