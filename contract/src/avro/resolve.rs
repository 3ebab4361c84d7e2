//! Reads what another version of a schema wrote: the slow path, for records whose writer schema
//! is not ours. The datum is resolved once and written again in our schema, so that there is one
//! decoder for each type. Never trusts the writer: see `skim`.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{Name, ResolvedSchema};
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, util};

use super::read::DecodeError;
use super::skim::skim;

/// A writer schema may have at most this many bytes of JSON.
const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// A writer schema may have at most this many fields, those of nested records included.
const SCHEMA_FIELDS_MAX: usize = 500;
/// A writer schema may open at most this many JSON objects and arrays: read, each holds a hundred
/// times the bytes it takes to write.
const SCHEMA_PARTS_MAX: usize = 10_000;
/// What the Avro library may allocate for one length prefix.
const ALLOCATION_BYTES_MAX: usize = 1024 * 1024;

/// Why a schema is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The JSON text is over 256 KiB.
    #[error("schema of {0} bytes is over the limit of {SCHEMA_BYTES_MAX}")]
    TooLarge(usize),
    /// The JSON text has more objects and arrays than 500 fields can need.
    #[error("schema has more than {SCHEMA_PARTS_MAX} objects and arrays")]
    TooManyParts,
    /// The text is not an Avro schema.
    #[error("text is not an Avro schema: {0}")]
    Syntax(String),
    /// The schema is not one of a record.
    #[error("schema is not a record")]
    NotARecord,
    /// The schema has more than 500 fields.
    #[error("schema has more than {SCHEMA_FIELDS_MAX} fields")]
    TooManyFields,
    /// A type contains itself: a short datum could then nest without end and abort the process.
    #[error("type {0} contains itself")]
    Recursive(String),
    /// The writer describes another record than the reader wants.
    #[error("schema is of record {found} where {wanted} is wanted")]
    OtherRecord {
        /// Full name in the reader schema.
        wanted: String,
        /// Full name in the writer schema.
        found: String,
    },
}

/// Bounds the Avro library for the whole process, and makes it hand UUIDs to serde as text.
/// Idempotent; called by everything here that uses it, and the first call wins.
pub fn prepare() {
    util::max_allocation_bytes(ALLOCATION_BYTES_MAX);
    util::set_serde_human_readable(true);
}

/// Whether a datum written with this schema may be looked at: bounded, a record, not recursive.
pub fn check_writer_schema(json: &str) -> Result<(), ResolveError> {
    parse(json).map(|_| ())
}

/// Full name of the record that a schema describes; fails as [`check_writer_schema`] does.
pub fn record_name(json: &str) -> Result<String, ResolveError> {
    Ok(parse(json)?.1)
}

/// The way from one writer schema to one reader schema of the same record.
#[derive(Debug)]
pub struct Resolution {
    writer: Schema,
    reader: Schema,
}

impl Resolution {
    /// Checks both schemas; they must describe the record of the same full name.
    pub fn new(writer_json: &str, reader_json: &str) -> Result<Self, ResolveError> {
        let (writer, found) = parse(writer_json)?;
        let (reader, wanted) = parse(reader_json)?;
        if found != wanted {
            return Err(ResolveError::OtherRecord { wanted, found });
        }
        Ok(Self { writer, reader })
    }

    /// Reads a datum strictly with the writer schema and writes it again in the reader schema.
    pub fn translate(&self, datum: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let unresolved = |error: apache_avro::Error| DecodeError::Unresolved(error.to_string());
        let names = ResolvedSchema::try_from(&self.writer).map_err(unresolved)?;
        skim(&self.writer, names.get_names(), datum)?;
        let value = GenericDatumReader::builder(&self.writer)
            .resolved_writer_schemata(names)
            .reader_schema(&self.reader)
            .build()
            .and_then(|reader| reader.read_value(&mut &*datum))
            .map_err(unresolved)?;
        GenericDatumWriter::builder(&self.reader)
            .build()
            .and_then(|writer| writer.write_value_to_vec(value))
            .map_err(unresolved)
    }
}

pub(super) fn parse(json: &str) -> Result<(Schema, String), ResolveError> {
    prepare();
    if json.len() > SCHEMA_BYTES_MAX {
        return Err(ResolveError::TooLarge(json.len()));
    }
    if json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() > SCHEMA_PARTS_MAX {
        return Err(ResolveError::TooManyParts);
    }
    let schema = Schema::parse_str(json).map_err(|e| ResolveError::Syntax(e.to_string()))?;
    let Schema::Record(record) = &schema else { return Err(ResolveError::NotARecord) };
    let name = record.name.to_string();
    if walk(&schema, &mut Vec::new())? > SCHEMA_FIELDS_MAX {
        return Err(ResolveError::TooManyFields);
    }
    Ok((schema, name))
}

/// Counts the fields. A type is defined where it is first named, so that a type which contains
/// itself names one that is still open.
fn walk<'s>(schema: &'s Schema, open: &mut Vec<&'s Name>) -> Result<usize, ResolveError> {
    match schema {
        Schema::Ref { name } if open.contains(&name) => {
            Err(ResolveError::Recursive(name.to_string()))
        }
        Schema::Array(array) => walk(&array.items, open),
        Schema::Map(map) => walk(&map.types, open),
        Schema::Union(union) => {
            union.variants().iter().try_fold(0, |sum, variant| Ok(sum + walk(variant, open)?))
        }
        Schema::Record(record) => {
            open.push(&record.name);
            let fields = record
                .fields
                .iter()
                .try_fold(0, |sum, field| Ok(sum + 1 + walk(&field.schema, open)?));
            open.pop();
            fields
        }
        _ => Ok(0),
    }
}
