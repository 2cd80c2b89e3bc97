//! Aligned columns without borders.

use super::problems::printable;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Lays out rows in columns, each line indented by two spaces; no line ends with a space.
pub(crate) fn columns<R>(rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = bare();
    for row in rows {
        table.add_row(
            row.into_iter()
                .map(|cell| printable(&cell).replace('\n', " ")),
        );
    }
    let lines: Vec<String> = lines(table)
        .into_iter()
        .map(|line| format!("  {line}"))
        .collect();
    lines.join("\n")
}

/// Lays out rows below a head; the columns from number `numbers` on (from 0) are numbers. No line ends with a space.
pub(crate) fn headed<const N: usize>(
    head: [&str; N],
    numbers: usize,
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = bare();
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    printable(&lines(table).join("\n"))
}

fn bare() -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn lines(mut table: Table) -> Vec<String> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
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
