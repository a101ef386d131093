use std::env::VarError;

/// How many worlds of each kind to go through, where `KEYWARD_SEEDS` says so.
#[expect(clippy::disallowed_methods, reason = "how long the simulation runs is not configuration")]
pub(crate) fn asked_for() -> Option<u64> {
    match std::env::var("KEYWARD_SEEDS") {
        Ok(count) => Some(count.parse().expect("KEYWARD_SEEDS is a number")),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(_)) => panic!("KEYWARD_SEEDS is a number"),
    }
}

/// Says what was measured, to whoever runs the tests with `--nocapture`.
#[expect(clippy::print_stdout, reason = "the figures are what somebody asks for")]
pub(crate) fn report(text: &str) {
    println!("{text}");
}
