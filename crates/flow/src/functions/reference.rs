//! The reference page, made from the table.

use std::fmt::Write as _;

use super::{GROUPS, later};

/// Returns the text of `docs/functions.md`, which a test compares with the file.
#[must_use]
pub fn functions_page() -> String {
    let mut page = String::from(
        "# Functions of the expression language\n\n\
         This page is made from the table in `crates/flow/src/functions`; run the tests of the crate\n\
         with `UPDATE_SNAPSHOTS=1` to make it anew. Names compare without regard to case. All\n\
         arguments are evaluated, those of `if`, `and` and `or` too.\n",
    );
    for group in &GROUPS {
        write_rows(&mut page, group.title, "what it gives", |page| {
            for function in group.functions {
                let _infallible = writeln!(
                    page,
                    "| `{}({})` | {} |",
                    function.name, function.parameters, function.doc
                );
            }
        });
    }
    write_rows(&mut page, "Not here yet", "group", |page| {
        for later in later::LATER {
            let _infallible = writeln!(page, "| `{}` | {} |", later.name, later.group);
        }
    });
    page.push_str(
        "\nA workflow that uses one of these is well-formed, and is left out of the tools with a note.\n",
    );
    page
}

fn write_rows(page: &mut String, title: &str, second: &str, rows: impl FnOnce(&mut String)) {
    let _infallible = write!(page, "\n## {title}\n\n| function | {second} |\n|---|---|\n");
    rows(page);
}
