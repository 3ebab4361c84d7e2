//! Money in minor units. Never floating point, never a silent overflow, never two currencies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount in the minor units of its currency: 1990 CAD is 19.90 dollars.
///
/// As JSON it is `{"amount":"19.90","currency":"CAD"}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// A currency of ISO 4217 by its three letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Why an amount could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The sum or product does not fit into 64 bits.
    #[error("amount is too large")]
    Overflow,
    /// Two amounts of different currencies met.
    #[error("currency {found} where {wanted} is wanted")]
    Currency {
        /// Currency of the left-hand amount.
        wanted: Currency,
        /// Currency of the other amount.
        found: Currency,
    },
    /// No known currency has this code.
    #[error("unknown currency code")]
    UnknownCurrency,
    /// The text is not a decimal number with the digits of its currency.
    #[error("amount must be a decimal number with {0} digits after the point")]
    Format(u32),
}

impl Money {
    /// An amount of minor units, which may be negative.
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in this currency.
    pub fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The amount in minor units.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.minor < 0
    }

    /// The sum; fails on overflow or when the currencies differ.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The difference; fails on overflow or when the currencies differ.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The amount so many times; fails on overflow.
    pub fn times(self, count: i64) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(count).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The decimal form without the currency: `19.90`.
    pub fn amount(self) -> String {
        let digits = self.currency.digits();
        if digits == 0 {
            return self.minor.to_string();
        }
        let unit = 10_u64.pow(digits);
        let (sign, minor) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs());
        format!("{sign}{}.{:0width$}", minor / unit, minor % unit, width = digits as usize)
    }

    /// Reads the decimal form; as many digits after the point as the currency has, or none.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, MoneyError> {
        let digits = currency.digits();
        let wrong = || MoneyError::Format(digits);
        let (sign, unsigned) = match amount.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", amount),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let point_fits = !unsigned.contains('.') || fraction.len() == digits as usize;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || !point_fits || padded(whole) {
            return Err(wrong());
        }
        let scaled = format!("{sign}{whole}{fraction:0<width$}", width = digits as usize);
        let minor = scaled.parse().map_err(|_| MoneyError::Overflow)?;
        Ok(Self { minor, currency })
    }

    fn same(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::Currency { wanted: self.currency, found: other.currency })
    }
}

fn padded(whole: &str) -> bool {
    whole.len() > 1 && whole.starts_with('0')
}

/// Active codes of ISO 4217, grouped by the digits after the point.
const CODES: &[(u32, &str)] = &[
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD \
         CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP \
         GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD \
         LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB \
         PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC \
         SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG",
    ),
];

impl Currency {
    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII codes are constructed")
    }

    /// Digits after the decimal point.
    pub fn digits(self) -> u32 {
        place(self.0).map_or(2, |place| u32::from(DIGITS[place].saturating_sub(1)))
    }
}

/// Digits and one for each code of three letters, 0 for one that is no currency: every amount that is
/// read asks.
static DIGITS: [u8; LETTERS * LETTERS * LETTERS] = digits();
const LETTERS: usize = 26;

const fn digits() -> [u8; LETTERS * LETTERS * LETTERS] {
    let mut all = [0; LETTERS * LETTERS * LETTERS];
    let mut group = 0;
    while group < CODES.len() {
        let (digits, codes) = (CODES[group].0, CODES[group].1.as_bytes());
        let mut at = 0;
        while at < codes.len() {
            if let Some(place) = place([codes[at], codes[at + 1], codes[at + 2]]) {
                all[place] = digits as u8 + 1;
            }
            at += 4;
        }
        group += 1;
    }
    all
}

const fn place(code: [u8; 3]) -> Option<usize> {
    let (mut place, mut at) = (0, 0);
    while at < code.len() {
        if !code[at].is_ascii_uppercase() {
            return None;
        }
        place = place * LETTERS + (code[at] - b'A') as usize;
        at += 1;
    }
    Some(place)
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(code: &str) -> Result<Self, MoneyError> {
        let letters = <[u8; 3]>::try_from(code.as_bytes());
        let letters = letters.map_err(|_| MoneyError::UnknownCurrency)?;
        let known = place(letters).is_some_and(|place| DIGITS[place] > 0);
        if known { Ok(Self(letters)) } else { Err(MoneyError::UnknownCurrency) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decimal {
    amount: String,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Decimal { amount: self.amount(), currency: self.currency }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let decimal = Decimal::deserialize(deserializer)?;
        Self::parse(&decimal.amount, decimal.currency).map_err(serde::de::Error::custom)
    }
}
