use keys::{Error, Scope, Scopes};

use crate::support::list;

#[test]
fn a_scope_is_split_at_the_first_slash_and_its_server_put_into_lower_case() {
    let scope = Scope::parse("HelpDesk/Create/Ticket").unwrap();
    assert_eq!(
        (scope.server(), scope.tool(), scope.as_str()),
        ("helpdesk", Some("Create/Ticket"), "helpdesk/Create/Ticket")
    );
    assert_eq!(Scope::parse("default").unwrap().tool(), None);
}

#[test]
fn what_is_no_scope_is_refused_with_its_fault() {
    let long = "s".repeat(81);
    let too_long = format!("s/{}", "t".repeat(254));
    for (given, fault) in [
        ("", "names no server"),
        ("/tool", "names no server"),
        ("server/", "names no tool"),
        ("a.b", "other characters"),
        (" a", "other characters"),
        ("\u{130}", "other characters"),
        ("a/\n", "control character"),
        (&long, "more than 80"),
        (&too_long, "255 bytes"),
    ] {
        let error = Scope::parse(given).unwrap_err();
        assert!(error.to_string().contains(fault), "{error}");
    }
}

#[test]
fn a_list_is_sorted_unique_and_neither_empty_nor_longer_than_32() {
    let scopes = list(&["b", "a/x", "a-b", "A", "b"]);
    let texts: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    assert_eq!(texts, ["a", "a-b", "a/x", "b"]);
    assert_eq!(Scopes::new([]), Err(Error::NoScopes));
    let many =
        |count: usize| Scopes::new((0..count).map(|n| Scope::parse(&format!("s{n}")).unwrap()));
    assert!(many(32).is_ok());
    assert_eq!(many(33), Err(Error::TooManyScopes));
}

#[test]
fn a_server_covers_its_tools_and_a_tool_only_itself() {
    let scopes = list(&["a", "b/x"]);
    assert!(scopes.reaches_server("A") && scopes.reaches_server("b"));
    assert!(scopes.whole_server("A") && !scopes.whole_server("b"));
    assert!(scopes.reaches_tool("a", "anything") && scopes.reaches_tool("B", "x"));
    assert!(!scopes.reaches_tool("b", "X") && !scopes.reaches_server("c"));
}

#[test]
fn an_intersection_keeps_what_both_reach() {
    let both = list(&["a", "b/x", "c"]).intersect(&list(&["a/y", "b", "d"]));
    let texts: Vec<&str> = both.iter().map(Scope::as_str).collect();
    assert_eq!(texts, ["a/y", "b/x"]);
    assert!(list(&["a"]).intersect(&list(&["b"])).is_empty());
}
