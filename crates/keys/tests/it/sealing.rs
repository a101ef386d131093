use keys::{AppId, Error, KeyRing, MasterKey, MasterKeys, OperatorToken, Slot, SysRng};

use crate::support::{NOW, WHOLE, app, checksum, issue, primary, secondary};

fn master() -> MasterKey {
    MasterKey::generate(&mut SysRng).unwrap()
}

fn again(master: &MasterKey) -> MasterKey {
    MasterKey::parse(master.expose()).unwrap()
}

#[test]
fn a_sealed_access_key_opens_to_the_same_key() {
    let masters = MasterKeys::new(master(), []);
    let sealed = masters.seal(&mut SysRng, &primary(), &app(), Slot::Primary).unwrap();
    assert_eq!(sealed.len(), 65);
    let opened = masters.open(&sealed, &app(), Slot::Primary, primary().id()).unwrap();
    let ring = KeyRing::new(app(), opened, secondary(), []);
    assert!(ring.check(&issue(&WHOLE), NOW).is_ok());
}

#[test]
fn the_first_master_key_seals_and_all_open() {
    let (old, new) = (master(), master());
    let before = MasterKeys::new(again(&old), []);
    let sealed = before.seal(&mut SysRng, &primary(), &app(), Slot::Primary).unwrap();

    let both = MasterKeys::new(again(&new), [again(&old)]);
    assert!(both.open(&sealed, &app(), Slot::Primary, primary().id()).is_ok());
    assert!(!both.sealed_by_first(&sealed));
    let resealed = both.seal(&mut SysRng, &primary(), &app(), Slot::Primary).unwrap();
    assert!(both.sealed_by_first(&resealed));

    let after = MasterKeys::new(again(&new), []);
    assert!(after.open(&resealed, &app(), Slot::Primary, primary().id()).is_ok());
    let refused = after.open(&sealed, &app(), Slot::Primary, primary().id());
    assert_eq!(refused.unwrap_err(), Error::MasterKeyMissing { id: old.id() });
}

#[test]
fn a_sealed_access_key_opens_nowhere_but_in_its_place() {
    let masters = MasterKeys::new(master(), []);
    let sealed = masters.seal(&mut SysRng, &primary(), &app(), Slot::Primary).unwrap();
    let elsewhere = AppId::from_bytes([8; 16]);
    for (app, slot, id) in [
        (elsewhere, Slot::Primary, primary().id()),
        (app(), Slot::Secondary, primary().id()),
        (app(), Slot::Primary, secondary().id()),
    ] {
        let refused = masters.open(&sealed, &app, slot, id);
        assert_eq!(refused.unwrap_err(), Error::SealBroken);
    }
}

#[test]
fn an_altered_seal_does_not_open() {
    let masters = MasterKeys::new(master(), []);
    let sealed = masters.seal(&mut SysRng, &primary(), &app(), Slot::Primary).unwrap();
    let open = |sealed: &[u8]| masters.open(sealed, &app(), Slot::Primary, primary().id());
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(open(&altered).is_err(), "byte {at}");
    }
    for len in 0..sealed.len() {
        assert_eq!(open(&sealed[..len]).unwrap_err(), Error::SealMalformed);
    }
    assert_eq!(open(&[&sealed[..], b"x"].concat()).unwrap_err(), Error::SealMalformed);
}

