//! The payment provider: what it is asked, how it is called over HTTP, and what its answers mean. It
//! decides nothing; an answer that does not fit what was asked is none.

use millrace::ask::{Client, Reply};
use millrace::{Answers, Ask, AskError, AskPolicy, Partner};
use schemas::{CustomerId, Money, OrderId, OrderLine, RefusalReason, StoreId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::settings::{self, Settings};

/// An order is to be charged. Carries on what sales needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeAsk {
    /// The fact that led to it.
    pub cause: Uuid,
    /// The order.
    pub order_id: OrderId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// Where it was ordered.
    pub store_id: StoreId,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// What it costs.
    pub amount: Money,
}

/// The charge of an order is to be given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAsk {
    /// The fact that led to it.
    pub cause: Uuid,
    /// The order.
    pub order_id: OrderId,
    /// Who gets it.
    pub customer_id: CustomerId,
    /// Where it was ordered.
    pub store_id: StoreId,
    /// What was charged.
    pub amount: Money,
}

/// What the provider says of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChargeAnswer {
    /// This amount was taken.
    Accepted(Money),
    /// Nothing was taken, and nothing will be.
    Refused(RefusalReason),
}

/// The provider has given this amount back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAnswer(pub Money);

/// A provider over HTTP.
pub struct HttpProvider(Client);

/// What goes to the provider: `{order, amount, currency, customer}`.
#[derive(Serialize)]
struct Call<'a> {
    order: OrderId,
    #[serde(flatten)]
    amount: Money,
    customer: &'a CustomerId,
}

/// What the provider says of a charge or a refund, as an answer or in an event.
#[derive(Debug, Clone, Deserialize)]
pub struct Said {
    /// The order it speaks of.
    pub order: OrderId,
    /// What became of it.
    pub status: Status,
    /// How much was moved.
    #[serde(flatten)]
    pub amount: Option<Money>,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// What became of a charge or a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Done.
    Accepted,
    /// Not done, for good.
    Refused,
    /// Not decided yet.
    Pending,
}

/// The idempotency key of the charge of an order.
pub fn charge_key(order: OrderId) -> String {
    format!("charge-{order}")
}

/// The idempotency key of the refund of an order.
pub fn refund_key(order: OrderId) -> String {
    format!("refund-{order}")
}

impl Ask for ChargeAsk {
    const NAME: &'static str = "payments.charge";
    type Answer = ChargeAnswer;

    fn key(&self) -> String {
        charge_key(self.order_id)
    }

    fn stream(&self) -> String {
        self.order_id.to_string()
    }
}

impl Ask for RefundAsk {
    const NAME: &'static str = "payments.refund";
    type Answer = RefundAnswer;

    fn key(&self) -> String {
        refund_key(self.order_id)
    }

    fn stream(&self) -> String {
        self.order_id.to_string()
    }
}

impl Partner for HttpProvider {
    const NAME: &'static str = "payment_provider";
    type Settings = Settings;

    fn connect(settings: &Settings) -> Result<Option<Self>, String> {
        let used = settings.provider == settings::Provider::Http;
        if used && settings.provider_secret.expose().is_empty() {
            return Err("provider_secret is empty; the provider's events need one".to_owned());
        }
        if !used && settings.provider_url.is_empty() {
            return Ok(None);
        }
        let token = settings.provider_token.clone();
        let client = Client::new(&settings.provider_url, token, AskPolicy::DEFAULT.deadline);
        client.map(|client| Some(Self(client))).map_err(|error| format!("provider_url {error}"))
    }
}

impl Answers<ChargeAsk> for HttpProvider {
    async fn ask(&self, ask: &ChargeAsk, key: &str) -> Result<ChargeAnswer, AskError> {
        let (order, amount, customer) = (ask.order_id, ask.amount, &ask.customer_id);
        let reply = self.0.post("charges", key, &Call { order, amount, customer }).await?;
        let said = said(reply, order, amount)?;
        said.of_charge().ok_or(AskError::Pending)
    }
}

impl Answers<RefundAsk> for HttpProvider {
    async fn ask(&self, ask: &RefundAsk, key: &str) -> Result<RefundAnswer, AskError> {
        let (order, amount, customer) = (ask.order_id, ask.amount, &ask.customer_id);
        let reply = self.0.post("refunds", key, &Call { order, amount, customer }).await?;
        let said = said(reply, order, amount)?;
        match said.status {
            Status::Accepted => Ok(RefundAnswer(amount)),
            Status::Pending => Err(AskError::Pending),
            // What was taken must be given back: somebody has to look, and it is asked again.
            Status::Refused => Err(AskError::Refused("the refund is refused".to_owned())),
        }
    }
}

