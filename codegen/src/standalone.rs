//! The schema of one event as JSON that needs no other file: a referenced type is written out
//! where it is first used and named afterwards. Properties come in a fixed order.

use serde::Serialize;
use serde_json::Value;

use crate::model::{Kind, Named, Type, Types};

/// One line, for the registry.
pub(crate) fn compact(types: &Types, full_name: &str) -> String {
    text(serde_json::to_string(&document(types, full_name)))
}

/// Indented, for people and for comparing versions.
pub(crate) fn pretty(types: &Types, full_name: &str) -> String {
    text(serde_json::to_string_pretty(&document(types, full_name))) + "\n"
}

fn text(json: serde_json::Result<String>) -> String {
    json.expect("texts and lists always have a JSON form")
}

fn document<'a>(types: &'a Types, full_name: &'a str) -> Json<'a> {
    Builder { types, written: Vec::new() }.named(full_name)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Json<'a> {
    Name(&'a str),
    Logical {
        r#type: &'static str,
        #[serde(rename = "logicalType")]
        logical: &'static str,
    },
    Array {
        r#type: &'static str,
        items: Box<Json<'a>>,
    },
    Union(Vec<Json<'a>>),
    Record {
        r#type: &'static str,
        name: &'a str,
        namespace: &'a str,
        doc: &'a str,
        fields: Vec<JsonField<'a>>,
    },
    Enum {
        r#type: &'static str,
        name: &'a str,
        namespace: &'a str,
        doc: &'a str,
        symbols: &'a [String],
        default: &'a str,
    },
}

#[derive(Serialize)]
struct JsonField<'a> {
    name: &'a str,
    r#type: Json<'a>,
    doc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
}

struct Builder<'a> {
    types: &'a Types,
    written: Vec<&'a str>,
}

impl<'a> Builder<'a> {
    fn named(&mut self, full_name: &'a str) -> Json<'a> {
        if self.written.contains(&full_name) {
            return Json::Name(full_name);
        }
        self.written.push(full_name);
        let Named { name, namespace, doc, kind, .. } = &self.types[full_name];
        match kind {
            Kind::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|field| JsonField {
                        name: &field.name,
                        r#type: self.ty(&field.ty),
                        doc: &field.doc,
                        default: matches!(field.ty, Type::Optional(_)).then_some(Value::Null),
                    })
                    .collect();
                Json::Record { r#type: "record", name, namespace, doc, fields }
            }
            Kind::Enum { symbols, default } => {
                Json::Enum { r#type: "enum", name, namespace, doc, symbols, default }
            }
        }
    }

    fn ty(&mut self, ty: &'a Type) -> Json<'a> {
        match ty {
            Type::String(_) => Json::Name("string"),
            Type::Uuid(_) => Json::Logical { r#type: "string", logical: "uuid" },
            Type::Long => Json::Name("long"),
            Type::Int => Json::Name("int"),
            Type::Boolean => Json::Name("boolean"),
            Type::Bytes => Json::Name("bytes"),
            Type::Timestamp => Json::Logical { r#type: "long", logical: "timestamp-micros" },
            Type::Array(item) => Json::Array { r#type: "array", items: Box::new(self.ty(item)) },
            Type::Optional(some) => Json::Union(vec![Json::Name("null"), self.ty(some)]),
            Type::Named(name) => self.named(name),
        }
    }
}
