//! One bad record: its order waits in the groups that cannot handle it, is found with its causes, is
//! repaired and redriven, and ends; nobody else sees the record again.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use harness::{Ground, World, eventually};
use millrace::admin::{RawRecord, TopicSpec};
use millrace::contract::frame;
use millrace::control::Kind;
use millrace::repair::Repair;
use millrace::{Event, Money, Timestamp};
use ops::command::{Author, Operator, command, topics as ops_topics};
use ops::dead::foreign::ORIGINAL_TOPIC;
use ops::dead::{self, Asked, Filter, Form, GroupPlan, Letter, PlanError, Shown};
use ops::late::{Why, late, late_orders};
use ops::operation::{Operation, operation};
use ops::{Endpoints, OrderFilter, SERVICES};
use schemas::{OrderId, OrderLine, StockReserved, topics};
use uuid::Uuid;

use super::Shop;
use super::shop::{SOON, history, same};

/// What is wrong with the record: no shop charges less than nothing.
const WRONG_MINOR: i64 = -5;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_waits_alone_and_is_repaired_and_redriven_for_its_groups_only() -> Result<()> {
    let mut shop = Shop::open(10, "100.00").await?;
    let Some(stock) = shop.services.remove("stock") else { bail!("no stock") };
    stock.stop().await?;
    let endpoints = endpoints(&shop).await?;
    let order = shop.order(2).await?;
    let fact = Uuid::now_v7();
    shop.reserve_wrongly(order, fact).await?;

    causes(&endpoints, fact).await?;
    waits_with_a_reason(&shop, &endpoints, order, fact).await?;
    for plan in repair_fits(&shop, &endpoints, order).await? {
        let done = redrive(&shop, &endpoints, &plan).await?;
        same((done.state.as_str(), done.total, done.done, done.failed), ("done", 1, 1, 0))?;
    }

    let view = shop.ended(order).await?;
    same(view.status.as_str(), "confirmed")?;
    shop.paid("60.20").await?;
    let facts =
        ["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed", "OrderConfirmed"];
    same(history(&view), facts.to_vec())?;
    nobody_else_saw_it_again(&shop, order, fact).await?;
    shop.close().await
}

fn repair(edit: &str) -> Result<Repair> {
    Ok(Repair { set: vec![edit.parse()?], conditions: vec!["$.total.amount<0".parse()?] })
}

/// The dead letters are found by their causes, one in each of the groups that refuse the record.
async fn causes(endpoints: &Endpoints, fact: Uuid) -> Result<()> {
    let filter = Filter { status: vec!["dead".to_owned()], ..Filter::default() };
    let letters = eventually(SOON, "there are two dead letters", async || {
        let found = dead::letters(endpoints, &filter, 10).await;
        match (found.letters.len(), found.faults.first()) {
            (_, Some(fault)) => Err(fault.to_string()),
            (2, None) => Ok(found.letters),
            (count, None) => Err(format!("{count}")),
        }
    })
    .await?;
    ensure!(letters.iter().all(|letter| letter.id == fact.to_string()), "{letters:?}");
    let causes = dead::causes(&letters, &dead::waiting(endpoints).await, now());
    for (service, message) in [("orders", "costs 39.80 CAD"), ("payments", "not more than zero")] {
        let cause = causes.iter().find(|cause| cause.service == service).context(service)?;
        same((cause.count, cause.keys, cause.fact.as_str()), (1, 1, StockReserved::NAME))?;
        ensure!(cause.message.contains(message), "{cause:?}");
    }
    Ok(())
}

