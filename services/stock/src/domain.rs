//! Decisions on stock: a reservation takes all lines of an order or none, a release is its exact
//! inverse, and a release that comes first leaves a tombstone. Synchronous and total.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{OrderId, OrderLine, OrderPlaced, ReleasedLine, ShortLine, Sku, StoreId};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The largest quantity of one receipt.
pub const RECEIPT_QUANTITY_MAX: i64 = 1_000_000_000;

/// The most a store may have of one article.
pub const ON_HAND_MAX: i64 = 1_000_000_000_000;

/// Where an article is: a store's place for it.
pub type Place = (StoreId, Sku);

/// What a store has of one article.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// Units in the store.
    pub on_hand: i64,
    /// Units of these that are promised to orders.
    pub reserved: i64,
}

/// What was decided for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Where it stands.
    pub state: State,
    /// The store of the order.
    pub store: StoreId,
    /// What is or was held; empty when nothing ever was.
    pub lines: Vec<ReleasedLine>,
}

/// Where a reservation stands. The only way from one to another is from reserved to released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All lines are held.
    Reserved,
    /// The store had too little, so nothing is held.
    Unavailable,
    /// What was held has been given back.
    Released,
    /// The release came first; nothing may be held any more.
    Tombstone,
}

/// One change of a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The fact or receipt that caused it.
    pub cause: Uuid,
    /// The order it was for, if any.
    pub order: Option<OrderId>,
    /// What changed.
    pub place: Place,
    /// Why.
    pub kind: Kind,
    /// Units added to what is on hand.
    pub on_hand: i64,
    /// Units added to what is reserved.
    pub reserved: i64,
}

/// Why a level changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goods came in.
    Receipt,
    /// An order took hold of units.
    Reserve,
    /// An order let go of them.
    Release,
}

/// The answer to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Every line is held.
    All,
    /// Nothing is held, because these are short.
    Short(Vec<ShortLine>),
    /// It was decided before; there is nothing to say.
    Before,
}

/// Why goods cannot come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The quantity of a receipt is out of bounds.
    #[error("quantity must be from 1 to {RECEIPT_QUANTITY_MAX}")]
    Quantity,
    /// The store would have more than can be counted.
    #[error("a store may have at most {ON_HAND_MAX} units of an article")]
    TooMuch,
}

/// An order that no cart of ours can have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lines of order {0} are none, or not sound, or do not come to its total")]
pub struct Invalid(pub OrderId);

/// The levels and reservations in hand.
#[derive(Debug, Default)]
pub struct Shelf {
    levels: BTreeMap<Place, Level>,
    reservations: BTreeMap<OrderId, Reservation>,
    decided: BTreeSet<OrderId>,
    entries: Vec<Entry>,
}

impl Level {
    /// Units that an order can still take.
    pub fn available(self) -> i64 {
        self.on_hand - self.reserved
    }
}

impl State {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Unavailable => "unavailable",
            Self::Released => "released",
            Self::Tombstone => "tombstone",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Reserved, Self::Unavailable, Self::Released, Self::Tombstone]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl Kind {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Reserve => "reserve",
            Self::Release => "release",
        }
    }
}

impl Shelf {
    /// Takes the rows that were read; a place without a row has nothing.
    pub fn new(
        levels: BTreeMap<Place, Level>,
        reservations: BTreeMap<OrderId, Reservation>,
    ) -> Self {
        Self { levels, reservations, ..Self::default() }
    }

    /// What a place has.
    pub fn level(&self, place: &Place) -> Level {
        self.levels.get(place).copied().unwrap_or_default()
    }

    /// What was decided for an order.
    pub fn reservation(&self, order: OrderId) -> Option<&Reservation> {
        self.reservations.get(&order)
    }

    /// Goods come in.
    pub fn receive(&mut self, cause: Uuid, place: &Place, quantity: i64) -> Result<Level, Refusal> {
        if !(1..=RECEIPT_QUANTITY_MAX).contains(&quantity) {
            return Err(Refusal::Quantity);
        }
        if self.level(place).on_hand + quantity > ON_HAND_MAX {
            return Err(Refusal::TooMuch);
        }
        let place = place.clone();
        let level = self.level(&place);
        let kind = Kind::Receipt;
        self.apply(Entry { cause, order: None, place, kind, on_hand: quantity, reserved: 0 });
        Ok(Level { on_hand: level.on_hand + quantity, ..level })
    }

