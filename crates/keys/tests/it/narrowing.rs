use keys::{Error, MAX_CAVEATS, RevokedId, Terms, Timestamp};

use crate::support::{NOW, WHOLE, at, child, issue, key_id, list, parse, ring, until, within};

#[test]
fn a_narrowed_key_keeps_its_id_and_gains_a_child_id() {
    let parent = issue(&until(at(10)));
    let narrowed = parse(&parent.narrow(child(1), &until(at(5))).unwrap());
    assert_eq!(narrowed.key_id(), key_id());
    assert_eq!(narrowed.child_ids(), [child(1)]);
    assert_eq!(narrowed.not_after(), Some(at(5)));
    assert_eq!(parent.claims().own_id(), RevokedId::Key(key_id()));
    assert_eq!(narrowed.claims().own_id(), RevokedId::Child(key_id(), child(1)));
}

#[test]
fn wider_terms_change_nothing() {
    let parent = issue(&Terms { not_after: Some(at(5)), scopes: Some(list(&["a/x"])) });
    let wider = Terms { not_after: Some(at(10)), scopes: Some(list(&["a", "b"])) };
    let narrowed = parse(&parent.narrow(child(1), &wider).unwrap());
    let grant = ring().check(&narrowed, NOW).unwrap();
    assert_eq!(grant.not_after(), Some(at(5)));
    assert_eq!(grant.scopes(), parent.scopes().as_ref());
}

#[test]
fn scopes_that_do_not_meet_reach_nothing() {
    let narrowed = parse(&issue(&within(&["a"])).narrow(child(1), &within(&["b"])).unwrap());
    let grant = ring().check(&narrowed, NOW).unwrap();
    assert!(grant.scopes().unwrap().is_empty());
    assert!(!grant.reaches_server("a") && !grant.reaches_server("b"));
}

#[test]
fn a_key_is_narrowed_until_it_carries_16_caveats() {
    let mut key = issue(&WHOLE);
    for number in 0..16 {
        key = parse(&key.narrow(child(number), &WHOLE).unwrap());
    }
    assert_eq!(key.child_ids().len(), MAX_CAVEATS);
    assert!(ring().check(&key, NOW).is_ok());
    assert_eq!(key.narrow(child(16), &WHOLE).unwrap_err(), Error::TooManyCaveats);
}

#[test]
fn a_not_after_before_1970_is_not_narrowed_to() {
    let refused = issue(&WHOLE).narrow(child(1), &until(Timestamp::from_unix_ms(-1)));
    assert_eq!(refused.unwrap_err(), Error::NotAfterOutOfRange);
}

#[test]
fn the_digest_of_the_caveats_tells_narrowed_keys_apart() {
    let parent = issue(&WHOLE);
    let again = issue(&WHOLE);
    let narrowed = parse(&parent.narrow(child(1), &WHOLE).unwrap());
    assert_eq!(parent.caveats_digest(), again.caveats_digest());
    assert_ne!(parent.caveats_digest(), narrowed.caveats_digest());
}
