//! `millrace group seek`: a group reads again from somewhere else. The plan says what that means;
//! carried out, the members stay.

use clap::ArgGroup;
use millrace::control::Kind;
use ops::command;
use ops::seek::{Move, Plan, SeekError, To, Wish, plan};

use crate::act::{self, Act};
use crate::failure::Failure;
use crate::house;
use crate::output::{Output, Row};
use crate::place::Place;

/// What is put where.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("where").required(true).args(["to", "offset", "shift"]))]
pub(crate) struct Seek {
    /// The group, or its service.
    group: String,
    /// `earliest`, `latest`, or a time: 2026-11-20, 2026-11-20T10:00:00Z, -2h.
    #[arg(long, value_name = "PLACE", value_parser = place_of, allow_hyphen_values = true)]
    to: Option<To>,
    /// This offset of one partition.
    #[arg(long, value_name = "N", requires = "partition", value_parser = clap::value_parser!(i64).range(0..))]
    offset: Option<i64>,
    /// So many records on, or back: --shift=-500.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift: Option<i64>,
    /// Only this topic.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Only this partition of the topic.
    #[arg(long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    #[command(flatten)]
    act: Act,
}

pub(crate) async fn run(seek: Seek, place: &Place, output: Output) -> anyhow::Result<()> {
    let Seek { group, to, offset, shift, topic, partition, act } = seek;
    let to = to.or(offset.map(To::Offset)).or(shift.map(To::Shift));
    let to = to.ok_or_else(|| Failure::Usage("say where to".to_owned()))?;
    let endpoints = &place.endpoints;
    let ours = super::known(endpoints, &group);
    let group = ours.unwrap_or(group);
    let topic = topic.map(|topic| super::logical(endpoints, &topic));
    let wish = Wish { group, topic, partition, to };
    let admin = place.broker().await?;
    let found = plan(&admin, endpoints, &wish).await.map_err(Failure::from)?;
    let Some(author) = act::author(&act) else {
        tell(&found, output)?;
        eprintln!("nothing was changed; add --execute to do it");
        return Ok(());
    };
    let operator = act::operator(place).await?;
    if found.members > 0
        && let Some(service) = &found.service
    {
        let kind = Kind::Seek { to: found.places() };
        let sent = vec![(service.clone(), command::command(&found.group, kind, &author))];
        return act::carry_out(place, &operator, sent, output).await;
    }
    let put = operator.put_group(&found.group, &found.places(), &author).await;
    put.map_err(Failure::from)?;
    tell(&found, output)
}

/// A table of the moves and what they mean, or everything as one object.
fn tell(plan: &Plan, output: Output) -> anyhow::Result<()> {
    if !output.for_people() {
        return Ok(output.item(plan)?);
    }
    output.list(&plan.moves)?;
    output.text("")?;
    let keys = match (plan.keys, &plan.oldest) {
        (None, _) => ", too many to look into".to_owned(),
        (Some(_), None) => String::new(),
        (Some(keys), Some(oldest)) => format!(" of {keys} keys, the oldest written {oldest}"),
    };
    output.text(&format!("read again: {} records{keys}", plan.again))?;
    if plan.passed_over > 0 {
        output.text(&format!(
            "never read: {} records are passed over; what they say does not happen",
            plan.passed_over
        ))?;
    }
    match plan.absorbed {
        Some(known) => output.text(&format!(
            "duplicates: the inbox knows {known} of them, which act no second time"
        ))?,
        None if plan.folds => output.text(
            "a view: partitions that begin at their oldest record are wiped and folded again; of \
             the others everything that is folded already is passed over",
        )?,
        None => output.text("nothing is known of what this group does with a record twice")?,
    }
    output.text(&outside(plan))?;
    Ok(output.text(&format!("members: {}", members(plan)))?)
}

/// What the service does outside Kafka and its database.
fn outside(plan: &Plan) -> String {
    let service = plan.service.as_deref().and_then(house::service);
    let asks = service.map(|service| service().asks()).unwrap_or_default();
    let asks: Vec<String> =
        asks.iter().map(|(ask, partner)| format!("{ask} of {partner}")).collect();
    match asks.is_empty() {
        true => "outside effects: none".to_owned(),
        false => format!(
            "outside effects: {}; asked once for each fact, and not again for one the inbox knows",
            asks.join(", ")
        ),
    }
}

fn members(plan: &Plan) -> String {
    match plan.members {
        0 => {
            "none; the offsets are committed for the group, as by kafka-consumer-groups".to_owned()
        }
        count => format!("{count}; they stay, and each moves the partitions it has"),
    }
}

/// Reads a place: an end of the topic or a time.
fn place_of(text: &str) -> Result<To, String> {
    match text {
        "earliest" => return Ok(To::Earliest),
        "latest" => return Ok(To::Latest),
        _ => {}
    }
    crate::args::moment(text, time::OffsetDateTime::now_utc().into()).map(To::Time)
}

impl From<SeekError> for Failure {
    fn from(error: SeekError) -> Self {
        match error {
            SeekError::NotFound(text) => Self::NotFound(text),
            SeekError::Refused(text) => Self::Refused(text),
            SeekError::Admin(error) => error.into(),
            SeekError::Database(error) => error.into(),
        }
    }
}

impl Row for Move {
    const COLUMNS: &'static [&'static str] = &["TOPIC", "PARTITION", "FROM", "TO", "AGAIN"];

    fn id(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.from.to_string(),
            self.to.to_string(),
            self.again.to_string(),
        ]
    }
}

impl Row for Plan {
    const COLUMNS: &'static [&'static str] = &["GROUP", "AGAIN"];

    fn id(&self) -> String {
        self.group.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.group.clone(), self.again.to_string()]
    }
}
