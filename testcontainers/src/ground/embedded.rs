//! A small schema registry in memory, with the part of the Confluent API that services and deploy
//! steps use. It stores compatibility levels and never judges by them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::serve::Served;

const SUBJECT_NOT_FOUND: u32 = 40_401;
const VERSION_NOT_FOUND: u32 = 40_402;
const SCHEMA_NOT_FOUND: u32 = 40_403;
const INVALID_SCHEMA: u32 = 42_201;

type Shared = Arc<Mutex<Store>>;

/// A running registry; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct MemoryRegistry(Served);

impl MemoryRegistry {
    pub(crate) fn start() -> Result<Self> {
        let router = Router::new()
            .route("/subjects", get(subjects))
            .route("/subjects/{subject}", post(look_up))
            .route("/subjects/{subject}/versions", get(versions).post(register))
            .route("/subjects/{subject}/versions/{version}", get(version))
            .route("/schemas/ids/{id}", get(schema))
            .route("/config", get(level).put(set_level))
            .route("/config/{subject}", get(level_of).put(set_level_of))
            .with_state(Shared::default());
        Ok(Self(Served::start("registry", router)?))
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }
}

/// One schema has one id, whatever subjects it is under and however it is laid out as text.
#[derive(Debug, Default)]
struct Store {
    schemas: Vec<Schema>,
    subjects: BTreeMap<String, Vec<usize>>,
    level: Option<String>,
    levels: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Schema {
    text: String,
    value: Value,
}

#[derive(Deserialize)]
struct Given {
    schema: String,
}

#[derive(Deserialize)]
struct Level {
    compatibility: String,
}

impl Given {
    fn value(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(&self.schema)
    }
}

impl Store {
    fn add(&mut self, subject: String, text: String, value: Value) -> usize {
        let known = self.schemas.iter().position(|schema| schema.value == value);
        let index = known.unwrap_or_else(|| {
            self.schemas.push(Schema { text, value });
            self.schemas.len() - 1
        });
        let versions = self.subjects.entry(subject).or_default();
        if !versions.contains(&index) {
            versions.push(index);
        }
        index + 1
    }

    fn show(&self, subject: &str, version: usize) -> Option<Value> {
        let index = *self.subjects.get(subject)?.get(version.checked_sub(1)?)?;
        let schema = &self.schemas[index].text;
        Some(json!({"subject": subject, "id": index + 1, "version": version, "schema": schema}))
    }
}

async fn register(
    State(store): State<Shared>,
    Path(subject): Path<String>,
    Json(given): Json<Given>,
) -> Response {
    match given.value() {
        Ok(value) => {
            let id = open(&store).add(subject, given.schema, value);
            Json(json!({"id": id})).into_response()
        }
        Err(error) => invalid(&error),
    }
}

async fn look_up(
    State(store): State<Shared>,
    Path(subject): Path<String>,
    Json(given): Json<Given>,
) -> Response {
    let value = match given.value() {
        Ok(value) => value,
        Err(error) => return invalid(&error),
    };
    let store = open(&store);
    let Some(versions) = store.subjects.get(&subject) else {
        return missing(SUBJECT_NOT_FOUND, "subject");
    };
    let found = versions.iter().position(|&index| store.schemas[index].value == value);
    match found.and_then(|place| store.show(&subject, place + 1)) {
        Some(shown) => Json(shown).into_response(),
        None => missing(SCHEMA_NOT_FOUND, "schema"),
    }
}

async fn schema(State(store): State<Shared>, Path(id): Path<usize>) -> Response {
    let store = open(&store);
    match id.checked_sub(1).and_then(|index| store.schemas.get(index)) {
        Some(schema) => Json(json!({"schema": schema.text})).into_response(),
        None => missing(SCHEMA_NOT_FOUND, "schema"),
    }
}

async fn subjects(State(store): State<Shared>) -> Response {
    let names: Vec<String> = open(&store).subjects.keys().cloned().collect();
    Json(names).into_response()
}

async fn versions(State(store): State<Shared>, Path(subject): Path<String>) -> Response {
    match open(&store).subjects.get(&subject) {
        Some(versions) => Json((1..=versions.len()).collect::<Vec<_>>()).into_response(),
        None => missing(SUBJECT_NOT_FOUND, "subject"),
    }
}

async fn version(
    State(store): State<Shared>,
    Path((subject, version)): Path<(String, String)>,
) -> Response {
    let store = open(&store);
    let Some(versions) = store.subjects.get(&subject) else {
        return missing(SUBJECT_NOT_FOUND, "subject");
    };
    let number = if version == "latest" { Some(versions.len()) } else { version.parse().ok() };
    match number.and_then(|number| store.show(&subject, number)) {
        Some(shown) => Json(shown).into_response(),
        None => missing(VERSION_NOT_FOUND, "version"),
    }
}

async fn level(State(store): State<Shared>) -> Response {
    let level = open(&store).level.clone().unwrap_or_else(|| "NONE".to_owned());
    Json(json!({"compatibilityLevel": level})).into_response()
}

async fn set_level(State(store): State<Shared>, Json(given): Json<Level>) -> Response {
    open(&store).level = Some(given.compatibility.clone());
    Json(json!({"compatibility": given.compatibility})).into_response()
}

async fn level_of(State(store): State<Shared>, Path(subject): Path<String>) -> Response {
    match open(&store).levels.get(&subject) {
        Some(level) => Json(json!({"compatibilityLevel": level})).into_response(),
        None => missing(SUBJECT_NOT_FOUND, "subject"),
    }
}

async fn set_level_of(
    State(store): State<Shared>,
    Path(subject): Path<String>,
    Json(given): Json<Level>,
) -> Response {
    open(&store).levels.insert(subject, given.compatibility.clone());
    Json(json!({"compatibility": given.compatibility})).into_response()
}

fn invalid(error: &serde_json::Error) -> Response {
    refusal(StatusCode::UNPROCESSABLE_ENTITY, INVALID_SCHEMA, &error.to_string())
}

fn missing(code: u32, what: &str) -> Response {
    refusal(StatusCode::NOT_FOUND, code, &format!("there is no such {what}"))
}

fn refusal(status: StatusCode, code: u32, message: &str) -> Response {
    (status, Json(json!({"error_code": code, "message": message}))).into_response()
}

fn open(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
