//! Looking at dead letters. It changes nothing, and says so when not every service answered.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use ops::databases::{self, DatabaseError};
use ops::dead::{self, Content, Filter, Form, Letter, Shown, TopicLetter, read_topic};
use schemas::Timestamp;
use uuid::Uuid;

use super::FromTopic;
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

/// Causes count every dead letter there is; a group stops long before.
const COUNTED_MAX: i64 = 1_000_000;
/// Records that are exported at a time.
const PAGE: i64 = 500;

/// One dead letter, and whether its schema is wanted too.
pub(super) struct Asked<'a> {
    pub(super) id: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) schema: bool,
}

/// Where exported letters go: a file of its own, made for the first of them, or standard output.
struct Sink {
    file: Option<PathBuf>,
    open: Option<BufWriter<File>>,
    output: Output,
    count: usize,
}

pub(super) async fn causes(
    place: &Place,
    topic: &FromTopic,
    filter: &Filter,
    output: Output,
) -> anyhow::Result<()> {
    let (letters, faults) = letters(place, topic, filter, COUNTED_MAX).await?;
    let waiting = match topic.topic {
        Some(_) => BTreeMap::new(),
        None => dead::waiting(&place.endpoints).await,
    };
    let now = Timestamp::from(time::OffsetDateTime::now_utc());
    let causes = dead::causes(&letters, &waiting, now);
    output.list(&causes)?;
    if causes.is_empty() {
        eprintln!("there are no dead letters");
    } else if output.for_people() {
        eprintln!("look at them with `millrace dlq list --cause CAUSE`");
    }
    Ok(complete(faults)?)
}

pub(super) async fn list(
    place: &Place,
    topic: &FromTopic,
    filter: &Filter,
    limit: i64,
    output: Output,
) -> anyhow::Result<()> {
    let (letters, faults) = letters(place, topic, filter, limit).await?;
    if letters.is_empty() {
        complete(faults)?;
        return Ok(none_of(filter)?);
    }
    output.list(&letters)?;
    Ok(complete(faults)?)
}

pub(super) async fn show(
    place: &Place,
    topic: &FromTopic,
    asked: Asked<'_>,
    output: Output,
) -> anyhow::Result<()> {
    let Asked { id, service, schema } = asked;
    let registry = place.registry();
    let unknown = || Failure::NotFound(format!("there is no dead letter {id}; {SEE_LIST}"));
    let shown = match &topic.topic {
        Some(_) => {
            let all = of_topic(place, topic, &Filter::default()).await?;
            let own_place =
                |it: &TopicLetter| format!("{}/{}", it.record.partition, it.record.offset);
            let found = all.iter().find(|it| it.letter.id == id || own_place(it) == id);
            Shown::of_topic(&registry, found.ok_or_else(unknown)?, &all).await
        }
        None => {
            let uuid: Uuid = id.parse().map_err(|_| unknown())?;
            let found = dead::find(&place.endpoints, uuid, service).await.map_err(Failure::from)?;
            let (record, neighbours) = found.ok_or_else(unknown)?;
            Shown::parked(&registry, record, &neighbours).await
        }
    };
    let mut shown = shown.map_err(Failure::from)?;
    if !output.for_people() {
        if !schema {
            shown.content.schema = None;
        }
        return Ok(output.item(&shown)?);
    }
    tell(&shown, schema, output)
}

pub(super) async fn export(
    place: &Place,
    topic: &FromTopic,
    filter: &Filter,
    file: Option<PathBuf>,
    output: Output,
) -> anyhow::Result<()> {
    let registry = place.registry();
    let mut sink = Sink { file, open: None, output, count: 0 };
    if topic.topic.is_some() {
        for letter in &of_topic(place, topic, filter).await? {
            let shown = Shown::of_topic(&registry, letter, &[]).await;
            sink.put(&shown.map_err(Failure::from)?)?;
        }
        return sink.finish(filter);
    }
    some_database(place)?;
    for service in dead::asked(&place.endpoints, filter) {
        let mut after = 0;
        loop {
            let page = dead::records(&place.endpoints, &service, filter, after, PAGE).await;
            let page = page.map_err(Failure::from)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, record) in page {
                let shown = Shown::parked(&registry, record, &[]).await;
                sink.put(&shown.map_err(Failure::from)?)?;
            }
        }
    }
    sink.finish(filter)
}

impl Sink {
    fn put(&mut self, letter: &Shown) -> anyhow::Result<()> {
        self.count += 1;
        let Some(path) = &self.file else { return Ok(self.output.line(letter)?) };
        if self.open.is_none() {
            let there = |error| Failure::Refused(format!("{}: {error}", path.display()));
            self.open = Some(BufWriter::new(File::create_new(path).map_err(there)?));
        }
        if let Some(open) = &mut self.open {
            writeln!(open, "{}", serde_json::to_string(letter)?)?;
        }
        Ok(())
    }

    fn finish(self, filter: &Filter) -> anyhow::Result<()> {
        if self.count == 0 {
            return Ok(none_of(filter)?);
        }
        if let (Some(path), Some(mut open)) = (self.file, self.open) {
            open.flush()?;
            eprintln!("{} dead letters written to {}", self.count, path.display());
        }
        Ok(())
    }
}

