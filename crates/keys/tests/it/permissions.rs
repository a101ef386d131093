use keys::permission::{Issuer, Owner, Reader};
use keys::{Caller, Role};

use crate::support::app;

#[test]
fn a_role_has_the_permissions_of_those_below_it_and_no_others() {
    let allowed = |role| {
        let caller = Caller::new("someone", role);
        [
            caller.require::<Reader>(app()).is_ok(),
            caller.require::<Issuer>(app()).is_ok(),
            caller.require::<Owner>(app()).is_ok(),
        ]
    };
    assert_eq!(allowed(Role::Reader), [true, false, false]);
    assert_eq!(allowed(Role::Issuer), [true, true, false]);
    assert_eq!(allowed(Role::Owner), [true, true, true]);
}

#[test]
fn a_refusal_names_the_role_that_is_lacking() {
    let forbidden = Caller::new("ci", Role::Reader).require::<Owner>(app()).unwrap_err();
    assert_eq!((forbidden.has(), forbidden.needed()), (Role::Reader, Role::Owner));
    assert_eq!(forbidden.to_string(), "\"ci\" has the role reader and needs owner");
}

#[test]
fn an_authorization_says_who_acts_on_which_app() {
    let by = Caller::new("operator", Role::Owner).require::<Owner>(app()).unwrap();
    assert_eq!((by.by(), by.app()), ("operator", app()));
}

#[test]
fn roles_are_parsed_without_regard_to_case() {
    for role in Role::ALL {
        assert_eq!(role.as_str().to_uppercase().parse(), Ok(role));
    }
    assert!("admin".parse::<Role>().is_err());
}
