//! Secrets in places where they must not be.

use std::ffi::OsString;

use crate::error::{Error, Result};

/// How our secrets begin: API keys, operator tokens, master keys.
const PREFIXES: [&[u8]; 3] = [b"kwk1_", b"kwo1_", b"kwm1_"];

/// Refuses a secret on the command line, where every process of the machine can read it and the
/// shell's history keeps it; before anything could repeat it in a message.
pub(crate) fn refuse_in_arguments(typed: &[OsString]) -> Result<()> {
    if !typed.iter().any(|argument| holds_secret(argument.as_encoded_bytes())) {
        return refuse_password(typed);
    }
    Err(Error::Usage(
        "a key or token was given on the command line, where every process of this machine can see \
         it and the shell's history keeps it. Give an API key on standard input (keyward key inspect \
         < key.txt), an operator token in KEYWARD_TOKEN, a master key in a file; and replace the one \
         that was just typed, if others use this machine"
            .to_owned(),
    ))
}

fn refuse_password(typed: &[OsString]) -> Result<()> {
    if !typed.iter().any(|argument| holds_password(&argument.to_string_lossy())) {
        return Ok(());
    }
    Err(Error::Usage(
        "a database's password was given on the command line, where every process of this machine can \
         see it and the shell's history keeps it. Leave it out of --store-url and give it in a file that \
         KEYWARD_STORE_PASSWORD_FILE or store.password_file names; or give the whole URL in \
         KEYWARD_STORE_URL"
            .to_owned(),
    ))
}

/// Whether there is a URL of a database with a colon in what comes before its host.
fn holds_password(text: &str) -> bool {
    let has_password = |rest: &str| {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
            // A password with a slash in it is cut off at the slash.
            || rest.split_once('@').is_some_and(|(user, _)| user.contains(':'))
            || rest.split_once('?').is_some_and(|(_, rest)| rest.contains("password="))
    };
    text.split("postgres://").skip(1).chain(text.split("postgresql://").skip(1)).any(has_password)
}

fn holds_secret(bytes: &[u8]) -> bool {
    PREFIXES
        .iter()
        .any(|prefix| bytes.windows(prefix.len()).any(|window| window.eq_ignore_ascii_case(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_of_a_database_is_noticed_anywhere_in_an_argument() {
        for (text, is) in [
            ("postgres://ada:s3cret@db/x", true),
            ("--store-url=postgresql://ada:s3cret@db/x", true),
            ("postgres://ada:s3/cret@db/x", true),
            ("postgres://ada@db/x?sslmode=require&password=s3cret", true),
            ("postgres://ada@db:5432/x", false),
            ("postgres:///x?host=/run/postgresql", false),
            ("postgres://[::1]:5432/x", false),
        ] {
            assert_eq!(holds_password(text), is, "{text}");
        }
    }

    #[test]
    fn a_secret_is_noticed_anywhere_in_an_argument() {
        for (text, is) in [
            ("kwk1_abc", true),
            ("--label=KWO1_abc", true),
            ("x kwm1_", true),
            ("kwk2_", false),
            ("kwk", false),
            ("", false),
        ] {
            assert_eq!(holds_secret(text.as_bytes()), is, "{text}");
        }
    }
}
