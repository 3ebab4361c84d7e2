//! One real schema registry (Apicurio), spoken to by its Confluent API. Its default compatibility is
//! none at all, so the strictest is set.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::java::{self, Archive, Compiler};
use super::server::Server;
use crate::Progress;
use crate::fetch::{self, Part};
use crate::home::{Home, make};
use crate::ports::free_port;
use crate::process::Signal;

const HEAP_MB: u32 = 128;
const ATTEMPT: Duration = Duration::from_secs(5);
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) server: Server,
    url: String,
}

impl Registry {
    /// Starts a registry. Its data lies in `folder`, so that it outlives a crash; the folder goes
    /// with a process that is killed unless it is to be kept.
    pub(crate) async fn start(
        home: &Home,
        folder: &Path,
        kept: bool,
        progress: &Progress,
    ) -> Result<Self> {
        let part = fetch::fetch(home, Part::Registry, progress).await?;
        let archive = part.join("classes.jsa");
        java::train(&archive, progress, async |draft: &Path| {
            progress("preparing the registry for quick starts, once");
            let folder = home.run_folder()?;
            let registry = Self::launch(&part, folder.path(), false, (Archive::Make, draft))?;
            registry.until_ready().await?;
            registry.practise().await?;
            registry.server.stop().await;
            Ok(())
        })
        .await?;
        Self::launch(&part, folder, kept, (Archive::Use, &archive))
    }

    /// The base of its Confluent API.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn until_ready(&self) -> Result<()> {
        let client = reqwest::Client::builder().timeout(ATTEMPT).build()?;
        let config = format!("{}/config", self.url);
        let probe = async || {
            let level = client
                .put(&config)
                .header("content-type", MEDIA_TYPE)
                .body(r#"{"compatibility":"FULL_TRANSITIVE"}"#);
            let answer = level.send().await.map_err(|error| error.to_string())?;
            answer.error_for_status().map_err(|error| error.to_string())?;
            Ok(())
        };
        self.server.until_ready(probe).await
    }

    /// Registers two versions of a schema, so that the archive has the classes for that too.
    async fn practise(&self) -> Result<()> {
        let url = format!("{}/subjects/practice/versions", self.url);
        for fields in ["", r#"{"name":"a","type":"long","default":0}"#] {
            let schema = format!(r#"{{"type":"record","name":"Practice","fields":[{fields}]}}"#);
            let body = serde_json::json!({ "schema": schema }).to_string();
            let request = reqwest::Client::new().post(&url).header("content-type", MEDIA_TYPE);
            request.body(body).send().await?.error_for_status()?;
        }
        Ok(())
    }

    fn launch(part: &Path, folder: &Path, kept: bool, archive: (Archive, &Path)) -> Result<Self> {
        make(folder)?;
        let port = free_port()?;
        let jar = format!("apicurio-registry-app-{}-runner.jar", Part::Registry.version());
        let args = [OsString::from("-jar"), part.join(jar).into_os_string()];
        let log = folder.join("registry.log");
        let mut launch = java::launch(&log, HEAP_MB, Compiler::Soon, archive, args)?
            .folder(folder)
            .env("QUARKUS_HTTP_HOST", "127.0.0.1")
            .env("QUARKUS_HTTP_PORT", port.to_string())
            .env("QUARKUS_HTTP_ACCESS_LOG_ENABLED", "false")
            .env("APICURIO_STORAGE_KIND", "sql")
            .env("APICURIO_STORAGE_SQL_KIND", "h2");
        // By default a commit reaches the file half a second later: a kill would lose schemas whose
        // ids are in records already.
        let mut url = java::with_path("jdbc:h2:file:", &folder.join("registry"));
        url.push(";WRITE_DELAY=0");
        launch = launch.env("APICURIO_DATASOURCE_URL", url);
        if !kept {
            launch = launch.orphan_folder(folder);
        }
        let server = Server::start("the registry", launch, Signal::Term)?;
        Ok(Self { server, url: format!("http://127.0.0.1:{port}/apis/ccompat/v7") })
    }
}
