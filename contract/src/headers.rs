//! Headers of a record as a column keeps them: readable in a query, and no byte lost.

use serde::{Deserialize, Serialize};

/// Header names and values of a record, in their order; a name may come twice, and a value may be
/// absent or any bytes.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A value: text where it is text, as it nearly always is, and otherwise its bytes as numbers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

/// Headers as JSON: a list of `[name, value]`, where a value is a string, `null`, or a list of
/// byte values when it is not UTF-8.
pub fn headers_to_json(headers: &[(String, Option<Vec<u8>>)]) -> Vec<u8> {
    let value = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes(bytes.clone()),
    };
    let list: Vec<(&str, Option<Value>)> =
        headers.iter().map(|(name, bytes)| (name.as_str(), bytes.as_ref().map(value))).collect();
    serde_json::to_vec(&list).unwrap_or_else(|_| b"[]".to_vec())
}

/// Reads what [`headers_to_json`] wrote.
///
/// # Errors
/// When it is not such a list.
pub fn headers_from_json(json: &[u8]) -> Result<Headers, serde_json::Error> {
    let list: Vec<(String, Option<Value>)> = serde_json::from_slice(json)?;
    let bytes = |value| match value {
        Value::Text(text) => String::into_bytes(text),
        Value::Bytes(bytes) => bytes,
    };
    Ok(list.into_iter().map(|(name, value)| (name, value.map(bytes))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_reads_as_text_and_other_bytes_as_numbers() {
        let headers = vec![
            ("ce_type".to_owned(), Some(b"order.placed".to_vec())),
            ("empty".to_owned(), Some(vec![])),
            ("none".to_owned(), None),
            ("bytes".to_owned(), Some(vec![0, 255])),
        ];
        let json = headers_to_json(&headers);
        let wanted = r#"[["ce_type","order.placed"],["empty",""],["none",null],["bytes",[0,255]]]"#;
        assert_eq!(String::from_utf8(json).unwrap(), wanted);
    }

    proptest! {
        #[test]
        fn any_headers_come_back_as_they_were(
            headers: Vec<(String, Option<Vec<u8>>)>,
            names: Vec<(String, String)>,
        ) {
            let text = names.into_iter().map(|(name, text)| (name, Some(text.into_bytes())));
            let headers: Headers = headers.into_iter().chain(text).collect();
            prop_assert_eq!(headers_from_json(&headers_to_json(&headers)).unwrap(), headers);
        }
    }
}
