use keys::{AccessKeyId, ApiKeyId, AppId, ChildId, Error, RevokedId, Slot, SysRng};

use crate::support::{NOW, at, child, key_id};

#[test]
fn ids_are_parsed_from_what_they_print() {
    let app = AppId::generate(&mut SysRng).unwrap();
    assert_eq!(app.to_string().parse(), Ok(app));
    let access_key = AccessKeyId::from_bytes([0, 1, 0xab, 0xff]);
    assert_eq!(access_key.to_string(), "0001abff");
    assert_eq!("0001ABFF".parse(), Ok(access_key));
    assert_eq!(key_id().to_string().parse(), Ok(key_id()));
    assert_eq!(child(9).to_string().parse(), Ok(child(9)));
    let known = [RevokedId::Key(key_id()), RevokedId::Child(key_id(), child(9))];
    for revoked in known {
        assert_eq!(revoked.to_string().parse(), Ok(revoked));
        assert_eq!(revoked.key_id(), Some(key_id()));
    }
    let alone = RevokedId::AnyChild(child(9));
    assert_eq!((alone.to_string().parse(), alone.key_id()), (Ok(alone), None));
}

#[test]
fn what_is_no_id_is_refused_with_the_form_that_it_should_have() {
    for text in ["", "0001abf", "0001abfff", "0001abfg", "+001abff", " 0001abff"] {
        assert!(text.parse::<AccessKeyId>().is_err(), "{text:?}");
    }
    for text in ["", "019b76daa8007abc8123456789abcdef", "{019b76da-a800-7abc-8123-456789abcdef}"] {
        assert!(text.parse::<ApiKeyId>().is_err(), "{text:?}");
    }
    let error = "x".parse::<ChildId>().unwrap_err();
    assert_eq!(error.to_string(), "\"x\" is no child id: expected 32 hexadecimal digits");
    assert!("019b76da-a800-7abc-8123-456789abcdef/".parse::<RevokedId>().is_err());
}

#[test]
fn a_key_id_is_a_uuid_of_version_7_that_sorts_by_its_time() {
    let first = ApiKeyId::generate(NOW, &mut SysRng).unwrap();
    let second = ApiKeyId::generate(at(1), &mut SysRng).unwrap();
    assert!(first < second);
    assert!(first.to_string().starts_with("019b76da-a800-7"), "{first}");
    assert!(matches!(first.as_bytes()[8] >> 6, 0b10));
}

#[test]
fn a_slot_is_parsed_without_regard_to_case() {
    assert_eq!("Primary".parse(), Ok(Slot::Primary));
    assert_eq!("SECONDARY".parse(), Ok(Slot::Secondary));
    let error = "tertiary".parse::<Slot>().unwrap_err();
    assert_eq!(error, Error::Slot { given: "tertiary".to_owned() });
}
