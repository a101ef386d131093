use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Change, LAYOUT, path};

/// The change that has happened and may not be in its place yet.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what this version has not written: what it is and what to do, as the rest
/// of a sentence about the journal. It quotes nothing, since app settings may be in it.
pub(crate) fn pending<R: DeserializeOwned>(data_dir: &Path) -> io::Result<Option<Change<R>>> {
    let bytes = match fs::read(path(data_dir)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Form { layout } = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
    if layout != LAYOUT {
        return Err(invalid(if layout > LAYOUT { NEWER } else { OLDER }));
    }
    let change: Change<R> = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
    let mut paths = change.write.keys().chain(&change.remove);
    if !Path::new(&change.of.folder).is_absolute() || !paths.all(|path| app::is_app_file(path)) {
        return Err(invalid(format!("names what no deployment writes: {LOOK}")));
    }
    Ok(Some(change))
}

/// What all layouts have.
#[derive(Deserialize)]
struct Form {
    layout: u8,
}

const LOOK: &str = "see that the app's files are as they shall be, and remove it";
const NEWER: &str = "was written by a newer version of Keyward: serve with that one";
const OLDER: &str = "was written by an earlier version of Keyward and does not say which folder it is of: \
                     serve that folder once with the earlier one, or see that its files are as they \
                     shall be, and remove the journal";

fn damaged(error: &serde_json::Error) -> io::Error {
    let (line, column) = (error.line(), error.column());
    invalid(format!("cannot be read (line {line}, column {column}): {LOOK}"))
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, change};
    use super::super::{begin, path};
    use super::*;

    #[test]
    fn a_journal_that_this_version_has_not_written_is_refused_and_not_quoted() {
        let place = Place::new();
        let journal = path(&place.data());
        begin(&place.data(), &change()).unwrap();
        let whole = fs::read_to_string(&journal).unwrap();
        let other = |from: &str, to: &str| whole.replace(from, to);
        let mut cases: Vec<_> = (0..whole.len())
            .map(|end| (whole.get(..end).unwrap().to_owned(), "cannot be read"))
            .collect();
        cases.extend([
            (other("\"layout\":2", "\"layout\":1"), "an earlier version"),
            (other("\"layout\":2", "\"layout\":3"), "a newer version"),
            (other("host.json", "run.sh"), "names what no deployment writes"),
            (other("B/workflow.json", "../workflow.json"), "names what no deployment writes"),
            (other("/app", "app"), "names what no deployment writes"),
            (other("\"remove\":[", "\"remove\":[{\"secret\":1},"), "cannot be read"),
            (other("{\"C/workflow.json\"", "\"secret\",{\"C\""), "cannot be read"),
        ]);
        for (text, words) in cases {
            fs::write(&journal, &text).unwrap();
            let refused = pending::<String>(&place.data()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{text}");
            let refused = refused.to_string();
            assert!(refused.contains(words) && !refused.contains("secret"), "{text}: {refused}");
        }
        fs::write(&journal, &whole).unwrap();
        assert_eq!(pending::<String>(&place.data()).unwrap(), Some(change()));
    }
}
