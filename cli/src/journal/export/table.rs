//! Entries as an Apache Parquet file: columns, in groups of rows that fit into memory.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::line::{COLUMNS, Cell, Kind, Line};

/// Rows of a group: what is held in memory until it is written.
const GROUP_ROWS: usize = 10_000;

/// A file of columns.
pub(super) struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
}

/// The cells of a column in the group that is being filled.
enum Column {
    Numbers(Vec<i64>),
    /// What is there, and for each row whether it is.
    Texts(Vec<ByteArray>, Vec<i16>),
}

impl<W: Write + Send> Table<W> {
    pub(super) fn new(file: W) -> Result<Self> {
        let fields: String = COLUMNS.iter().map(|(name, kind)| kind.field(name)).collect();
        let schema = parse_message_type(&format!("message entry {{ {fields} }}"))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, columns: columns(), rows: 0 })
    }

    pub(super) fn add(&mut self, line: &Line) -> Result<()> {
        self.columns.iter_mut().zip(&line.0).for_each(|(column, cell)| column.add(cell));
        self.rows += 1;
        if self.rows < GROUP_ROWS { Ok(()) } else { self.group() }
    }

    /// Writes what is left and the end of the file.
    pub(super) fn complete(mut self) -> Result<W> {
        if self.rows > 0 {
            self.group()?;
        }
        self.writer.into_inner()
    }

    fn group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for (column, (_, kind)) in
            std::mem::replace(&mut self.columns, columns()).iter().zip(COLUMNS)
        {
            column.write(kind, &mut group)?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

fn columns() -> Vec<Column> {
    let column = |(_, kind)| match kind {
        Kind::Number | Kind::Moment => Column::Numbers(vec![]),
        Kind::Text | Kind::Maybe | Kind::Json => Column::Texts(vec![], vec![]),
    };
    COLUMNS.map(column).into()
}

impl Kind {
    fn field(self, name: &str) -> String {
        match self {
            Self::Text => format!("REQUIRED BYTE_ARRAY {name} (UTF8);"),
            Self::Maybe => format!("OPTIONAL BYTE_ARRAY {name} (UTF8);"),
            Self::Number => format!("REQUIRED INT64 {name};"),
            Self::Moment => format!("REQUIRED INT64 {name} (TIMESTAMP(MICROS,true));"),
            Self::Json => format!("REQUIRED BYTE_ARRAY {name} (JSON);"),
        }
    }
}

impl Column {
    fn add(&mut self, cell: &Cell) {
        let text = match cell {
            Cell::Number(number) => return self.number(*number),
            Cell::Moment(at) => return self.number(at.micros()),
            Cell::Text(text) => Some(text.clone()),
            Cell::Maybe(text) => text.clone(),
            Cell::Json(value) => Some(value.to_string()),
        };
        if let Self::Texts(texts, there) = self {
            there.push(text.is_some().into());
            texts.extend(text.map(|text| ByteArray::from(text.into_bytes())));
        }
    }

    fn number(&mut self, number: i64) {
        if let Self::Numbers(numbers) = self {
            numbers.push(number);
        }
    }

    fn write<W: Write + Send>(
        &self,
        kind: Kind,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let none = || ParquetError::General("a column is missing".to_owned());
        let mut writer = group.next_column()?.ok_or_else(none)?;
        match self {
            Self::Numbers(numbers) => {
                writer.typed::<Int64Type>().write_batch(numbers, None, None)?;
            }
            Self::Texts(texts, there) => {
                let there = (kind == Kind::Maybe).then_some(there.as_slice());
                writer.typed::<ByteArrayType>().write_batch(texts, there, None)?;
            }
        }
        writer.close()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    use schemas::Timestamp;
    use serde_json::json;

    use super::*;

    fn line(seq: i64) -> Line {
        let cell = |(name, kind): (&str, Kind)| match kind {
            Kind::Text => Cell::Text(format!("{name} {seq}")),
            Kind::Maybe => Cell::Maybe((seq % 2 == 0).then(|| format!("{name} {seq}"))),
            Kind::Number => Cell::Number(seq),
            Kind::Moment => Cell::Moment(Timestamp::from_micros(seq).unwrap()),
            Kind::Json => Cell::Json(json!({ "seq": seq })),
        };
        Line(COLUMNS.map(cell))
    }

    #[test]
    fn every_cell_is_read_back_from_every_group() {
        let mut table = Table::new(vec![]).unwrap();
        let rows = GROUP_ROWS as i64 + 3;
        (0..rows).for_each(|seq| table.add(&line(seq)).unwrap());
        let file = SerializedFileReader::new(Bytes::from(table.complete().unwrap())).unwrap();
        assert_eq!(file.num_row_groups(), 2);
        for (seq, row) in (0..rows).zip(file.get_row_iter(None).unwrap()) {
            let row = row.unwrap();
            assert_eq!(row.get_string(0).unwrap(), &format!("order_id {seq}"));
            assert_eq!(row.get_long(1).unwrap(), seq);
            assert_eq!(row.get_string(11).is_ok(), seq % 2 == 0, "{row}");
            assert_eq!(row.get_timestamp_micros(13).unwrap(), seq);
            assert_eq!(row.get_string(16).unwrap(), &json!({ "seq": seq }).to_string());
        }
    }
}
