//! A first app.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::output;

/// The files of the first app, by their path.
const FILES: [(&str, &str); 5] = [
    ("host.json", include_str!("../../template/host.json")),
    ("mcpservers.json", include_str!("../../template/mcpservers.json")),
    ("Greet/workflow.json", include_str!("../../template/Greet/workflow.json")),
    ("SplitBill/workflow.json", include_str!("../../template/SplitBill/workflow.json")),
    (".gitignore", include_str!("../../template/gitignore")),
];

/// Makes the folder and its files, and prints what to type next.
pub(crate) fn run(dir: &Path, program: &str) -> Result<()> {
    let shown = dir.display();
    check_empty(dir)?;
    for (path, text) in FILES {
        let path = dir.join(path);
        let doing = || format!("write {}", path.display());
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).map_err(Error::io(doing()))?;
        fs::write(&path, text).map_err(Error::io(doing()))?;
    }
    let quoted = shell_word(&dir.to_string_lossy());
    output::print(&format!(
        "Made an app in {shown}: an MCP server named first, with the tools Greet and SplitBill.\n\
         \n\
         Serve it:\n  {program} serve {quoted}\n\
         Then, in another terminal, get a URL and an API key for it:\n  {program} key issue"
    ))
}

fn check_empty(dir: &Path) -> Result<()> {
    let shown = dir.display();
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Error::Usage(format!(
            "{shown} is a file: name a folder that is empty or not there"
        ))),
        Err(error) => Err(Error::io(format!("look into {shown}"))(error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::Usage(format!(
                "{shown} is not empty, and nothing in it is ever overwritten: name a folder that is \
                 empty or not there. To serve what is there, run keyward serve {}",
                shell_word(&dir.to_string_lossy())
            ))),
        },
    }
}

/// Writes a path as a shell reads it as one word.
pub(crate) fn shell_word(text: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_app_holds_and_offers_all_it_has() {
        let mut files = app::Files::new();
        for (path, text) in FILES.into_iter().filter(|(path, _)| app::is_app_file(path)) {
            files.insert(path, text).unwrap();
        }
        let app = app::App::from_files(&files).unwrap();
        assert_eq!(app.left_out(), []);
        assert!(app.mcp_enabled() && app.authentication() == app::Authentication::ApiKey);
        let tools: Vec<_> = app.servers()[0].tools().iter().map(|tool| tool.name()).collect();
        assert_eq!(tools, ["Greet", "SplitBill"]);
    }

    #[test]
    fn a_path_is_printed_as_one_word_of_a_shell() {
        assert_eq!(shell_word("examples/helpdesk"), "examples/helpdesk");
        assert_eq!(shell_word("my tools"), "'my tools'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
    }
}
