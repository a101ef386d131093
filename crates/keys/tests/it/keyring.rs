use keys::{
    AccessKey, AccessKeyId, Error, KeyRing, MAX_TEXT_LEN, Presented, Refusal, RevokedId, Slot,
    SysRng, Terms, Timestamp,
};

use crate::support::{
    NOW, WHOLE, app, at, child, issue, key_id, list, parse, primary, ring, ring_without, secondary,
    until, within,
};

#[test]
fn a_key_is_valid_at_its_instant_and_refused_a_millisecond_later() {
    let presented = issue(&until(NOW));
    assert_eq!(ring().check(&presented, NOW).unwrap().not_after(), Some(NOW));
    assert_eq!(ring().check(&presented, at(1)), Err(Refusal::Expired { at: NOW }));
}

#[test]
fn a_key_without_a_not_after_never_expires() {
    let presented = issue(&WHOLE);
    assert_eq!(presented.not_after(), None);
    assert!(ring().check(&presented, Timestamp::from_unix_ms(i64::MAX)).is_ok());
}

#[test]
fn regenerating_one_slot_ends_its_keys_and_leaves_the_others() {
    let from_primary = issue(&WHOLE);
    let from_secondary = parse(&secondary().issue(&app(), key_id(), &WHOLE).unwrap());
    let regenerated =
        AccessKey::generate_apart_from(&[primary().id(), secondary().id()], &mut SysRng).unwrap();
    let after = KeyRing::new(app(), regenerated, secondary(), []);

    assert_eq!(after.check(&from_primary, NOW), Err(Refusal::AccessKeyRegenerated));
    assert_eq!(after.check(&from_secondary, NOW).unwrap().slot(), Slot::Secondary);
    let opened = ring().check(&from_primary, NOW).unwrap();
    assert_eq!(after.judge(opened.claims(), NOW), Err(Refusal::AccessKeyRegenerated));
}

#[test]
fn a_key_is_refused_by_an_app_that_did_not_issue_it() {
    let elsewhere = KeyRing::new(keys::AppId::from_bytes([8; 16]), primary(), secondary(), []);
    assert_eq!(elsewhere.check(&issue(&WHOLE), NOW), Err(Refusal::NotIssuedHere));
}

#[test]
fn two_slots_with_one_access_key_id_are_told_apart_by_the_tag() {
    let twin = || AccessKey::from_secret(primary().id(), [99; 32]);
    let ring = KeyRing::new(app(), primary(), twin(), []);
    let from_twin = parse(&twin().issue(&app(), key_id(), &WHOLE).unwrap());
    assert_eq!(ring.check(&issue(&WHOLE), NOW).unwrap().slot(), Slot::Primary);
    assert_eq!(ring.check(&from_twin, NOW).unwrap().slot(), Slot::Secondary);
}

