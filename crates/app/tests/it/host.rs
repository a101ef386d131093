use app::{App, Authentication, Files};

use crate::support::{app, lines, problems};

fn endpoints(json: &str) -> String {
    format!(r#"{{"extensions":{{"workflow":{{"McpServerEndpoints":{json}}}}}}}"#)
}

fn with_endpoints(json: &str) -> App {
    app(&[("host.json", &endpoints(json))])
}

fn prefixed(prefix: &str) -> String {
    format!(r#"{{"extensions":{{"http":{{"routePrefix":"{prefix}"}}}}}}"#)
}

#[test]
fn a_folder_without_host_json_is_no_app() {
    assert_eq!(
        lines(&App::from_files(&Files::new()).unwrap_err()),
        "host.json: is missing; expected the host.json of a Logic Apps Standard project"
    );
}

#[test]
fn what_other_programs_read_is_tolerated() {
    let app = app(&[(
        "host.json",
        r#"{"version":"2.0","logging":{"x":[1,null]},"extensionBundle":{"id":7},
            "extensions":{"workflow":{"Settings":{"Runtime.X":"1"}},"http":{"hsts":{}}},
            "functionTimeout":"00:10:00"}"#,
    )]);
    assert!(app.left_out().is_empty());
    assert_eq!(app.host_json()["functionTimeout"], "00:10:00");
}

#[test]
fn the_endpoints_are_off_until_host_json_turns_them_on() {
    assert!(!app(&[("host.json", "{}")]).mcp_enabled());
    assert!(!with_endpoints("{}").mcp_enabled());
    assert!(!with_endpoints(r#"{"enable":null}"#).mcp_enabled());
    assert!(!with_endpoints(r#"{"enable":false}"#).mcp_enabled());
    assert!(with_endpoints(r#"{"enable":true}"#).mcp_enabled());
    assert_eq!(
        problems(&[("host.json", &endpoints(r#"{"enable":"true"}"#))]),
        "host.json:1:59 (/extensions/workflow/McpServerEndpoints/enable): expected true or false, \
         found a string"
    );
}

#[test]
fn names_are_read_without_regard_to_case_and_once() {
    let host = r#"{"Extensions":{"WORKFLOW":{"mcpserverendpoints":{"Enable":true,
        "Authentication":{"Type":"apikey"}}}}}"#;
    let app = app(&[("host.json", host)]);
    assert!(app.mcp_enabled());
    assert_eq!(app.authentication(), Authentication::ApiKey);
    assert_eq!(
        problems(&[("host.json", &endpoints(r#"{"enable":true,"Enable":false}"#))]),
        "host.json:1:73 (/extensions/workflow/McpServerEndpoints/Enable): `Enable` is `enable` \
         again: keep one of the two"
    );
}

#[test]
fn each_authentication_type_is_read_without_regard_to_case() {
    for (json, expected) in [
        ("{}", Authentication::Absent),
        (r#"{"authentication":null}"#, Authentication::Absent),
        (r#"{"authentication":{}}"#, Authentication::Absent),
        (r#"{"authentication":{"type":null}}"#, Authentication::Absent),
        (r#"{"authentication":{"type":"ApiKey"}}"#, Authentication::ApiKey),
        (r#"{"authentication":{"type":"APIKEY"}}"#, Authentication::ApiKey),
        (r#"{"authentication":{"type":"OAuth2"}}"#, Authentication::OAuth2),
        (r#"{"authentication":{"type":"oauth2"}}"#, Authentication::OAuth2),
        (r#"{"authentication":{"type":"anonymous"}}"#, Authentication::Anonymous),
    ] {
        assert_eq!(with_endpoints(json).authentication(), expected, "{json}");
    }
}

#[test]
fn an_unknown_authentication_type_is_refused_and_the_known_ones_are_named() {
    for kind in ["Basic", "", "ApiKey "] {
        let json = format!(r#"{{"authentication":{{"type":"{kind}"}}}}"#);
        assert_eq!(
            problems(&[("host.json", &endpoints(&json))]),
            format!(
                "host.json:1:75 (/extensions/workflow/McpServerEndpoints/authentication/type): \
                 `{kind}` is no authentication type; expected `ApiKey`, `OAuth2`, `Anonymous`, or \
                 no `type` at all for OAuth 2.0 access tokens and API keys together"
            )
        );
    }
}

#[test]
fn a_misspelt_name_beside_the_authentication_is_told() {
    let app = with_endpoints(r#"{"enable":true,"authentification":{"type":"ApiKey"}}"#);
    assert_eq!(app.authentication(), Authentication::Absent);
    assert_eq!(
        app.left_out()[0].to_string(),
        "host.json /extensions/workflow/McpServerEndpoints/authentification: is not read; what is \
         read here: `enable`, `authentication`, `ProtectedResourceMetadata`"
    );
}

#[test]
fn a_route_prefix_replaces_api() {
    for (given, expected) in
        [("v1/tools", "v1/tools"), ("/tools/", "tools"), ("", ""), ("a-b_c.d~e", "a-b_c.d~e")]
    {
        assert_eq!(app(&[("host.json", &prefixed(given))]).route_prefix(), expected);
    }
    assert_eq!(app(&[]).route_prefix(), "api");
    app(&[("host.json", &prefixed(&"a".repeat(100)))]);
}

#[test]
fn a_route_prefix_that_is_no_path_is_refused() {
    for given in ["a//b", "..", "a/../b", ".well-known", "a b", "{x}", "ä", "a?b", "a%2Fb"] {
        let said = problems(&[("host.json", &prefixed(given))]);
        assert!(said.contains("cannot be a route prefix; expected path segments"), "{said}");
    }
    let said = problems(&[("host.json", &prefixed(&"a".repeat(101)))]);
    assert!(said.ends_with("is too long; expected at most 100 characters"), "{said}");
}

#[test]
fn the_protected_resource_metadata_is_read() {
    let app = with_endpoints(
        r#"{"enable":true,"ProtectedResourceMetadata":{
            "BearerMethodsSupported":["header"],"ScopesSupported":["api://x/user_impersonation"],
            "Resource":"https://desk.example.com/api/mcp",
            "AuthorizationServers":["https://login.example.com/tenant/v2.0","http://localhost:9/"]}}"#,
    );
    let metadata = app.resource_metadata().unwrap();
    assert_eq!(metadata.resource.as_deref(), Some("https://desk.example.com/api/mcp"));
    assert_eq!(
        metadata.authorization_servers,
        ["https://login.example.com/tenant/v2.0", "http://localhost:9/"]
    );
    assert_eq!(metadata.scopes_supported, ["api://x/user_impersonation"]);
    assert_eq!(metadata.bearer_methods_supported, ["header"]);
    assert!(with_endpoints("{}").resource_metadata().is_none());
}

#[test]
fn protected_resource_metadata_that_would_mislead_a_client_is_refused() {
    for (json, expected) in [
        (r#"{"Resource":"desk"}"#, "is no URL (relative URL without a base)"),
        (r#"{"Resource":"http://desk.example.com"}"#, "expected an https URL"),
        (r#"{"Resource":"https://a.example/#x"}"#, "must have no fragment"),
        (r#"{"Resource":"https://u:p@a.example/"}"#, "must name no user"),
        (r#"{"AuthorizationServers":["https://a.example/?x"]}"#, "must have no query"),
        (r#"{"AuthorizationServers":"https://a.example/"}"#, "expected a list of strings"),
        (r#"{"AuthorizationServers":[7]}"#, "expected an https URL, found a number"),
        (r#"{"ScopesSupported":["a b"]}"#, "is no scope"),
        (r#"{"BearerMethodsSupported":["cookie"]}"#, "expected `header`"),
        ("[]", "expected an object, found a list"),
    ] {
        let json = format!(r#"{{"ProtectedResourceMetadata":{json}}}"#);
        let said = problems(&[("host.json", &endpoints(&json))]);
        assert!(said.contains(expected), "{said}");
    }
    let app =
        with_endpoints(r#"{"ProtectedResourceMetadata":{"BearerMethodsSupported":["query"]}}"#);
    assert!(app.left_out()[0].why.contains("Authorization header only"));
    assert!(app.resource_metadata().unwrap().bearer_methods_supported.is_empty());
}
