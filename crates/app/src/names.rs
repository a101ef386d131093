//! Names that were meant for others.

/// Gives how far two names are apart, if one may be the other misspelt: letters and digits count,
/// without their case.
pub(crate) fn distance(given: &str, known: &str) -> Option<usize> {
    let fold = |name: &str| -> String {
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let (given, known) = (fold(given), fold(known));
    let most = match known.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    let distance = strsim::osa_distance(&given, &known);
    (!given.is_empty() && distance <= most).then_some(distance)
}