#[test]
fn a_new_access_key_has_none_of_the_taken_ids() {
    struct Repeating;
    impl rand_core::TryRng for Repeating {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Repeating {}
    let taken = [AccessKeyId::from_bytes([0; 4])];
    assert!(AccessKey::generate(&mut Repeating).is_ok());
    let refused = AccessKey::generate_apart_from(&taken, &mut Repeating);
    assert_eq!(refused.unwrap_err(), Error::Random);
}

#[test]
fn revoking_a_parent_ends_its_children_and_revoking_a_child_only_its_own() {
    let parent = issue(&WHOLE);
    let first = parse(&parent.narrow(child(1), &WHOLE).unwrap());
    let second = parse(&parent.narrow(child(2), &WHOLE).unwrap());
    let grandchild = parse(&first.narrow(child(3), &WHOLE).unwrap());
    let ended_by = |revoked: RevokedId| {
        let ring = ring_without([revoked]);
        [&parent, &first, &second, &grandchild].map(|key| {
            let checked = ring.check(key, NOW).map(|_grant| ());
            assert_eq!(checked, ring.judge(key.claims(), NOW), "both judge alike");
            checked == Err(Refusal::Revoked)
        })
    };

    assert_eq!(ended_by(parent.claims().own_id()), [true, true, true, true]);
    assert_eq!(ended_by(first.claims().own_id()), [false, true, false, true]);
    assert_eq!(ended_by(RevokedId::AnyChild(child(1))), [false, true, false, true]);
    assert_eq!(ended_by(second.claims().own_id()), [false, false, true, false]);
    assert_eq!(ended_by(grandchild.claims().own_id()), [false, false, false, true]);
}

#[test]
fn what_is_open_is_judged_by_time_too() {
    let grant = ring().check(&issue(&until(NOW)), NOW).unwrap();
    assert_eq!(ring().judge(grant.claims(), NOW), Ok(()));
    assert_eq!(ring().judge(grant.claims(), at(1)), Err(Refusal::Expired { at: NOW }));
}

#[test]
fn a_grant_reaches_what_its_scopes_name() {
    let grant = ring().check(&issue(&within(&["helpdesk/CreateTicket"])), NOW).unwrap();
    assert!(grant.reaches_server("HelpDesk") && !grant.whole_server("helpdesk"));
    assert!(grant.reaches_tool("helpdesk", "CreateTicket"));
    assert!(!grant.reaches_tool("helpdesk", "createticket") && !grant.reaches_server("default"));

    let whole = ring().check(&issue(&WHOLE), NOW).unwrap();
    assert!(whole.reaches_tool("anything", "at all") && whole.whole_server("anything"));
}

#[test]
fn a_not_after_that_no_rfc_3339_instant_has_is_not_issued() {
    let last = Timestamp::parse_rfc3339("9999-12-31T23:59:59.999Z").unwrap();
    let one_more = Timestamp::from_unix_ms(last.unix_ms() + 1);
    let issue = |at| primary().issue(&app(), key_id(), &until(at)).map(|_key| ());
    assert_eq!(issue(Timestamp::from_unix_ms(0)), Ok(()));
    assert_eq!(issue(last), Ok(()));
    assert_eq!(issue(Timestamp::from_unix_ms(-1)), Err(Error::NotAfterOutOfRange));
    assert_eq!(issue(one_more), Err(Error::NotAfterOutOfRange));
}

#[test]
fn a_key_that_would_pass_1024_characters_is_not_issued() {
    let names = |last: usize| {
        let long = |server: char, len: usize| format!("{server}/{}", "t".repeat(len - 2));
        let [a, b, c] = [long('a', 255), long('b', 255), long('c', last)];
        Terms { not_after: None, scopes: Some(list(&[&a, &b, &c])) }
    };
    // 20 and 32 bytes of ids and tag, 3 of the caveat's head, 512 of the first two entries.
    let fits = primary().issue(&app(), key_id(), &names(759 - 52 - 3 - 512 - 1)).unwrap();
    assert_eq!(fits.expose().len(), MAX_TEXT_LEN - 1);
    let refused = primary().issue(&app(), key_id(), &names(760 - 52 - 3 - 512 - 1));
    assert_eq!(refused.map(|_key| ()), Err(Error::TooLong));
    let narrowed = Presented::parse(fits.expose().as_bytes()).unwrap().narrow(child(1), &WHOLE);
    assert_eq!(narrowed.map(|_key| ()), Err(Error::TooLong));
}

#[test]
fn every_refusal_says_what_to_do() {
    let refusals = [
        Refusal::Missing,
        Refusal::Repeated,
        Refusal::Malformed(keys::Malformed::Checksum),
        Refusal::Expired { at: NOW },
        Refusal::AccessKeyRegenerated,
        Refusal::NotIssuedHere,
        Refusal::Revoked,
        Refusal::OutOfScope { server: "helpdesk".to_owned(), tool: Some("x\ny".to_owned()) },
    ];
    for refusal in refusals {
        let text = refusal.to_string();
        assert!(["Ask", "ask", "Send"].iter().any(|word| text.contains(word)), "{text}");
        assert!(!text.contains('\n'), "what the client sent is escaped: {text}");
    }
    let text = Refusal::Expired { at: NOW }.to_string();
    assert!(text.contains("expired at 2026-01-01T00:00:00Z"), "{text}");
}