#[test]
fn no_two_seals_of_one_key_are_alike() {
    let masters = MasterKeys::new(master(), []);
    let seal = || masters.seal(&mut SysRng, &primary(), &app(), Slot::Primary).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn a_sealed_operator_token_opens_under_its_name_alone_and_is_no_access_key() {
    let (old, new) = (master(), master());
    let before = MasterKeys::new(again(&old), []);
    let token = OperatorToken::generate(&mut SysRng).unwrap();
    let sealed = before.seal_operator_token(&mut SysRng, &token, "operator").unwrap();
    assert!(before.open_operator_token(&sealed, "operator").unwrap().matches(token.expose()));
    assert_eq!(before.open_operator_token(&sealed, "ci").unwrap_err(), Error::SealBroken);
    let key = primary();
    assert!(before.open(&sealed, &app(), Slot::Primary, key.id()).is_err());
    let sealed_key = before.seal(&mut SysRng, &key, &app(), Slot::Primary).unwrap();
    assert_eq!(before.open_operator_token(&sealed_key, "operator").unwrap_err(), Error::SealBroken);

    let both = MasterKeys::new(again(&new), [again(&old)]);
    assert!(both.open_operator_token(&sealed, "operator").is_ok());
    let after = MasterKeys::new(new, []);
    let refused = after.open_operator_token(&sealed, "operator").unwrap_err();
    assert_eq!(refused, Error::MasterKeyMissing { id: old.id() });
}

#[test]
fn the_files_of_a_deployment_open_for_their_app_and_version_alone() {
    let (old, new) = (master(), master());
    let before = MasterKeys::new(again(&old), []);
    for files in [&b""[..], b"{\"host.json\": \"{}\"}", &[7; 32], &vec![9; 100_000]] {
        let sealed = before.seal_deployment(&mut SysRng, files, &app(), 3).unwrap();
        assert_eq!(sealed.len(), 33 + files.len());
        assert_eq!(before.open_deployment(&sealed, &app(), 3).unwrap().as_slice(), files);
        let open =
            |app: &AppId, version| before.open_deployment(&sealed, app, version).unwrap_err();
        assert_eq!(open(&app(), 4), Error::SealBroken);
        assert_eq!(open(&AppId::from_bytes([8; 16]), 3), Error::SealBroken);
        let cut = before.open_deployment(&sealed[..sealed.len() - 1], &app(), 3);
        assert!(matches!(cut, Err(Error::SealBroken | Error::SealMalformed)));
        assert!(before.open(&sealed, &app(), Slot::Primary, primary().id()).is_err());
        let after = MasterKeys::new(again(&new), []);
        let refused = after.open_deployment(&sealed, &app(), 3).unwrap_err();
        assert_eq!(refused, Error::MasterKeyMissing { id: old.id() });
    }
}

#[test]
fn a_master_key_and_an_operator_token_are_parsed_from_their_texts_alone() {
    let (master, token) = (master(), OperatorToken::generate(&mut SysRng).unwrap());
    assert!(master.expose().starts_with("kwm1_") && master.expose().len() == 54);
    assert!(token.expose().starts_with("kwo1_") && token.expose().len() == 54);
    assert_eq!(again(&master).id(), master.id());
    assert!(OperatorToken::parse(token.expose()).unwrap().matches(token.expose()));

    assert!(MasterKey::parse(token.expose()).is_err());
    assert!(OperatorToken::parse(master.expose()).is_err());
    for text in [master.expose(), token.expose()] {
        let (cut, _last) = text.split_at(text.len() - 1);
        let spaced = format!("{text}\n");
        for wrong in ["", cut, &spaced] {
            assert!(MasterKey::parse(wrong).is_err() && OperatorToken::parse(wrong).is_err());
        }
    }
}

#[test]
fn a_text_of_another_length_is_no_master_key_and_no_token() {
    // 31 and 33 bytes of zeros, with the checksums that fit.
    for body in ["A".repeat(42), "A".repeat(44)] {
        for prefix in ["kwm1_", "kwo1_"] {
            let text = format!("{prefix}{body}");
            let text = text.clone() + &checksum(&text);
            let wrong = keys::Malformed::BodyLength;
            if prefix == "kwm1_" {
                assert_eq!(MasterKey::parse(&text).unwrap_err(), Error::MasterKey(wrong));
            } else {
                assert_eq!(OperatorToken::parse(&text).unwrap_err(), Error::OperatorToken(wrong));
            }
        }
    }
}

#[test]
fn an_operator_token_matches_itself_and_nothing_else() {
    let token = OperatorToken::generate(&mut SysRng).unwrap();
    let other = OperatorToken::generate(&mut SysRng).unwrap();
    assert!(token.matches(token.expose()));
    assert!(!token.matches(other.expose()));
    assert!(!token.matches("") && !token.matches(token.expose().trim_start_matches('k')));
    assert!(!token.matches(&token.expose().to_lowercase().replace("kwo1_", "kwo2_")));
}
