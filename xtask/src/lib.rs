//! The documents that are made from the code: the flow of facts, the canvas of every service, and
//! what shows each fault.
//! It only reads and writes files of this repository; the walls themselves stand in `tests/it`.

pub mod canvas;
pub mod faults;
mod markdown;
pub mod topology;

use std::path::{Path, PathBuf};

use anyhow::Context;
use millrace::Service;

/// A generated file.
pub struct Document {
    /// Path from the root of the repository.
    pub path: PathBuf,
    /// What it must hold.
    pub text: String,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the root of the repository").to_owned()
}

/// Every service, in the order in which an order meets them.
pub fn services() -> Vec<Service> {
    vec![
        catalogue::service(),
        orders::service(),
        stock::service(),
        payments::service(),
        sales::service(),
        order_view::service(),
        journal::service(),
        order_query::service(),
    ]
}

/// What an operator may change of a service alone, with its defaults: `[service.<name>]`.
pub fn settings(service: &str) -> serde_json::Value {
    match service {
        "orders" => serde_json::json!(orders::settings::Settings::default()),
        "payments" => serde_json::json!(payments::settings::Settings::default()),
        "order-view" => serde_json::json!(order_view::settings::Settings::default()),
        _ => serde_json::json!({}),
    }
}

/// Every generated document, as it must be now.
pub fn documents() -> anyhow::Result<Vec<Document>> {
    let services = services();
    let mut documents = vec![
        Document { path: PathBuf::from("docs/topology.md"), text: topology::document(&services) },
        Document {
            path: PathBuf::from("docs/operations/faults.md"),
            text: faults::document(&root())?,
        },
    ];
    for service in &services {
        let folder = Path::new("services").join(service.name());
        let tables = canvas::tables(&root().join(&folder).join("migrations"))?;
        let text = canvas::document(service, &tables, &settings(service.name()));
        documents.push(Document { path: folder.join("README.md"), text });
    }
    Ok(documents)
}

/// Writes every document that is not as it must be, and says which.
pub fn write() -> anyhow::Result<Vec<PathBuf>> {
    let mut written = vec![];
    for Document { path, text } in documents()? {
        let file = root().join(&path);
        if std::fs::read_to_string(&file).ok().as_ref() != Some(&text) {
            std::fs::write(&file, text).with_context(|| path.display().to_string())?;
            written.push(path);
        }
    }
    Ok(written)
}
