//! A schema reduced to what its values look like in bytes: logical types are what they are made of.
//! No I/O, no values.

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, RecordField, UnionSchema, UuidSchema};

/// What a value of a schema looks like; logical types look as what they are made of.
pub(super) enum Shape<'s> {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    String,
    Uuid,
    Bytes,
    Fixed(usize),
    Enum(&'s [String]),
    Array(&'s Schema),
    Map(&'s Schema),
    Union(&'s UnionSchema),
    Record(&'s [RecordField]),
    Ref(&'s Name),
}

pub(super) fn shape(schema: &Schema) -> Shape<'_> {
    match schema {
        Schema::Null => Shape::Null,
        Schema::Boolean => Shape::Boolean,
        Schema::Int | Schema::Date | Schema::TimeMillis => Shape::Int,
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Shape::Long,
        Schema::Float => Shape::Float,
        Schema::Double => Shape::Double,
        Schema::String => Shape::String,
        Schema::Uuid(UuidSchema::String) => Shape::Uuid,
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Shape::Bytes,
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => Shape::Bytes,
            InnerDecimalSchema::Fixed(fixed) => Shape::Fixed(fixed.size),
        },
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            Shape::Fixed(fixed.size)
        }
        Schema::Enum(symbols) => Shape::Enum(&symbols.symbols),
        Schema::Array(array) => Shape::Array(&array.items),
        Schema::Map(map) => Shape::Map(&map.types),
        Schema::Union(union) => Shape::Union(union),
        Schema::Record(record) => Shape::Record(&record.fields),
        Schema::Ref { name } => Shape::Ref(name),
    }
}

/// The name by which Avro tells the branches of a union apart.
pub(super) fn branch_name(schema: &Schema) -> String {
    match schema {
        Schema::Ref { name } => name.to_string(),
        named if named.name().is_some() => named.name().map(Name::to_string).unwrap_or_default(),
        other => match shape(other) {
            Shape::Null => "null",
            Shape::Boolean => "boolean",
            Shape::Int => "int",
            Shape::Long => "long",
            Shape::Float => "float",
            Shape::Double => "double",
            Shape::String | Shape::Uuid => "string",
            Shape::Bytes => "bytes",
            Shape::Array(_) => "array",
            Shape::Map(_) => "map",
            _ => "fixed",
        }
        .to_owned(),
    }
}
