//! Aligned columns without borders.

use comfy_table::{ContentArrangement, Table, presets};

/// Lays out rows in columns, each line indented by two spaces; no line ends with a space.
pub(crate) fn columns<R>(rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        table.add_row(
            row.into_iter()
                .map(|cell| super::problems::printable(&cell).replace('\n', " ")),
        );
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| format!("  {}", line.trim_end()))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "b"], ["long", "c"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(rows), "  a     b\n  long  c");
    }
}
