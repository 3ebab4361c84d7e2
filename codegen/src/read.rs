//! From `.avsc` files to checked types. What is refused here never reaches a topic: an unknown
//! property, an alias, a missing doc string, a type without end, money as a bare number.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};

use crate::model::{Field, Kind, MONEY, Named, Type, Types, entries, sorted_files};

/// Endings of field names that mean money, which only `retail.Money` may hold.
const MONEY_WORDS: &[&str] = &["amount", "price", "total", "cost", "fee", "balance", "tax"];
/// Words that Rust keeps for itself and a field might want.
const KEYWORDS: &[&str] = &[
    "as", "box", "break", "const", "crate", "else", "enum", "final", "fn", "for", "if", "in",
    "let", "loop", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "self", "static", "struct", "super", "trait", "true", "false", "type", "use", "virtual",
    "where", "while", "yield", "abstract", "async", "await", "become", "continue", "do", "dyn",
    "extern", "gen", "impl", "macro", "try", "typeof", "unsafe", "unsized",
];

/// Reads every `<context>/<Name>.avsc` under `dir`.
pub(crate) fn types(dir: &Path) -> Result<Types> {
    let mut types = Types::new();
    for context in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        for file in sorted_files(&context)? {
            let named = named(&file).with_context(|| file.display().to_string())?;
            if let Some(other) = types.insert(named.full_name(), named) {
                bail!("{}: {} is also defined here", other.file.display(), other.full_name());
            }
        }
    }
    let mut short_names = BTreeSet::new();
    for named in types.values() {
        ensure!(
            short_names.insert(&named.name),
            "{}: another namespace also has a {}, and Rust types have no namespace",
            named.file.display(),
            named.name
        );
        check_references(&types, named).with_context(|| named.file.display().to_string())?;
    }
    Ok(types)
}

fn named(file: &Path) -> Result<Named> {
    let mut json = Object::new(serde_json::from_str(&crate::load(file)?)?)?;
    let kind = json.text("type")?;
    let named = Named {
        file: file.to_owned(),
        name: json.text("name")?,
        namespace: json.text("namespace")?,
        doc: json.doc("the type")?,
        kind: match kind.as_str() {
            "record" => Kind::Record(fields(json.array("fields")?)?),
            "enum" => symbols(&mut json)?,
            other => bail!("a file defines a record or an enum, not \"{other}\""),
        },
    };
    json.finish()?;
    ensure!(is_camel(&named.name), "name \"{}\" is not in CamelCase", named.name);
    let part = |path: Option<&std::ffi::OsStr>| path.and_then(|p| p.to_str()).map(str::to_owned);
    ensure!(
        part(file.file_stem()).as_deref() == Some(&named.name),
        "the file is not named after {}",
        named.name
    );
    let context = part(file.parent().and_then(Path::file_name)).unwrap_or_default();
    ensure!(
        context == "common" || named.namespace.rsplit('.').next() == Some(&context),
        "namespace {} does not end in the folder's name",
        named.namespace
    );
    Ok(named)
}

fn symbols(json: &mut Object) -> Result<Kind> {
    let symbols = json
        .array("symbols")?
        .into_iter()
        .map(|symbol| symbol.as_str().map(str::to_owned).context("a symbol is not a text"))
        .collect::<Result<Vec<_>>>()?;
    let default = json.text("default").context(
        "an enum needs a default, which readers take for symbols that are newer than they are",
    )?;
    ensure!(symbols.contains(&default), "default {default} is not among the symbols");
    for symbol in &symbols {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        ensure!(symbol.bytes().all(fits), "symbol {symbol} is not in SCREAMING_SNAKE_CASE");
    }
    Ok(Kind::Enum { symbols, default })
}

fn fields(list: Vec<Value>) -> Result<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::new();
    for json in list {
        let mut json = Object::new(json)?;
        let name = json.text("name")?;
        let field = field(json, name.clone()).with_context(|| format!("field {name}"))?;
        ensure!(fields.iter().all(|other| other.name != name), "two fields are named {name}");
        fields.push(field);
    }
    Ok(fields)
}

fn field(mut json: Object, name: String) -> Result<Field> {
    let snake = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase());
    ensure!(starts_well && name.bytes().all(snake), "the name is not in snake_case");
    ensure!(!KEYWORDS.contains(&name.as_str()), "the name is a keyword of Rust");
    let doc = json.doc("the field")?;
    let id = json.optional_text("rust")?;
    let ty = with_id(ty(json.take("type")?)?, id)?;
    match (&ty, json.map.remove("default")) {
        (Type::Optional(_), Some(Value::Null)) | (_, None) => {}
        _ => bail!("only an optional field has a default, and it is null"),
    }
    json.finish()?;
    Ok(Field { name, doc, ty })
}

