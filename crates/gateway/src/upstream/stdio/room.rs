//! Which session ends where there is no room for one more.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::limits;

/// One session: whose it is, and since when it is unused.
#[derive(Debug)]
pub(super) struct Held<K, C> {
    pub(super) key: K,
    /// What the key was narrowed to.
    pub(super) children: C,
    pub(super) unused_since: Option<Instant>,
}

/// What makes room for a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// The end of this one.
    Without(usize),
    /// Nothing: all that could end are in use.
    Full,
}

/// Finds room for a session of this key. Where the key has too many, its own end; where the server
/// has, those of whoever holds the most, so that nobody can end another's by opening many.
pub(super) fn room<K: Ord, C: Ord>(held: &[Held<K, C>], key: &K, children: &C) -> Room {
    let is_own = |one: &Held<K, C>| one.key == *key && one.children == *children;
    if held.iter().filter(|one| is_own(one)).count() >= limits::KEY_SESSION_COUNT {
        return longest_unused(held, is_own);
    }
    if held.len() < limits::SERVER_SESSION_COUNT {
        return Room::Free;
    }
    // The one to come counts.
    let all = held.iter().map(|one| (&one.key, &one.children)).chain([(key, children)]);
    let Some(most) = largest(all.clone().map(|(key, _)| key), key) else { return Room::Full };
    let narrowed = all.filter(|(key, _)| *key == most).map(|(_, children)| children);
    let Some(part) = largest(narrowed, children) else { return Room::Full };
    longest_unused(held, |one| one.key == *most && one.children == *part)
}

/// Who is there most often; `own` where another is as often.
fn largest<'a, T: Ord>(all: impl Iterator<Item = &'a T>, own: &T) -> Option<&'a T> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_insert(0_usize) += 1;
    }
    counts.into_iter().max_by_key(|(one, count)| (*count, *one == own)).map(|(one, _)| one)
}

fn longest_unused<K, C>(held: &[Held<K, C>], is: impl Fn(&Held<K, C>) -> bool) -> Room {
    let all = held.iter().enumerate().filter(|(_, one)| is(one));
    let unused = all.filter_map(|(number, one)| Some((one.unused_since?, number)));
    unused.min().map_or(Room::Full, |(_, number)| Room::Without(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(count: usize, key: u8, children: u8) -> impl Iterator<Item = Held<u8, u8>> {
        let unused_since = Some(Instant::now());
        (0..count).map(move |_| Held { key, children, unused_since })
    }

    #[test]
    fn a_session_makes_room_among_its_own_and_then_among_those_of_whoever_has_the_most() {
        let most = limits::KEY_SESSION_COUNT;
        let mut all: Vec<_> = held(10, 1, 0).chain(held(most, 1, 1)).collect();
        assert_eq!(room(&all, &1, &0), Room::Free);
        assert_eq!(room(&all, &1, &1), Room::Without(10));
        all.extend(held(limits::SERVER_SESSION_COUNT - all.len(), 2, 0));
        // Not the parent's, which hold few, nor the other key's.
        assert_eq!(room(&all, &1, &0), Room::Without(10));
        assert_eq!(room(&all, &3, &0), Room::Without(10));
        all[10].unused_since = None;
        assert_eq!(room(&all, &3, &0), Room::Without(11));
        all.iter_mut().filter(|one| one.key == 1).for_each(|one| one.unused_since = None);
        assert_eq!(room(&all, &3, &0), Room::Full);
    }
}