    /// Holds all lines of an order, or none.
    pub fn reserve(&mut self, cause: Uuid, placed: &OrderPlaced) -> Result<Reserved, Invalid> {
        let order = placed.order_id;
        if self.reservations.contains_key(&order) {
            return Ok(Reserved::Before);
        }
        if !OrderLine::make_up(&placed.lines, placed.total) {
            return Err(Invalid(order));
        }
        let wanted = quantities(&placed.lines).ok_or(Invalid(order))?;
        let place = |sku: &Sku| (placed.store_id.clone(), sku.clone());
        let short = |(sku, wanted): (&Sku, &i64)| {
            let available = self.level(&place(sku)).available();
            let line = || ShortLine { sku: sku.clone(), wanted: *wanted, available };
            (available < *wanted).then(line)
        };
        let missing: Vec<ShortLine> = wanted.iter().filter_map(short).collect();
        if !missing.is_empty() {
            self.decide(order, State::Unavailable, &placed.store_id, vec![]);
            return Ok(Reserved::Short(missing));
        }
        for (sku, quantity) in &wanted {
            let (order, place, kind) = (Some(order), place(sku), Kind::Reserve);
            self.apply(Entry { cause, order, place, kind, on_hand: 0, reserved: *quantity });
        }
        let line = |(sku, quantity)| ReleasedLine { sku, quantity };
        let lines = wanted.into_iter().map(line).collect();
        self.decide(order, State::Reserved, &placed.store_id, lines);
        Ok(Reserved::All)
    }

    /// Gives back what the order held and says what that was; `None` when it held nothing. An
    /// order that is not known yet will hold nothing later either.
    pub fn release(
        &mut self,
        cause: Uuid,
        order: OrderId,
        store: &StoreId,
    ) -> Option<(StoreId, Vec<ReleasedLine>)> {
        let Some(Reservation { state, store, lines }) = self.reservations.get(&order).cloned()
        else {
            self.decide(order, State::Tombstone, store, vec![]);
            return None;
        };
        if state != State::Reserved {
            return None;
        }
        for line in &lines {
            let (order, place) = (Some(order), (store.clone(), line.sku.clone()));
            let (kind, reserved) = (Kind::Release, -line.quantity);
            self.apply(Entry { cause, order, place, kind, on_hand: 0, reserved });
        }
        self.decide(order, State::Released, &store, lines.clone());
        Some((store, lines))
    }

    /// Levels that changed.
    pub fn changed_levels(&self) -> impl Iterator<Item = (&Place, Level)> {
        let changed: BTreeSet<&Place> = self.entries.iter().map(|entry| &entry.place).collect();
        changed.into_iter().map(|place| (place, self.level(place)))
    }

    /// Reservations that changed.
    pub fn changed_reservations(&self) -> impl Iterator<Item = (OrderId, &Reservation)> {
        self.decided.iter().filter_map(|order| Some((*order, self.reservations.get(order)?)))
    }

    /// Entries that the ledger does not have yet.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn decide(&mut self, order: OrderId, state: State, store: &StoreId, lines: Vec<ReleasedLine>) {
        self.reservations.insert(order, Reservation { state, store: store.clone(), lines });
        self.decided.insert(order);
    }

    /// The only place where a level changes, so that no change is without its entry.
    fn apply(&mut self, entry: Entry) {
        let level = self.levels.entry(entry.place.clone()).or_default();
        level.on_hand += entry.on_hand;
        level.reserved += entry.reserved;
        self.entries.push(entry);
    }
}

/// What an order wants of each article; `None` when it cannot be counted.
fn quantities(lines: &[OrderLine]) -> Option<BTreeMap<Sku, i64>> {
    let mut wanted = BTreeMap::<Sku, i64>::new();
    for line in lines {
        let sum = wanted.entry(line.sku.clone()).or_default();
        *sum = sum.checked_add(line.quantity)?;
    }
    Some(wanted)
}