/// The order is late, and it is said who owes what and why.
async fn waits_with_a_reason(
    shop: &Shop,
    endpoints: &Endpoints,
    order: OrderId,
    fact: Uuid,
) -> Result<()> {
    let admin = shop.world.admin().await?;
    let told = eventually(SOON, "the order is late for the right reason", async || {
        let now = now();
        let filter = OrderFilter { quiet_since: Some(now), ..OrderFilter::default() };
        let found = late_orders(&shop.retailer, &filter).await.map_err(|e| e.to_string())?.0;
        let late = late(endpoints, Ok(&admin), found, now).await;
        let owed = late.iter().find(|late| late.order.order_id == order);
        let (owed, why) = owed.and_then(|late| late.owed.first()).ok_or("nothing is owed")?;
        match why {
            Why::DeadLetter { letter: Some(id), .. } if *id == fact => Ok(owed.sentence(now)),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(told.starts_with("payments owes PaymentAccepted or PaymentRefused since"), "{told}");
    Ok(())
}

/// A repair that does not fit the schema is refused as a whole; the right one is shown first.
async fn repair_fits(shop: &Shop, endpoints: &Endpoints, order: OrderId) -> Result<Vec<GroupPlan>> {
    let registry = shop.world.registry();
    let (key, status) = (Some(order.to_string()), vec!["dead".to_owned()]);
    let filter = Filter { key, status, ..Filter::default() };
    let wrong = Asked { filter: filter.clone(), repair: repair("$.total.amount=much")? };
    match dead::plan(endpoints, &registry, &wrong).await {
        Err(PlanError::Misfit { fault, .. }) => {
            ensure!(fault.to_string().starts_with("/total/amount: "), "{fault}");
        }
        other => bail!("{other:?}"),
    }
    let right = Asked { filter, repair: repair("$.total.amount=3980")? };
    let plans = dead::plan(endpoints, &registry, &right).await?;
    same(plans.iter().map(|it| it.service.as_str()).collect(), vec!["orders", "payments"])?;
    for plan in &plans {
        same((plan.records, plan.keys, plan.repaired), (1, 1, 1))?;
        let change = &plan.samples[0].changes[0];
        same(
            (change.pointer.as_str(), &change.before, &change.after),
            ("/total/amount", &WRONG_MINOR.into(), &3980.into()),
        )?;
    }
    Ok(plans)
}

async fn redrive(shop: &Shop, endpoints: &Endpoints, plan: &GroupPlan) -> Result<Operation> {
    let operator = Operator::new(shop.world.admin().await?, shop.world.prefix());
    let kind = Kind::Redrive {
        select: plan.select.clone(),
        rate: Some(50.0),
        canary: Some(1),
        repair: repair("$.total.amount=3980")?,
    };
    let author = Author { by: "a test".to_owned(), reason: "the total was wrong".to_owned() };
    let command = command(&operator.group(&plan.service), kind, &author);
    operator.send(&command).await?;
    eventually(SOON, "the redrive ends", async || {
        match operation(endpoints, &plan.service, command.operator.id).await {
            Ok(Some(found)) if found.has_ended() => Ok(found),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn nobody_else_saw_it_again(shop: &Shop, order: OrderId, fact: Uuid) -> Result<()> {
    same(shop.facts(topics::STOCK_EVENTS, order).await?, 1)?;
    let admin = shop.world.admin().await?;
    for service in ["orders", "payments"] {
        let topic = format!("{}retail.{service}.dlq.v1", shop.world.prefix());
        let letters = admin.read_all(&topic).await?;
        same(letters.len(), 1)?;
        same(letters[0].header("dlq_id"), Some(fact.to_string().as_str()))?;
        let mut db = shop.world.database(service).await?;
        let seen: i64 =
            sqlx::query_scalar("SELECT count(*) FROM millrace.inbox WHERE event_id = $1")
                .bind(fact)
                .fetch_one(&mut db)
                .await?;
        same(seen, 1)?;
    }
    eventually(SOON, "the audit is complete", async || {
        let audit = format!("{}{}", shop.world.prefix(), ops_topics().audit);
        let records = admin.read_all(&audit).await.map_err(|error| error.to_string())?;
        let event = |payload: &Vec<u8>| {
            let told: serde_json::Value = serde_json::from_slice(payload).ok()?;
            Some(told["event"].as_str()?.to_owned())
        };
        let events = records.iter().filter_map(|record| event(record.payload.as_ref()?));
        let events: Vec<String> = events.collect();
        let count = |wanted: &str| events.iter().filter(|event| *event == wanted).count();
        let counts = ["issued", "accepted", "finished"].map(count);
        if counts == [2; 3] { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await
}

fn now() -> Timestamp {
    time::OffsetDateTime::now_utc().into()
}

/// Where everything of the shop is.
async fn endpoints(shop: &Shop) -> Result<Endpoints> {
    let mut endpoints = shop.retailer.endpoints().clone();
    endpoints.kafka = shop.world.ground().bootstrap_servers().to_owned();
    endpoints.topic_prefix = shop.world.prefix().to_owned();
    endpoints.registry = shop.world.ground().registry_url();
    for service in SERVICES {
        let url = shop.world.database_url(service).await?;
        endpoints.databases.insert(service.to_owned(), url);
    }
    Ok(endpoints)
}

impl Shop {
    /// Says in the name of stock that the mugs are reserved, at a total that no payment accepts.
    async fn reserve_wrongly(&self, order: OrderId, fact: Uuid) -> Result<()> {
        let price = Money::parse("19.90", "CAD".parse()?)?;
        let line = OrderLine { sku: self.mug.clone(), quantity: 2, unit_price: price };
        let reserved = StockReserved {
            order_id: order,
            customer_id: self.customer.clone(),
            store_id: self.store.clone(),
            lines: vec![line],
            total: Money::new(WRONG_MINOR, price.currency()),
        };
        let subject = format!("{}-{}", topics::STOCK_EVENTS.name, StockReserved::NAME);
        let schema = self.world.registry().id_of(&subject, StockReserved::SCHEMA).await?;
        let headers = [
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", fact.to_string()),
            ("ce_source", "/retail/stock".to_owned()),
            ("ce_type", StockReserved::NAME.to_owned()),
            ("ce_subject", order.to_string()),
            ("ce_time", now().to_string()),
            ("ce_sequence", format!("{:020}", 1)),
            ("ce_correlationid", order.to_string()),
            ("content-type", "application/avro".to_owned()),
        ];
        let record = RawRecord {
            partition: None,
            key: Some(order.to_string().into_bytes()),
            payload: Some(frame(schema, &reserved.to_datum())),
            headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
        };
        let topic = self.world.topic(topics::STOCK_EVENTS);
        self.world.admin().await?.produce(&topic, record).await?;
        Ok(())
    }

    /// Waits until the customer has this much.
    async fn paid(&self, balance: &str) -> Result<()> {
        eventually(SOON, "the order is charged once", async || {
            let account = self.retailer.account(&self.customer).await;
            let found = account.map_err(|error| error.to_string())?.balance.amount();
            if found == balance { Ok(()) } else { Err(found) }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_dead_letters_of_somebody_else_is_understood() -> Result<()> {
    let world = World::on(&Ground::shared().await?)?;
    let admin = world.admin().await?;
    let topic = format!("{}orders-dlt", world.prefix());
    world.ground().create_topics(&[TopicSpec::new(topic.as_str(), 1)]).await?;
    for order in [17, 18] {
        let text = |text: String| Some(text.into_bytes());
        let headers = [
            ("kafka_dlt-original-topic", text("orders".to_owned())),
            ("kafka_dlt-original-partition", Some(5_i32.to_be_bytes().to_vec())),
            ("kafka_dlt-original-offset", Some(i64::from(order).to_be_bytes().to_vec())),
            ("kafka_dlt-original-consumer-group", text("billing".to_owned())),
            ("kafka_dlt-exception-fqcn", text("java.lang.IllegalStateException".to_owned())),
            ("kafka_dlt-exception-message", text(format!("order {order} is gone"))),
        ];
        let record = RawRecord {
            partition: Some(0),
            key: text(format!("o-{order}")),
            payload: text(format!(r#"{{"order":{order}}}"#)),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        };
        admin.produce(&topic, record).await?;
    }
    let all = dead::read_topic(&admin, &topic, ORIGINAL_TOPIC, &Filter::default()).await?;
    let letters: Vec<Letter> = all.iter().map(|it| it.letter.clone()).collect();
    let causes = dead::causes(&letters, &BTreeMap::new(), now());
    ensure!(causes.len() == 1 && causes[0].count == 2, "{causes:?}");
    same((letters[1].place().as_str(), letters[1].id.as_str()), ("orders/5/18", "0/1"))?;
    let shown = Shown::of_topic(&world.registry(), &all[1], &all).await?;
    same(
        (shown.content.form, shown.content.value),
        (Form::Json, serde_json::json!({"order": 18})),
    )?;
    world.close().await
}
