use app::Authentication::{Absent, Anonymous, ApiKey, OAuth2};

use crate::support::app;

#[test]
fn each_type_accepts_what_the_contract_says() {
    for (authentication, keys, tokens, everyone) in [
        (Absent, true, true, false),
        (ApiKey, true, false, false),
        (OAuth2, false, true, false),
        (Anonymous, false, false, true),
    ] {
        assert_eq!(authentication.accepts_api_keys(), keys);
        assert_eq!(authentication.admits_api_keys(), keys || everyone);
        assert_eq!(authentication.accepts_access_tokens(), tokens);
        assert_eq!(authentication.accepts_everyone(), everyone);
    }
}

#[test]
fn authentication_widens_where_somebody_new_is_let_in() {
    let widening = [
        (ApiKey, Anonymous),
        (OAuth2, Anonymous),
        (Absent, Anonymous),
        (ApiKey, Absent),
        (OAuth2, Absent),
        (ApiKey, OAuth2),
        (OAuth2, ApiKey),
    ];
    let all = [Absent, ApiKey, OAuth2, Anonymous];
    for previous in all {
        for next in all {
            let widens = widening.contains(&(previous, next));
            assert_eq!(next.widens(previous), widens, "{previous:?} to {next:?}");
        }
    }
}

#[test]
fn an_app_widens_over_its_previous_state() {
    let state = |kind: &str, enable: bool| {
        let host = format!(
            r#"{{"extensions":{{"workflow":{{"McpServerEndpoints":{{"enable":{enable},"authentication":{{"type":"{kind}"}}}}}}}}}}"#
        );
        app(&[("host.json", &host)])
    };
    let with = |kind: &str| state(kind, true);
    assert!(with("Anonymous").widens_authentication_over(&with("ApiKey")));
    assert!(!with("ApiKey").widens_authentication_over(&with("Anonymous")));
    assert!(!with("ApiKey").widens_authentication_over(&with("apikey")));
    let off = |kind: &str| state(kind, false);
    assert!(with("Anonymous").widens_authentication_over(&off("Anonymous")));
    assert!(with("ApiKey").widens_authentication_over(&off("Anonymous")));
    assert!(!off("Anonymous").widens_authentication_over(&with("ApiKey")));
    assert!(!off("Anonymous").widens_authentication_over(&off("ApiKey")));
}
