//! CSV and NDJSON as the same thing: rows of texts in the order of the columns, with their line.
//! What the texts mean is not its business.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::{FILE_BYTES_MAX, ROWS_MAX, ReadError, RefusedRow};

/// Bytes of one line or record, at most.
const LINE_BYTES_MAX: usize = 64 * 1024;
const UNCLOSED: &str = "has a quote that is never closed; what follows was not read";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// RFC 4180, with commas and a header.
    Csv,
    /// One JSON object on each line.
    Ndjson,
}

/// The bytes of a line without its end, or why they are not taken.
type Line = Result<Vec<u8>, String>;

/// The texts of a row in the order of the columns, or why it has none.
type Fields = Result<Vec<String>, String>;

/// The lines of a file with their numbers. Blank ones are passed over.
struct Lines<R> {
    input: R,
    line: u64,
}

/// Why a line of CSV is no record.
struct Unsplit {
    reason: String,
    /// A quoted field may go on in the next line.
    open: bool,
}

impl FileFormat {
    /// What the name of a file says: `.csv`, `.ndjson` or `.jsonl`.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

/// Gives every row to `take`.
pub(super) fn each_row(
    format: FileFormat,
    columns: &[&str],
    input: impl Read,
    take: impl FnMut(u64, Fields),
) -> Result<(), ReadError> {
    let input = BufReader::new(Bounded { input, left: FILE_BYTES_MAX });
    let lines = Lines { input, line: 0 };
    match format {
        FileFormat::Csv => each_record(columns, lines, take),
        FileFormat::Ndjson => each_object(columns, lines, take),
    }
}

fn each_record(
    columns: &[&str],
    mut lines: Lines<impl BufRead>,
    mut take: impl FnMut(u64, Fields),
) -> Result<(), ReadError> {
    let (line, header) = lines.next()?.unwrap_or((1, Ok(vec![])));
    let places = header.and_then(|header| header_places(&header, columns));
    let places = places.map_err(|reason| ReadError::Rows(vec![RefusedRow { line, reason }]))?;
    let mut count = 0;
    while let Some((line, bytes)) = lines.next()? {
        count = counted(count)?;
        let record = bytes.and_then(|bytes| lines.complete(bytes));
        let unclosed = matches!(&record, Err(reason) if reason == UNCLOSED);
        take(line, record.and_then(|record| record_fields(record, columns, &places)));
        if unclosed {
            return Ok(());
        }
    }
    Ok(())
}

/// For each column its place in a record.
fn header_places(header: &[u8], columns: &[&str]) -> Result<Vec<usize>, String> {
    let header = split(header).map_err(|Unsplit { reason, .. }| reason)?;
    let names: Vec<String> =
        header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let wanted = columns.join(", ");
    if let [only] = names.as_slice()
        && only.contains([';', '\t'])
    {
        return Err(format!("columns must be separated by commas: {wanted}"));
    }
    let mut wrong = vec![];
    for (place, name) in names.iter().enumerate() {
        if !columns.contains(&name.as_str()) {
            wrong.push(unknown(name, columns));
        } else if names[..place].contains(name) {
            wrong.push(format!("column `{name}` is there twice"));
        }
    }
    let place = |column: &&str| names.iter().position(|name| name == column);
    let missing = columns.iter().filter(|column| place(column).is_none());
    wrong.extend(missing.map(|column| format!("column `{column}` is missing")));
    match wrong.is_empty() {
        true => Ok(columns.iter().filter_map(place).collect()),
        false => Err(format!("{}; the columns are {wanted}", wrong.join("; "))),
    }
}

fn record_fields(mut record: Vec<Vec<u8>>, columns: &[&str], places: &[usize]) -> Fields {
    if record.len() != places.len() {
        return Err(format!("has {} fields where the header has {}", record.len(), places.len()));
    }
    let field = |(column, place): (&&str, &usize)| {
        let text = String::from_utf8(std::mem::take(&mut record[*place]));
        text.map_err(|_| format!("{column} is not UTF-8"))
    };
    columns.iter().zip(places).map(field).collect()
}

/// The fields of one record of CSV.
fn split(record: &[u8]) -> Result<Vec<Vec<u8>>, Unsplit> {
    let (mut fields, mut rest) = (vec![], record.iter().copied().peekable());
    loop {
        let mut field = vec![];
        if rest.next_if_eq(&b'"').is_some() {
            loop {
                match rest.next() {
                    Some(b'"') if rest.next_if_eq(&b'"').is_some() => field.push(b'"'),
                    Some(b'"') => break,
                    Some(byte) => field.push(byte),
                    None => return Err(Unsplit { reason: UNCLOSED.to_owned(), open: true }),
                }
            }
        } else {
            field.extend(std::iter::from_fn(|| rest.next_if(|byte| *byte != b',')));
        }
        fields.push(field);
        match rest.next() {
            None => return Ok(fields),
            Some(b',') => {}
            Some(_) => {
                let reason = "has text behind a closing quote".to_owned();
                return Err(Unsplit { reason, open: false });
            }
        }
    }
}

fn each_object(
    columns: &[&str],
    mut lines: Lines<impl BufRead>,
    mut take: impl FnMut(u64, Fields),
) -> Result<(), ReadError> {
    let mut count = 0;
    while let Some((line, bytes)) = lines.next()? {
        count = counted(count)?;
        take(line, bytes.and_then(|bytes| object_fields(&bytes, columns)));
    }
    Ok(())
}

fn object_fields(text: &[u8], columns: &[&str]) -> Fields {
    let object: Object = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut fields: Vec<Option<String>> = vec![None; columns.len()];
    let mut wrong = vec![];
    for (name, value) in object.0 {
        let Some(place) = columns.iter().position(|column| *column == name) else {
            wrong.push(unknown(&name, columns));
            continue;
        };
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => {
                wrong.push(format!("{name} must be a text or a number"));
                String::new()
            }
        };
        if fields[place].replace(text).is_some() {
            wrong.push(format!("{name} is there twice"));
        }
    }
    let missing = columns.iter().zip(&fields).filter(|(_, field)| field.is_none());
    wrong.extend(missing.map(|(column, _)| format!("{column} is missing")));
    match wrong.is_empty() {
        true => Ok(fields.into_iter().flatten().collect()),
        false => Err(wrong.join("; ")),
    }
}