/// What waits or is dead, from the services or from a topic. It fails when nobody answers.
async fn letters(
    place: &Place,
    topic: &FromTopic,
    filter: &Filter,
    limit: i64,
) -> Result<(Vec<Letter>, Vec<DatabaseError>), Failure> {
    if topic.topic.is_some() {
        let all = of_topic(place, topic, filter).await?;
        return Ok((all.into_iter().map(|it| it.letter).collect(), vec![]));
    }
    some_database(place)?;
    let found = dead::letters(&place.endpoints, filter, limit).await;
    match found.letters.is_empty() {
        true => complete(found.faults).map(|()| (vec![], vec![])),
        false => Ok((found.letters, found.faults)),
    }
}

async fn of_topic(
    place: &Place,
    topic: &FromTopic,
    filter: &Filter,
) -> Result<Vec<TopicLetter>, Failure> {
    let name = topic.topic.as_deref().unwrap_or_default();
    let admin = place.broker().await?;
    Ok(read_topic(&admin, name, &topic.original_topic_header, filter).await?)
}

/// Fails when it is known of no database where it is.
pub(super) fn some_database(place: &Place) -> Result<(), Failure> {
    match databases::known(&place.endpoints).is_empty() {
        false => Ok(()),
        true => Err(Failure::Unreachable("it is not known where the databases are".to_owned())),
    }
}

/// What was shown is not all when a service did not answer.
fn complete(faults: Vec<DatabaseError>) -> Result<(), Failure> {
    let mut faults = faults.into_iter();
    let Some(first) = faults.next() else { return Ok(()) };
    faults.for_each(|fault| eprintln!("error: {fault}"));
    Err(first.into())
}

const SEE_LIST: &str = "`millrace dlq list --status any` shows what there is";

/// Nothing is there: not found if something was looked for.
fn none_of(filter: &Filter) -> Result<(), Failure> {
    if let Some(cause) = &filter.cause {
        let text = format!("no dead letter has a cause {cause}…; see `millrace dlq causes`");
        return Err(Failure::NotFound(text));
    }
    if let Some(key) = &filter.key {
        return Err(Failure::NotFound(format!("no dead letter has the key {key}; {SEE_LIST}")));
    }
    eprintln!("there are none; {SEE_LIST}");
    Ok(())
}

fn tell(shown: &Shown, schema: bool, output: Output) -> anyhow::Result<()> {
    let Letter { id, service, cause, status, reason, fact, key, .. } = &shown.letter;
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let count = |count: Option<u32>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let letter = &shown.letter;
    let lines = [
        ("dead letter", id.clone()),
        ("state", format!("{status} ({reason})")),
        ("service", service.clone()),
        ("cause", cause.clone()),
        ("error", format!("{}: {}", letter.error_type, letter.error_message)),
        ("attempts", format!("{}, redriven {}", count(letter.attempts), count(letter.redrives))),
        ("failed", format!("{} to {}", time(letter.first_failed_at), time(letter.last_failed_at))),
        ("fact", fact.clone()),
        ("key", key.clone()),
        ("place", letter.place()),
        ("written", time(shown.written_at)),
        ("trace", shown.trace_id.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    for (name, value) in lines {
        output.text(&format!("{name:<12} {value}"))?;
    }
    if shown.error_chain != letter.error_message {
        output.text(&format!("\nerrors\n{}", indented(&shown.error_chain)))?;
    }
    tell_content("value", &shown.content, schema, output)?;
    if let Some(edited) = &shown.edited {
        tell_content("value as repaired", edited, false, output)?;
    }
    let header = |(name, value): &(String, Option<String>)| {
        format!("{name}: {}", value.as_deref().unwrap_or("(null)"))
    };
    let headers: Vec<String> = shown.headers.iter().map(header).collect();
    output.text(&format!("\nheaders\n{}", indented(&headers.join("\n"))))?;
    if shown.neighbours.len() > 1 {
        output.text("\nparked records of the same key, in order")?;
        output.list(&shown.neighbours)?;
    }
    Ok(())
}

fn tell_content(
    title: &str,
    content: &Content,
    schema: bool,
    output: Output,
) -> anyhow::Result<()> {
    let form = match (content.form, content.schema_id, &content.record) {
        (Form::Tombstone, ..) => "no value: a tombstone".to_owned(),
        (_, Some(id), Some(record)) => format!("{record}, schema {id}"),
        (_, Some(id), None) => format!("schema {id}"),
        (form, ..) => format!("{form:?}").to_lowercase(),
    };
    output.text(&format!("\n{title} ({form})"))?;
    if let Some(fault) = &content.fault {
        output.text(&indented(&format!("not readable: {fault}")))?;
    }
    let text = match &content.value {
        serde_json::Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value)?,
    };
    output.text(&indented(&text))?;
    if let Some(schema) = content.schema.as_ref().filter(|_| schema) {
        let text = serde_json::to_string_pretty(schema)?;
        output.text(&format!("\nschema\n{}", indented(&text)))?;
    }
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
