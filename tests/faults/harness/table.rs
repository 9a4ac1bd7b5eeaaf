//! What a group of faults came to, for people.

use comfy_table::{Table, presets};

/// Prints a table.
pub fn table<const N: usize>(title: &str, header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    println!("\n{title}\n{table}\n");
}
