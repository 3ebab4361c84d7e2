//! Reading: every kind of bad row is refused with its line.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const ORDERS: &str = "order_ref,customer,store,sku,quantity,placed_at\n";
const AT: &str = "2026-11-20T10:15:00Z";

fn csv(kind: Kind, text: &str) -> Result<Checked, ReadError> {
    read(kind, FileFormat::Csv, text.as_bytes())
}

fn ndjson(kind: Kind, text: &str) -> Result<Checked, ReadError> {
    read(kind, FileFormat::Ndjson, text.as_bytes())
}

/// The refused lines with their reasons.
fn refused(read: Result<Checked, ReadError>) -> Vec<(u64, String)> {
    match read {
        Err(ReadError::Rows(refused)) => {
            refused.into_iter().map(|row| (row.line, row.reason)).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// Reads one row after a good one and expects it to be refused for this reason, on line 3.
fn check(kind: Kind, good: &str, bad: &str, reason: &str) {
    let text = format!("{}\n{good}\n{bad}\n", kind.columns().join(","));
    let refused = refused(csv(kind, &text));
    let [(3, told)] = refused.as_slice() else { panic!("{bad}: {refused:?}") };
    assert!(told.contains(reason), "{bad}: {told}");
}

#[test]
fn a_wrong_product_is_refused_with_its_line() {
    let good = "p-1,Cup,4.50,CAD,kitchen";
    let long = format!("p-2,{},1.00,CAD,kitchen", "x".repeat(201));
    for (bad, reason) in [
        ("p 2,Cup,4.50,CAD,kitchen", "sku: "),
        (",Cup,4.50,CAD,kitchen", "sku: "),
        ("p-1,Cup,4.50,CAD,kitchen", "sku p-1 is on line 2 already"),
        ("p-2,,4.50,CAD,kitchen", "name: "),
        ("p-2,\"a\tb\",4.50,CAD,kitchen", "name: "),
        (long.as_str(), "name: "),
        ("p-2,Cup,4.5,CAD,kitchen", "price: "),
        ("p-2,Cup,-4.50,CAD,kitchen", "price: give at least 0.01 CAD"),
        ("p-2,Cup,0.00,CAD,kitchen", "price: "),
        ("p-2,Cup,NaN,CAD,kitchen", "price: "),
        ("p-2,Cup,99999999999999999999.00,CAD,kitchen", "price: amount is too large"),
        ("p-2,Cup,4.50,XXX,kitchen", "currency: "),
        ("p-2,Cup,4.50,cad,kitchen", "currency: "),
        ("p-2,Cup,4.50,CAD,", "category: "),
        ("p-2,Cup,4.50,CAD", "has 4 fields where the header has 5"),
        ("p-2,Cup,4.50,CAD,kitchen,blue", "has 6 fields where the header has 5"),
    ] {
        check(Kind::Products, good, bad, reason);
    }
}

#[test]
fn a_wrong_receipt_is_refused_with_its_line() {
    for (bad, reason) in [
        ("s-1,p-1,0", "quantity: give a whole number from 1 to 1000000000"),
        ("s-1,p-1,-5", "quantity: "),
        ("s-1,p-1,1.5", "quantity: "),
        ("s-1,p-1,1000000001", "quantity: "),
        ("s-1,p-1,99999999999999999999", "quantity: "),
        ("s-1,p-1,", "quantity: "),
        ("s/1,p-1,1", "store: "),
        ("s-1,p/1,1", "sku: "),
    ] {
        check(Kind::Stock, "s-1,p-1,5", bad, reason);
    }
}

#[test]
fn a_wrong_account_is_refused_with_its_line() {
    for (bad, reason) in [
        ("c-1,CAD,5.00", "customer c-1 is on line 2 already"),
        ("c 2,CAD,5.00", "customer: "),
        ("c-2,CAD,-5.00", "balance: give at least 0.00 CAD"),
        ("c-2,CAD,5.0", "balance: "),
        ("c-2,JPY,5.00", "balance: "),
        ("c-2,,5.00", "currency: "),
    ] {
        check(Kind::Accounts, "c-1,CAD,10.00", bad, reason);
    }
}

#[test]
fn a_wrong_order_line_is_refused_with_its_line() {
    let good = format!("o-1,c-1,s-1,p-1,2,{AT}");
    let long = format!("{},c-1,s-1,p-1,2,{AT}", "x".repeat(65));
    for (bad, reason) in [
        (format!(",c-1,s-1,p-1,2,{AT}"), "order_ref: "),
        (format!(" o-2,c-1,s-1,p-1,2,{AT}"), "order_ref: "),
        (long, "order_ref: "),
        (format!("o-2,,s-1,p-1,2,{AT}"), "customer: "),
        (format!("o-2,c-1,s 1,p-1,2,{AT}"), "store: "),
        (format!("o-2,c-1,s-1,p#1,2,{AT}"), "sku: "),
        (format!("o-2,c-1,s-1,p-1,10001,{AT}"), "quantity: give a whole number from 1 to 10000"),
        (format!("o-1,c-1,s-1,p-1,9999,{AT}"), "order o-1 has more than 10000 of p-1"),
        ("o-2,c-1,s-1,p-1,2,2026-11-20".to_owned(), "placed_at: "),
        ("o-2,c-1,s-1,p-1,2,2026-11-20T10:15:00".to_owned(), "placed_at: "),
        ("o-2,c-1,s-1,p-1,2,yesterday".to_owned(), "placed_at: "),
        (format!("o-1,c-2,s-1,p-2,2,{AT}"), "customer is c-2, but c-1 on line 2 of order o-1"),
        (format!("o-1,c-1,s-2,p-2,2,{AT}"), "store is s-2, but s-1 on line 2 of order o-1"),
        ("o-1,c-1,s-1,p-2,2,2026-11-21T10:15:00Z".to_owned(), "placed_at is 2026-11-21"),
    ] {
        check(Kind::Orders, &good, &bad, reason);
    }
}

#[test]
fn everything_wrong_with_a_row_is_told_at_once_and_every_wrong_row_is_told() {
    let text = format!(
        "{ORDERS}o-1,c-1,s-1,p-1,2,{AT}\n,c 1,s-1,p-1,0,now\n\no-2,c-1,s-1,p-1,2,{AT}\no-3,c-1,s-1,,2,{AT}\n"
    );
    let refused = refused(csv(Kind::Orders, &text));
    assert_eq!(refused.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 6]);
    for part in ["order_ref: ", "customer: ", "quantity: ", "placed_at: "] {
        assert!(refused[0].1.contains(part), "{}", refused[0].1);
    }
}

#[test]
fn an_order_has_at_most_fifty_articles() {
    let line = |n: usize| format!("o-1,c-1,s-1,p-{n},1,{AT}\n");
    let fifty: String = (0..50).map(line).collect();
    assert!(csv(Kind::Orders, &format!("{ORDERS}{fifty}")).is_ok());
    let refused = refused(csv(Kind::Orders, &format!("{ORDERS}{fifty}{}", line(50))));
    assert_eq!(refused, [(52, "order o-1 has more than 50 articles".to_owned())]);
}

#[test]
fn lines_of_one_order_need_not_follow_each_other_and_the_same_articles_add_up() {
    let text = format!(
        "{ORDERS}o-1,c-1,s-1,p-1,2,{AT}\no-2,c-1,s-1,p-1,1,{AT}\no-1,c-1,s-1,p-2,3,{AT}\no-1,c-1,s-1,p-1,5,{AT}\n"
    );
    let checked = csv(Kind::Orders, &text).unwrap();
    let Rows::Orders(orders) = &checked.rows else { panic!() };
    assert_eq!((checked.rows_read, orders.len()), (4, 2));
    assert_eq!(
        orders[0].body(),
        json!({
            "customer_id": "c-1", "store_id": "s-1", "order_ref": "o-1", "placed_at": AT,
            "lines": [{"sku": "p-1", "quantity": 7}, {"sku": "p-2", "quantity": 3}],
        })
    );
    assert_eq!(orders[1].line, 3);
}

#[test]
fn a_wrong_header_is_refused_on_line_one_with_a_suggestion() {
    for (header, reason) in [
        ("store,sku", "column `quantity` is missing"),
        ("store,sku,quantity,colour", "column `colour` is unknown"),
        ("store,sku,quantty", "column `quantty` is unknown, did you mean `quantity`?"),
        ("store,sku,quantity,sku", "column `sku` is there twice"),
        ("store;sku;quantity", "columns must be separated by commas"),
    ] {
        let refused = refused(csv(Kind::Stock, &format!("{header}\ns-1,p-1,1\n")));
        let [(1, told)] = refused.as_slice() else { panic!("{header}: {refused:?}") };
        assert!(told.contains(reason), "{header}: {told}");
    }
}

#[test]
fn a_header_may_have_another_order_a_byte_order_mark_and_blanks() {
    let checked = csv(Kind::Stock, "\u{feff}quantity, sku ,store\r\n\r\n5,p-1,s-1").unwrap();
    let Rows::Stock(rows) = &checked.rows else { panic!() };
    assert_eq!(rows[0].line, 3);
    let checked = csv(Kind::Stock, "\u{feff}quantity, sku ,store\r\n5,p-1,s-1\r\n").unwrap();
    assert_eq!(checked, csv(Kind::Stock, "store,sku,quantity\ns-1,p-1,5\n").unwrap());
}

#[test]
fn bytes_that_are_no_text_are_refused_in_their_row() {
    let mut text = b"store,sku,quantity\ns-1,p-1,1\ns-1,".to_vec();
    text.extend([0xff, 0xfe]);
    text.extend(b",1\n");
    let refused = refused(read(Kind::Stock, FileFormat::Csv, text.as_slice()));
    assert_eq!(refused, [(3, "sku is not UTF-8".to_owned())]);
}

#[test]
fn a_wrong_object_is_refused_with_its_line() {
    let good = r#"{"store":"s-1","sku":"p-1","quantity":1}"#;
    for (bad, reason) in [
        (r#"{"store":"s-1","sku":"p-1"}"#, "quantity is missing"),
        (r#"{"store":"s-1","sku":"p-1","quantity":1,"x":1}"#, "column `x` is unknown"),
        (r#"{"store":"s-1","sku":"p-1","quantity":1,"sku":"p-2"}"#, "sku is there twice"),
        (r#"{"store":"s-1","sku":"p-1","quantity":1.0}"#, "quantity: "),
        (r#"{"store":"s-1","sku":"p-1","quantity":[1]}"#, "quantity must be a text or a number"),
        (r#"{"store":"s-1","sku":"p-1","quantity":null}"#, "quantity must be"),
        (r#"{"store":"s-1","sku":"p-1","quantity":1"#, "EOF"),
        ("[]", "a JSON object"),
        ("store,sku,quantity", "expected"),
    ] {
        let refused = refused(ndjson(Kind::Stock, &format!("{good}\n\n{bad}\n{good}\n")));
        let [(3, told)] = refused.as_slice() else { panic!("{bad}: {refused:?}") };
        assert!(told.contains(reason), "{bad}: {told}");
    }
}

#[test]
fn quoted_fields_hold_commas_quotes_and_line_ends() {
    let text = "sku,name,price,currency,category\np-1,\"Cup, \"\"large\"\"\",4.50,CAD,kitchen\np-2,\"a\nb\",1.00,CAD,x\np-3,5\" pipe,1.00,CAD,x\np-4,\"a\"b,1.00,CAD,x\n";
    let told = refused(csv(Kind::Products, text));
    let lines: Vec<u64> = told.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 6], "a line end is no plain text, and text behind a quote is an error");
    let checked = csv(Kind::Products, &text[..text.find("p-2").unwrap()]).unwrap();
    let Rows::Products(products) = &checked.rows else { panic!() };
    assert_eq!(products[0].row.name, "Cup, \"large\"");
}

#[test]
fn a_quote_that_is_never_closed_is_refused_where_it_opens() {
    let rows: String = (0..5000).map(|n| format!("s-1,p-{n},1\n")).collect();
    let text = format!("store,sku,quantity\ns-1,p-1,1\ns-1,\"p-2,1\n{rows}");
    let told = refused(csv(Kind::Stock, &text));
    assert_eq!(told, [(3, "has a quote that is never closed; what follows was not read".into())]);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_rest_is_read() {
    let good = r#"{"store":"s-1","sku":"p-1","quantity":1}"#;
    let text = format!("{good}\n{{\"store\":\"{}\"}}\n{good}\n", "x".repeat(200_000));
    let refused = refused(ndjson(Kind::Stock, &text));
    assert_eq!(refused, [(2, "is longer than 65536 bytes".to_owned())]);
}

#[test]
fn a_file_without_rows_is_refused() {
    assert!(matches!(csv(Kind::Orders, ORDERS), Err(ReadError::Empty)));
    assert!(matches!(ndjson(Kind::Orders, "\n\n"), Err(ReadError::Empty)));
    assert_eq!(refused(csv(Kind::Orders, "")).len(), 1);
}

#[test]
fn a_file_over_the_bound_is_refused_without_reading_on() {
    let endless = std::io::repeat(b'x');
    assert!(matches!(read(Kind::Stock, FileFormat::Ndjson, endless), Err(ReadError::TooLarge)));
}

proptest! {
    #[test]
    fn the_same_rows_are_the_same_in_both_formats(
        rows in prop::collection::vec((0..5u8, 0..9u8, 1..100i64), 1..40)
    ) {
        let (mut table, mut lines) = (ORDERS.to_owned(), String::new());
        for (order, sku, quantity) in &rows {
            table += &format!("o-{order},c-{order},s-1,p-{sku},{quantity},{AT}\n");
            lines += &json!({
                "order_ref": format!("o-{order}"), "customer": format!("c-{order}"), "store": "s-1",
                "sku": format!("p-{sku}"), "quantity": quantity, "placed_at": AT,
            }).to_string();
            lines.push('\n');
        }
        let table = csv(Kind::Orders, &table).unwrap();
        let mut lines = ndjson(Kind::Orders, &lines).unwrap();
        prop_assert_eq!(table.fingerprint, lines.fingerprint);
        let (Rows::Orders(table), Rows::Orders(lines)) = (&table.rows, &mut lines.rows) else {
            panic!()
        };
        let ordered: i64 = table.iter().flat_map(|order| {
            let body = order.body();
            let lines = body["lines"].as_array().unwrap().clone();
            lines.into_iter().map(|line| line["quantity"].as_i64().unwrap())
        }).sum();
        prop_assert_eq!(ordered, rows.iter().map(|(_, _, quantity)| quantity).sum::<i64>());
        // The header makes every line of the table one later.
        lines.iter_mut().for_each(|order| order.line += 1);
        prop_assert_eq!(table, lines);
    }
}
