//! Facts of a chain: a payment that goes from step to step, each under a name and a topic of its own.

use std::marker::PhantomData;

use millrace::contract::{Cleanup, DecodeError, Reader, Topic, Writer};
use millrace::{Decide, Emit, Envelope, Event, Poison, Service};
use sales::domain::Sales;
use sales::store::Keys;
use schemas::{OrderId, PaymentAccepted};

/// Services of a chain.
pub(crate) const HOPS: usize = 5;

/// Names of the services.
pub(crate) const SERVICES: [&str; HOPS] = ["hop-1", "hop-2", "hop-3", "hop-4", "hop-5"];

/// What goes from one to the next: the first of them comes from outside.
pub(crate) const NAMES: [&str; HOPS + 1] = [
    "bench.chain.Step0",
    "bench.chain.Step1",
    "bench.chain.Step2",
    "bench.chain.Step3",
    "bench.chain.Step4",
    "bench.chain.Step5",
];

pub(crate) const SCHEMAS: [&str; HOPS + 1] =
    [schema!(0), schema!(1), schema!(2), schema!(3), schema!(4), schema!(5)];

pub(crate) const TOPICS: [Topic; HOPS + 1] = [
    topic("bench.step0.events.v1", "outside"),
    topic("bench.step1.events.v1", SERVICES[0]),
    topic("bench.step2.events.v1", SERVICES[1]),
    topic("bench.step3.events.v1", SERVICES[2]),
    topic("bench.step4.events.v1", SERVICES[3]),
    topic("bench.step5.events.v1", SERVICES[4]),
];

macro_rules! schema {
    ($number:literal) => {
        concat!(
            r#"{"type":"record","name":"Step"#,
            $number,
            r#"","namespace":"bench.chain","fields":[
                {"name":"order_id","type":{"type":"string","logicalType":"uuid"}},
                {"name":"customer_id","type":"string"},
                {"name":"store_id","type":"string"},
                {"name":"lines","type":{"type":"array","items":{
                    "type":"record","name":"OrderLine","namespace":"retail","fields":[
                        {"name":"sku","type":"string"},
                        {"name":"quantity","type":"long"},
                        {"name":"unit_price","type":{
                            "type":"record","name":"Money","namespace":"retail","fields":[
                                {"name":"amount","type":"long"},
                                {"name":"currency","type":"string"}]}}]}}},
                {"name":"amount","type":"retail.Money"}]}"#
        )
    };
}
use schema;

const fn topic(name: &'static str, owner: &'static str) -> Topic {
    let cleanup = Cleanup::Delete { retention_ms: 604_800_000 };
    Topic { name, owner, partitions: 6, cleanup, key: "orderId", readers: &SERVICES }
}

/// Where a fact stands in the chain.
pub(crate) trait Place: std::fmt::Debug + Clone + Send + Sync + 'static {
    const NUMBER: usize;
    type Next: Place;
}

#[derive(Debug, Clone)]
pub(crate) struct At<const N: usize>;

macro_rules! places {
    ($($number:literal then $next:literal)*) => {
        $(impl Place for At<$number> {
            const NUMBER: usize = $number;
            type Next = At<$next>;
        })*
    };
}

// The last one leads nowhere.
places!(0 then 1 1 then 2 2 then 3 3 then 4 4 then 5 5 then 5);

/// A payment at a place of the chain.
#[derive(Debug, Clone)]
pub(crate) struct Step<P>(PaymentAccepted, PhantomData<P>);

impl<P: Place> Event for Step<P> {
    const NAME: &'static str = NAMES[P::NUMBER];
    const TOPIC: &'static Topic = &TOPICS[P::NUMBER];
    const SCHEMA: &'static str = SCHEMAS[P::NUMBER];
    type Key = OrderId;

    fn key(&self) -> &OrderId {
        self.0.key()
    }

    fn encode(&self, out: &mut Writer<'_>) {
        self.0.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(PaymentAccepted::decode(input)?, PhantomData))
    }
}

/// The work of sales: the sale's row, its inbox and its outbox.
impl<P: Place> Decide<Step<P>> for Sales {
    fn keys(fact: &Envelope<Step<P>>, keys: &mut Keys) {
        keys.orders.insert(*fact.event.key());
    }

    fn decide(&mut self, fact: &Envelope<Step<P>>, emit: &mut Emit) -> Result<(), Poison> {
        let Step(paid, _) = &fact.event;
        if self.confirm(paid, emit.now()).map_err(Poison::new)?.is_some() {
            emit.fact(Step::<P::Next>(paid.clone(), PhantomData));
        }
        Ok(())
    }
}

/// The services, in order.
pub(crate) fn services() -> [Service; HOPS] {
    [
        service::<At<0>>(),
        service::<At<1>>(),
        service::<At<2>>(),
        service::<At<3>>(),
        service::<At<4>>(),
    ]
}

fn service<P: Place>() -> Service {
    Service::named(SERVICES[P::NUMBER])
        .about("One hop of a chain that is measured.")
        .migrations(&sales::MIGRATIONS)
        .rows::<Sales>()
        .on::<Step<P>>()
        .emits::<Step<P::Next>>()
        .build()
}
