//! Secrets in places where they must not be.

use std::ffi::OsString;

use crate::error::{Error, Result};

/// How our secrets begin: API keys, operator tokens, master keys.
const PREFIXES: [&[u8]; 3] = [b"kwk1_", b"kwo1_", b"kwm1_"];

/// Refuses a secret on the command line, where every process of the machine can read it and the
/// shell's history keeps it; before anything could repeat it in a message.
pub(crate) fn refuse_in_arguments(typed: &[OsString]) -> Result<()> {
    if !typed.iter().any(|argument| holds_secret(argument.as_encoded_bytes())) {
        return Ok(());
    }
    Err(Error::Usage(
        "a key or token was given on the command line, where every process of this machine can see \
         it and the shell's history keeps it. Give an API key on standard input (keyward key inspect \
         < key.txt), an operator token in KEYWARD_TOKEN, a master key in a file; and replace the one \
         that was just typed, if others use this machine"
            .to_owned(),
    ))
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
