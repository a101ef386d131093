//! Who uses the child that all share, and how much of it.

use keys::{ApiKeyId, ChildId, Claims};

use crate::limits;

/// Who has used a child so far.
#[derive(Debug)]
pub(super) enum Users {
    None,
    /// None is whoever comes without a key.
    One(Option<Identity>),
    Many,
}

/// An API key, told apart from what it was narrowed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) key: ApiKeyId,
    children: Vec<ChildId>,
}

impl Identity {
    pub(super) fn of(claims: &Claims) -> Self {
        Self { key: claims.key_id(), children: claims.child_ids().to_vec() }
    }
}

impl Users {
    /// Notes who uses it.
    pub(super) fn add(&mut self, user: Option<Identity>) {
        let is_known = matches!(self, Self::One(one) if *one == user);
        if !is_known {
            *self = if matches!(self, Self::None) { Self::One(user) } else { Self::Many };
        }
    }
}

/// Says whether somebody may begin another call where these are under way. Narrowed keys cost nothing to
/// make, so that all that come of one key count together as well.
pub(super) fn may_call<'a>(user: &Identity, under_way: impl Iterator<Item = &'a Identity>) -> bool {
    let (mut own, mut of_key) = (0, 0);
    for other in under_way.filter(|other| other.key == user.key) {
        of_key += 1;
        own += usize::from(other == user);
    }
    own < limits::KEY_CALL_COUNT && of_key < limits::KEY_CALL_COUNT_IN_ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_calls_and_all_that_were_narrowed_from_it_have_theirs() {
        let user = |key, children: &[u8]| Identity {
            key: ApiKeyId::from_bytes([key; 16]),
            children: children.iter().map(|child| ChildId::from_bytes([*child; 16])).collect(),
        };
        let mut under_way: Vec<_> = vec![user(1, &[]); limits::KEY_CALL_COUNT - 1];
        assert!(may_call(&user(1, &[]), under_way.iter()));
        under_way.push(user(1, &[]));
        assert!(!may_call(&user(1, &[]), under_way.iter()));
        assert!(may_call(&user(1, &[1]), under_way.iter()));
        for child in 2.. {
            if under_way.len() == limits::KEY_CALL_COUNT_IN_ALL {
                break;
            }
            under_way.push(user(1, &[child]));
            under_way.resize(under_way.len() / 128 * 128 + 128, user(1, &[child]));
        }
        assert!(!may_call(&user(1, &[1]), under_way.iter()));
        assert!(may_call(&user(2, &[]), under_way.iter()));
    }
}
