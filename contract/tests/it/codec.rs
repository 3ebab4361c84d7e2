//! The reader takes what the writer writes, and nothing that is cut, padded or too large.

use millrace_contract::{
    ARRAY_ITEMS_MAX, DecodeError, Money, RECORD_BYTES_MAX, Reader, STRING_BYTES_MAX, Timestamp,
    Writer,
};
use proptest::prelude::*;

fn write(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes));
    bytes
}

fn read<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes)?;
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

fn refused<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> &'static str {
    match result {
        Err(DecodeError::Invalid { what, .. }) => what,
        other => panic!("{other:?} instead of a refusal"),
    }
}

proptest! {
    #[test]
    fn numbers_come_back(value: i64, small: i32) {
        prop_assert_eq!(read(&write(|out| out.long(value)), Reader::long), Ok(value));
        prop_assert_eq!(read(&write(|out| out.long(small.into())), Reader::int), Ok(small));
    }

    #[test]
    fn nested_values_come_back(values: Vec<Option<(String, bool)>>) {
        let bytes = write(|out| {
            out.array(&values, |out, value| {
                out.optional(value.as_ref(), |out, (text, flag)| {
                    out.string(text);
                    out.boolean(*flag);
                });
            });
        });
        let back = read(&bytes, |input| input.array(|input| input.optional(|input| {
            Ok((input.string()?.to_owned(), input.boolean()?))
        })));
        prop_assert_eq!(back, Ok(values));
        for length in 0..bytes.len() {
            let cut = read(&bytes[..length], |input| input.array(|input| input.optional(|input| {
                Ok((input.string()?.to_owned(), input.boolean()?))
            })));
            prop_assert!(matches!(cut, Err(DecodeError::Truncated(_))));
        }
    }
}

#[test]
fn a_number_has_one_spelling() {
    let whole = |bytes: &[u8]| read(bytes, Reader::long);
    assert_eq!(whole(&[0x01]), Ok(-1));
    assert_eq!(refused(whole(&[0x80, 0x00])), "number is not in its shortest form");
    assert_eq!(refused(whole(&[0xff; 10])), "number does not fit into 64 bits");
    let mut largest = [0xff; 10];
    largest[9] = 0x01;
    assert_eq!(whole(&largest), Ok(i64::MIN));
    largest[9] = 0x02;
    assert_eq!(refused(whole(&largest)), "number does not fit into 64 bits");
    let wide = write(|out| out.long(i64::from(i32::MAX) + 1));
    assert_eq!(refused(read(&wide, Reader::int)), "number does not fit into 32 bits");
}

#[test]
fn what_is_left_over_is_refused() {
    assert_eq!(read(&[0x02, 0x00], Reader::long), Err(DecodeError::Trailing(1)));
    assert_eq!(read(&[], Reader::boolean), Err(DecodeError::Truncated(0)));
}

#[test]
fn malformed_values_are_refused() {
    assert_eq!(refused(read(&[2], Reader::boolean)), "boolean is neither 0 nor 1");
    assert_eq!(refused(read(&[0x02, 0xff], Reader::string)), "string is not UTF-8");
    assert_eq!(refused(read(&[0x01], Reader::bytes)), "length is negative or over the limit");
    assert_eq!(refused(read(&[0x04], |input| input.symbol(2))), "enum has no such symbol");
    assert_eq!(refused(read(&[0x01], |input| input.symbol(2))), "enum has no such symbol");
    assert_eq!(
        refused(read(&[0x04], |input| input.optional(Reader::long))),
        "union has no such branch"
    );
    let upper = write(|out| out.string("01932B0E-7C5E-7D3A-9F10-2B6C1D4E5F60"));
    assert_eq!(refused(read(&upper, Reader::uuid)), "string is not a UUID");
    let late = write(|out| out.long(i64::MAX));
    assert_eq!(refused(read(&late, Reader::timestamp)), "time is outside years 1 to 9999");
    let gold = write(|out| {
        out.long(1);
        out.string("ZZZ");
    });
    assert_eq!(refused(read(&gold, Reader::money)), "unknown currency");
}

#[test]
fn money_and_moments_come_back() {
    let money = Money::new(-1990, "CAD".parse().unwrap());
    assert_eq!(read(&write(|out| out.money(money)), Reader::money), Ok(money));
    let moment = Timestamp::from_micros(1_700_000_000_123_456).unwrap();
    assert_eq!(read(&write(|out| out.timestamp(moment)), Reader::timestamp), Ok(moment));
}

#[test]
fn every_length_has_a_limit() {
    let longest = write(|out| out.bytes(&vec![7; STRING_BYTES_MAX]));
    assert_eq!(read(&longest, |input| input.bytes().map(<[u8]>::len)), Ok(STRING_BYTES_MAX));
    let longer = write(|out| out.bytes(&vec![7; STRING_BYTES_MAX + 1]));
    assert_eq!(refused(read(&longer, Reader::bytes)), "length is negative or over the limit");

    let items = |count| write(|out| out.array(&vec![0; count], |out, item| out.long(*item)));
    let count = |bytes: &[u8]| read(bytes, |input| input.array(Reader::long)).map(|all| all.len());
    assert_eq!(count(&items(ARRAY_ITEMS_MAX)), Ok(ARRAY_ITEMS_MAX));
    assert_eq!(refused(count(&items(ARRAY_ITEMS_MAX + 1))), "array is too long");

    let large = vec![0; RECORD_BYTES_MAX + 1];
    assert_eq!(read(&large, Reader::long), Err(DecodeError::TooLarge(large.len())));
}

#[test]
fn an_array_may_come_in_blocks_that_add_up() {
    let longs = |bytes: &[u8]| read(bytes, |input| input.array(Reader::long));
    // Two blocks, the second with its length in bytes.
    assert_eq!(longs(&[0x02, 0x0a, 0x03, 0x04, 0x0c, 0x0e, 0x00]), Ok(vec![5, 6, 7]));
    let wrong_length = [0x03, 0x06, 0x0c, 0x0e, 0x00];
    assert_eq!(refused(longs(&wrong_length)), "block is not as long as it says");
    assert_eq!(refused(longs(&[0x03, 0x03])), "block has a negative length");
    let smallest_count = write(|out| {
        out.long(i64::MIN);
        out.long(0);
    });
    assert_eq!(refused(longs(&smallest_count)), "array is too long");

    // Small blocks without bytes must not add up to more than the limit.
    let blocks: Vec<u8> = write(|out| {
        for _ in 0..3 {
            out.long(400);
        }
    });
    let units = read(&blocks, |input| input.array(|_| Ok(())));
    assert_eq!(refused(units), "array is too long");
}