fn unknown(name: &str, columns: &[&str]) -> String {
    const ALIKE: f64 = 0.6;
    let likeness = |column: &&&str| strsim::normalized_damerau_levenshtein(column, name);
    let best = columns.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|best| likeness(best) >= ALIKE) {
        Some(best) => format!("column `{name}` is unknown, did you mean `{best}`?"),
        None => format!("column `{name}` is unknown"),
    }
}

fn counted(count: u64) -> Result<u64, ReadError> {
    if count < ROWS_MAX { Ok(count + 1) } else { Err(ReadError::TooLarge) }
}

fn too_large(error: io::Error) -> ReadError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return ReadError::TooLarge;
    }
    ReadError::Io(error)
}

impl<R: BufRead> Lines<R> {
    /// The next line that is not blank, without its end.
    fn next(&mut self) -> Result<Option<(u64, Line)>, ReadError> {
        while let Some(line) = self.any()? {
            let blank = line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty());
            if !blank {
                return Ok(Some((self.line, line)));
            }
        }
        Ok(None)
    }

    /// A record of CSV that begins with this line.
    fn complete(&mut self, mut record: Vec<u8>) -> Result<Vec<Vec<u8>>, String> {
        loop {
            let Unsplit { reason, open } = match split(&record) {
                Ok(fields) => return Ok(fields),
                Err(unsplit) => unsplit,
            };
            let more = if open { self.any().map_err(|error| error.to_string())? } else { None };
            let Some(more) = more else { return Err(reason) };
            record.push(b'\n');
            record.extend(more?);
            if record.len() > LINE_BYTES_MAX {
                return Err(reason);
            }
        }
    }

    fn any(&mut self) -> Result<Option<Line>, ReadError> {
        let mut bytes = vec![];
        let limit = LINE_BYTES_MAX as u64;
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut bytes);
        if read.map_err(too_large)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        if bytes.last() != Some(&b'\n') && bytes.len() == LINE_BYTES_MAX {
            self.input.skip_until(b'\n').map_err(too_large)?;
            return Ok(Some(Err(format!("is longer than {LINE_BYTES_MAX} bytes"))));
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let marked = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.line == 1);
        Ok(Some(Ok(marked.unwrap_or(line).to_owned())))
    }
}

/// Fails as soon as more is read than one file may have.
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(read)
    }
}

/// An object with its names as they were written, so that none is lost that comes twice.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut names = vec![];
                while let Some(entry) = map.next_entry()? {
                    names.push(entry);
                }
                Ok(Object(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}