impl Said {
    /// What it means for a charge; `None` while it is not decided.
    pub fn of_charge(&self) -> Option<ChargeAnswer> {
        match (self.status, self.amount) {
            (Status::Accepted, Some(amount)) => Some(ChargeAnswer::Accepted(amount)),
            (Status::Refused, _) => Some(ChargeAnswer::Refused(self.refusal())),
            _ => None,
        }
    }

    /// What it means for a refund; `None` while it is not given.
    pub fn of_refund(&self) -> Option<RefundAnswer> {
        self.amount.filter(|_| self.status == Status::Accepted).map(RefundAnswer)
    }

    fn refusal(&self) -> RefusalReason {
        let said = self.reason.as_deref().unwrap_or_default();
        let known = RefusalReason::ALL.iter().find(|reason| reason.as_str() == said);
        known.copied().unwrap_or_default()
    }
}

/// What a reply says of exactly what was asked.
fn said(reply: Reply, order: OrderId, amount: Money) -> Result<Said, AskError> {
    match reply.status {
        200 | 202 => {}
        429 => return Err(AskError::Away("it has too much to do (429)".to_owned())),
        status @ 400..=499 => return Err(AskError::Refused(format!("it answered {status}"))),
        status => return Err(AskError::Away(format!("it answered {status}"))),
    }
    let said: Said = serde_json::from_value(reply.body)
        .map_err(|error| AskError::Away(format!("its answer cannot be read: {error}")))?;
    let moved = said.status != Status::Accepted || said.amount == Some(amount);
    match said.order == order && moved {
        true => Ok(said),
        false => Err(AskError::Away("its answer is about something else".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_answer_to_what_was_asked_is_one() {
        let order = OrderId::new(Uuid::from_u128(7));
        let amount = Money::parse("19.90", "CAD".parse().unwrap()).unwrap();
        let ours = |status: &str, amount: &str, currency: &str| json!({ "order": order, "status": status, "amount": amount, "currency": currency });
        let right = ours("accepted", "19.90", "CAD");
        let stranger = OrderId::new(Uuid::from_u128(8));
        let bare = json!({ "order": order, "status": "accepted" });
        let cases = [
            (200, right.clone(), "accepted"),
            (202, ours("pending", "19.90", "CAD"), "pending"),
            (200, json!({ "order": order, "status": "refused", "reason": "NO" }), "refused"),
            (200, ours("accepted", "19.91", "CAD"), "away"),
            (200, ours("accepted", "19.90", "EUR"), "away"),
            (200, bare, "away"),
            (200, json!({ "order": stranger, "status": "refused" }), "away"),
            (200, json!({ "order": order, "status": "perhaps" }), "away"),
            (200, json!(null), "away"),
            (500, right.clone(), "away"),
            (302, right.clone(), "away"),
            (429, right.clone(), "away"),
            (401, right.clone(), "not taken"),
            (422, right, "not taken"),
        ];
        for (status, body, wanted) in cases {
            let told = format!("{status} {body}");
            let found = match said(Reply { status, body }, order, amount) {
                Ok(said) => match said.of_charge() {
                    Some(ChargeAnswer::Accepted(taken)) if taken == amount => "accepted",
                    Some(ChargeAnswer::Accepted(_)) => "another amount",
                    Some(ChargeAnswer::Refused(_)) => "refused",
                    None => "pending",
                },
                Err(AskError::Away(_)) => "away",
                Err(AskError::Refused(_)) => "not taken",
                Err(AskError::Pending) => "pending",
            };
            assert_eq!(found, wanted, "{told}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_the_key() {
        let http = |url: &str, secret: &str| Settings {
            provider: settings::Provider::Http,
            provider_url: url.to_owned(),
            provider_secret: secret.into(),
            ..Settings::default()
        };
        for (settings, wanted) in [
            (http("", "s"), "provider_url"),
            (http("ftp://there", "s"), "provider_url"),
            (http("http://there", ""), "provider_secret"),
        ] {
            let refused = HttpProvider::connect(&settings).err().unwrap();
            assert!(refused.starts_with(wanted), "{refused}");
        }
        assert!(HttpProvider::connect(&http("http://there", "s")).unwrap().is_some());
        assert!(HttpProvider::connect(&Settings::default()).unwrap().is_none());
        let before = Settings { provider: settings::Provider::Balance, ..http("http://there", "") };
        assert!(HttpProvider::connect(&before).unwrap().is_some());
    }
}
