//! Seeded damage: what happens to bytes on the way, and what somebody does to them on purpose. The
//! same seed and number give the same input on every machine.

/// No input grows beyond this many bytes, a little over what any decoder takes.
const INPUT_BYTES_MAX: usize = 300 * 1024;

/// Numbers at which lengths, counts and times change their meaning.
const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    63,
    64,
    -64,
    1_000,
    1_001,
    -1_000,
    -1_001,
    20_001,
    65_536,
    65_537,
    -65_537,
    262_145,
    1 << 20,
    i32::MAX as i64,
    i32::MAX as i64 + 1,
    i32::MIN as i64 - 1,
    1 << 40,
    -62_135_596_800_000_001,
    253_402_300_800_000_000,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

/// Numbers that no writer spells so.
const OVER_LONG: &[&[u8]] =
    &[&[0x80, 0x00], &[0xff; 10], &[0x80; 11], &[0x80, 0x80, 0x00], b"\xff\xff\xff\xff\xff\x00"];

/// Pieces of schemas and of the texts of headers.
const WORDS: &[&str] = &[
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[",
    "{\"type\":\"array\",\"items\":",
    "{\"type\":\"map\",\"values\":",
    "{\"name\":\"f\",\"type\":\"R\"},",
    "\"retail.order.OrderPlaced\"",
    "\"aliases\":[\"retail.order.OrderPlaced\"],",
    "\"logicalType\":\"decimal\",\"precision\":99999999999,\"scale\":3,",
    "\"size\":9223372036854775807,",
    "\"size\":-1,",
    "\"default\":",
    "\"namespace\":\"a.b\",",
    "{\"\":0},",
    "[0],",
    "[\"null\"],",
    "{\"a\":{\"b\":[",
    ",\"doc\":[[0],",
    "[\"null\",",
    "[[[[",
    "]]]]",
    "{\"",
    "}",
    "\"long\"",
    "\u{0}",
    "\u{202e}",
    "9999",
    "-0",
];

/// One of many inputs: a seed of the corpus, damaged.
pub(crate) fn input(corpus: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let mut chance = Chance(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    chance.next();
    let mut bytes = chance.of(corpus).clone();
    for _ in 0..chance.below(5) {
        damage(&mut bytes, &mut chance, corpus);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn damage(bytes: &mut Vec<u8>, chance: &mut Chance, corpus: &[Vec<u8>]) {
    let at = chance.below(bytes.len() + 1);
    let end = at + chance.below(bytes.len() - at + 1);
    match chance.below(13) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        2 if at < bytes.len() => bytes[at] = chance.next() as u8,
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => put(bytes, at, &varint(*chance.of(NUMBERS))),
        6 => put(bytes, at, chance.of::<&[u8]>(OVER_LONG)),
        7 => put(bytes, at, &block(chance)),
        8 => put(bytes, at, chance.of::<&str>(WORDS).as_bytes()),
        9 => {
            let other = chance.of(corpus);
            let tail = other[chance.below(other.len() + 1)..].to_vec();
            bytes.truncate(at);
            bytes.extend(tail);
        }
        10 => {
            let piece = bytes[at..end].to_vec();
            put(bytes, at, &piece.repeat(1 + chance.below(16)));
        }
        11 if chance.below(64) == 0 => {
            let piece = match chance.below(2) {
                0 => bytes[at..end.min(at + 64)].to_vec(),
                _ => chance.of::<&str>(WORDS).as_bytes().to_vec(),
            };
            let times = INPUT_BYTES_MAX / piece.len().max(1);
            put(bytes, at, &piece.repeat(chance.below(times + 1)));
        }
        _ => {
            let number = varint(*chance.of(NUMBERS));
            let last = bytes.len().min(at + number.len());
            bytes.splice(at..last, number);
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// The head of a block with its length in bytes, as long as it says or not.
fn block(chance: &mut Chance) -> Vec<u8> {
    let count = chance.of(NUMBERS).wrapping_abs().wrapping_neg();
    [varint(count), varint(*chance.of(NUMBERS))].concat()
}

fn varint(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    millrace_contract::Writer::new(&mut bytes).long(value);
    bytes
}

/// SplitMix64: chance that is the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