fn ty(json: Value) -> Result<Type> {
    match json {
        Value::String(name) => simple(&name),
        Value::Array(branches) => match <[Value; 2]>::try_from(branches) {
            Ok([Value::String(null), some]) if null == "null" => {
                let some = ty(some)?;
                ensure!(!matches!(some, Type::Optional(_)), "a union holds a union");
                Ok(Type::Optional(Box::new(some)))
            }
            _ => bail!("the only union is [\"null\", T]"),
        },
        json => {
            let mut json = Object::new(json)?;
            let name = json.text("type")?;
            let logical = json.optional_text("logicalType")?;
            let ty = match (name.as_str(), logical.as_deref()) {
                ("array", None) => Type::Array(Box::new(ty(json.take("items")?)?)),
                ("string", Some("uuid")) => Type::Uuid(None),
                ("long", Some("timestamp-micros")) => Type::Timestamp,
                (name, None) => simple(name)?,
                (name, Some(logical)) => bail!("logical type {logical} on {name} is not supported"),
            };
            let id = json.optional_text("rust")?;
            json.finish()?;
            with_id(ty, id)
        }
    }
}

fn simple(name: &str) -> Result<Type> {
    Ok(match name {
        "string" => Type::String(None),
        "long" => Type::Long,
        "int" => Type::Int,
        "boolean" => Type::Boolean,
        "bytes" => Type::Bytes,
        full if full.contains('.') => Type::Named(full.to_owned()),
        other => bail!("type \"{other}\" is not supported, or is not a full name"),
    })
}

/// Puts the typed identifier on the text inside the type.
fn with_id(ty: Type, id: Option<String>) -> Result<Type> {
    let Some(name) = id else { return Ok(ty) };
    ensure!(is_camel(&name), "\"{name}\" is not the name of a Rust type");
    Ok(match ty {
        Type::String(None) => Type::String(Some(name)),
        Type::Uuid(None) => Type::Uuid(Some(name)),
        Type::Array(inner) => Type::Array(Box::new(with_id(*inner, Some(name))?)),
        Type::Optional(inner) => Type::Optional(Box::new(with_id(*inner, Some(name))?)),
        _ => bail!("only a string can be the identifier {name}"),
    })
}

fn check_references(types: &Types, named: &Named) -> Result<()> {
    let full_name = named.full_name();
    if full_name == MONEY {
        let shape: Vec<_> = named.fields().iter().map(|f| (f.name.as_str(), &f.ty)).collect();
        ensure!(
            shape == [("amount", &Type::Long), ("currency", &Type::String(None))],
            "money is a long named amount and a string named currency"
        );
        return Ok(());
    }
    for field in named.fields() {
        let last_word = field.name.rsplit('_').next().unwrap_or_default();
        let is_money = field.ty.named() == Some(MONEY);
        ensure!(
            is_money || !MONEY_WORDS.contains(&last_word),
            "field {} sounds like money, which only {MONEY} may hold",
            field.name
        );
    }
    check_ends(types, named, &mut vec![full_name])
}

/// Refuses an unknown type, and a type that contains itself.
fn check_ends(types: &Types, named: &Named, open: &mut Vec<String>) -> Result<()> {
    for field in named.fields() {
        let Some(name) = field.ty.named() else { continue };
        let inner = types
            .get(name)
            .ok_or_else(|| anyhow!("field {}: no file defines {name}", field.name))?;
        ensure!(!open.iter().any(|o| o == name), "{name} contains itself");
        open.push(name.to_owned());
        check_ends(types, inner, open)?;
        open.pop();
    }
    Ok(())
}

fn is_camel(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A JSON object whose properties must all be used up.
struct Object {
    map: Map<String, Value>,
}

impl Object {
    fn new(json: Value) -> Result<Self> {
        match json {
            Value::Object(map) => Ok(Self { map }),
            other => bail!("{other} stands where an object is wanted"),
        }
    }

    fn take(&mut self, key: &str) -> Result<Value> {
        self.map.remove(key).ok_or_else(|| anyhow!("\"{key}\" is missing"))
    }

    fn text(&mut self, key: &str) -> Result<String> {
        self.optional_text(key)?.ok_or_else(|| anyhow!("\"{key}\" is missing"))
    }

    fn optional_text(&mut self, key: &str) -> Result<Option<String>> {
        match self.map.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => bail!("\"{key}\" is not a text"),
        }
    }

    fn doc(&mut self, what: &str) -> Result<String> {
        let doc = self.optional_text("doc")?.unwrap_or_default();
        ensure!(!doc.trim().is_empty(), "{what} has no doc string");
        ensure!(!doc.contains(['\n', '#']), "the doc string has a line break or a hash sign");
        Ok(doc)
    }

    fn array(&mut self, key: &str) -> Result<Vec<Value>> {
        match self.take(key)? {
            Value::Array(list) => Ok(list),
            _ => bail!("\"{key}\" is not a list"),
        }
    }

    fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) if key == "aliases" => bail!(
                "aliases are not supported: readers resolve them differently; add a new field"
            ),
            Some(key) => bail!("property \"{key}\" is not supported"),
        }
    }
}
