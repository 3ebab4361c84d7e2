//! Markdown tables.

/// A table, or a sentence when it has no rows.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    none: &str,
) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows: String =
        rows.into_iter().map(|row| line(&row.map(|cell| cell.replace('|', "\\|")))).collect();
    match rows.is_empty() {
        true => format!("{none}\n"),
        false => format!(
            "{}{}{rows}",
            line(&head.map(str::to_owned)),
            line(&head.map(|_| "---".to_owned()))
        ),
    }
}

/// A name in code type.
pub(crate) fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

/// Names in code type with commas between them; a dash for none.
pub(crate) fn codes<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<String> = texts.into_iter().map(code).collect();
    if all.is_empty() { "–".to_owned() } else { all.join(", ") }
}
