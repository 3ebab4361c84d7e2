//! Walks a datum by its writer's schema without building anything. The Avro library takes the end
//! of the input for null, ignores what is left over, and can be made to build gigabytes from a
//! few bytes; what passes here it can read as it stands.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, UuidSchema};

use super::read::{DecodeError, Reader};

/// A datum may hold at most this many values, counting those that take no bytes.
const VALUES_MAX: usize = 20_000;

/// Demands that the datum is exactly one value of the schema, within the limits of [`Reader`].
/// The schema must not be recursive.
pub(super) fn skim(
    schema: &Schema,
    names: &HashMap<Name, &Schema>,
    datum: &[u8],
) -> Result<(), DecodeError> {
    let mut skim = Skim { input: Reader::new(datum)?, names, values: 0 };
    skim.value(schema)?;
    skim.input.finish()
}

struct Skim<'a> {
    input: Reader<'a>,
    names: &'a HashMap<Name, &'a Schema>,
    values: usize,
}

impl Skim<'_> {
    fn value(&mut self, schema: &Schema) -> Result<(), DecodeError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(self.input.invalid("datum has too many values"));
        }
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => self.input.boolean().map(drop),
            Schema::Int | Schema::Date | Schema::TimeMillis => self.input.int().map(drop),
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => self.input.long().map(drop),
            Schema::Float => self.input.fixed(4).map(drop),
            Schema::Double => self.input.fixed(8).map(drop),
            Schema::String | Schema::Uuid(UuidSchema::String) => self.input.string().map(drop),
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => {
                self.input.bytes().map(drop)
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => self.input.bytes().map(drop),
                InnerDecimalSchema::Fixed(fixed) => self.input.fixed(fixed.size).map(drop),
            },
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => self.input.fixed(fixed.size).map(drop),
            Schema::Enum(symbols) => self.input.symbol(symbols.symbols.len()).map(drop),
            Schema::Array(array) => self.blocks(|skim| skim.value(&array.items)),
            Schema::Map(map) => self.blocks(|skim| {
                skim.input.string()?;
                skim.value(&map.types)
            }),
            Schema::Union(union) => {
                let branch = self.input.symbol(union.variants().len())?;
                self.value(&union.variants()[branch])
            }
            Schema::Record(record) => {
                record.fields.iter().try_for_each(|field| self.value(&field.schema))
            }
            Schema::Ref { name } => match self.names.get(name) {
                Some(schema) => self.value(schema),
                None => Err(self.input.invalid("schema names an unknown type")),
            },
        }
    }

    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut seen = 0;
        loop {
            let (count, end) = self.input.block(seen)?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                item(self)?;
            }
            self.input.block_end(end)?;
            seen += count;
        }
    }
}
