//! What the supervisor of a child process says of its end.

use std::fmt;

/// Begins every line that a supervisor writes to standard error on its own behalf.
const PREFIX: &str = "keyward supervise: ";
const NOT_STARTED: &str = "not started: ";
const EXITED: &str = "exited with status ";
const SIGNALLED: &str = "ended by signal ";

/// The last thing a supervisor says: one line on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The program could not be started; says why, and nothing of its arguments.
    NotStarted(String),
    /// The child ended by itself, with this exit status.
    Exited(i32),
    /// This signal ended the child.
    Signalled(i32),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::NotStarted(why) => write!(f, "{NOT_STARTED}{why}"),
            Self::Exited(status) => write!(f, "{EXITED}{status}"),
            Self::Signalled(signal) => write!(f, "{SIGNALLED}{signal}"),
        }
    }
}

impl Report {
    /// Reads a line of a supervisor; none for a line that is somebody else's.
    pub(super) fn read(line: &str) -> Option<Self> {
        let text = line.strip_prefix(PREFIX)?;
        let number = |prefix: &str| text.strip_prefix(prefix)?.parse().ok();
        if let Some(why) = text.strip_prefix(NOT_STARTED) {
            return Some(Self::NotStarted(why.to_owned()));
        }
        number(EXITED).map(Self::Exited).or_else(|| number(SIGNALLED).map(Self::Signalled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_what_it_was() {
        for report in
            [Report::NotStarted("not found".to_owned()), Report::Exited(3), Report::Signalled(9)]
        {
            assert_eq!(Report::read(&report.to_string()), Some(report));
        }
        for line in ["", "exited with status 3", "keyward supervise: exited with status x"] {
            assert_eq!(Report::read(line), None, "{line}");
        }
    }
}
