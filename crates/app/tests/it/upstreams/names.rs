//! Names, and what mcpservers.json says of the servers of mcp.json.

use app::{App, limits};

use super::with;
use crate::support::{TOOL, app, left_out, problems};

const UPSTREAMS: &str = r#"{"servers":{"Git Hub":{"url":"https://a.example/"},
    "shell":{"command":"sh"},"off":{"command":"sh","disabled":true},
    "lost":{"command":"${NOT_SET}"}}}"#;

fn named(entries: &str) -> App {
    let servers = format!(r#"{{"mcpServers":[{entries}]}}"#);
    app(&[("mcp.json", UPSTREAMS), ("mcpservers.json", &servers), ("A/workflow.json", TOOL)])
}

fn faulty(entries: &str) -> String {
    let servers = format!(r#"{{"mcpServers":[{entries}]}}"#);
    problems(&[("mcp.json", UPSTREAMS), ("mcpservers.json", &servers), ("A/workflow.json", TOOL)])
}

#[test]
fn a_name_that_no_url_has_is_mapped_and_told() {
    let long = "l".repeat(limits::SERVER_NAME_CHARS + 1);
    for (written, served) in [
        ("My Server", "My-Server"),
        ("io.github.me/tools", "io-github-me-tools"),
        ("käse", "k-se"),
        (&long, &"l".repeat(limits::SERVER_NAME_CHARS)),
    ] {
        let json = format!(r#"{{"servers":{{"{written}":{{"command":"a"}}}}}}"#);
        assert!(with(&json).server(served).is_some(), "{written}");
        let told = left_out(&[("mcp.json", &json)]);
        assert!(told.ends_with(&format!("`: is served as `{served}`")), "{told}");
    }
    assert_eq!(
        left_out(&[("mcp.json", r#"{"servers":{"My Server":{"command":"a"}}}"#)]),
        "mcp.json server `My Server`: is served as `My-Server`"
    );
    assert!(with(r#"{"servers":{"_-":{"command":"a"}}}"#).server("_-").is_some());
}

#[test]
fn a_name_that_leaves_nothing_or_is_anothers_is_refused() {
    for (name, expected) in [
        (
            "",
            "mcp.json:1:16 (/servers/): has a name without any ASCII letter or digit, which no URL here can have: rename it",
        ),
        (
            "日本",
            "mcp.json:1:18 (/servers/日本): has a name without any ASCII letter or digit, which no URL here can have: rename it",
        ),
        (
            "Default",
            "mcp.json:1:23 (/servers/Default): `default` is the server of all tools: choose another name",
        ),
    ] {
        let json = format!(r#"{{"servers":{{"{name}":{{"command":"a"}}}}}}"#);
        assert_eq!(problems(&[("mcp.json", &json)]), expected);
    }
    let twice = r#"{"servers":{"My Server":{"command":"a"},"my-server":{"command":"a"}}}"#;
    assert_eq!(
        problems(&[("mcp.json", twice)]),
        "mcp.json:1:53 (/servers/my-server): `my-server` and `My Server` would both be served as \
         `my-server`, case apart: rename one of them"
    );
}

#[test]
fn mcpservers_json_describes_limits_and_disables_a_server() {
    let app = named(
        r#"{"name":"Git Hub","description":"Code"},
           {"name":"SHELL","tools":[{"name":"Run"},{"name":"run"}],"enabled":false},
           {"name":"desk","tools":[{"name":"A"}]}"#,
    );
    let github = app.server("git-hub").unwrap();
    assert_eq!((github.name(), github.description()), ("Git-Hub", Some("Code")));
    assert!(github.upstream().unwrap().allowed_tools().is_none() && github.is_enabled());
    let shell = app.server("shell").unwrap();
    assert_eq!(shell.name(), "shell");
    assert!(!shell.is_enabled());
    let upstream = shell.upstream().unwrap();
    assert!(upstream.allows_tool("Run") && upstream.allows_tool("run"));
    assert!(!upstream.allows_tool("RUN"));
    let desk = app.server("desk").unwrap();
    assert!(desk.upstream().is_none() && desk.tool("A").is_some());
    assert!(!app.server("off").unwrap().is_enabled());
}

#[test]
fn a_server_may_be_named_as_it_is_served_and_enabled_in_one_file_is_not_in_both() {
    let app = named(r#"{"name":"git-hub","tools":[]},{"name":"off","enabled":true}"#);
    let github = app.server("Git-Hub").unwrap().upstream().unwrap();
    assert!(github.allowed_tools().unwrap().is_empty() && !github.allows_tool("any"));
    assert!(!app.server("off").unwrap().is_enabled());
    let both = faulty(r#"{"name":"Git Hub"},{"name":"git-hub"}"#);
    assert!(both.contains("`Git-Hub` is the name of another server (`Git-Hub`)"), "{both}");
}

#[test]
fn a_server_that_is_left_out_becomes_no_empty_one() {
    let app = named(r#"{"name":"lost","tools":[{"name":"A1"}]}"#);
    assert!(app.server("lost").is_none());
    assert_eq!(app.left_out().len(), 2, "{:?}", app.left_out());
}

#[test]
fn workflows_under_the_name_of_an_upstream_are_refused() {
    assert_eq!(
        faulty(r#"{"name":"shell","tools":[{"name":"A"}]}"#),
        "mcpservers.json:1:40 (/mcpServers/0/tools): `shell` is the name of a server of mcp.json, \
         and the tools listed here are workflows: rename one of the two servers"
    );
    named(r#"{"name":"shell","tools":[{"name":"A"},{"name":"of-the-upstream"}]}"#);
}

#[test]
fn what_is_wrong_in_mcpservers_json_is_told_for_an_upstream_too() {
    assert_eq!(
        faulty(r#"{"name":"shell","tools":[7,{}],"enabled":1,"description":2}"#),
        "mcpservers.json:1:41 (/mcpServers/0/tools/0): expected an object with `name`, found a \
         number\n\
         mcpservers.json:1:43 (/mcpServers/0/tools/1/name): is missing; expected the name of a \
         tool\n\
         mcpservers.json:1:57 (/mcpServers/0/enabled): expected true or false, found a number\n\
         mcpservers.json:1:73 (/mcpServers/0/description): expected a string, found a number"
    );
}

#[test]
fn an_mcp_json_that_does_not_read_raises_no_false_problem_elsewhere() {
    assert_eq!(
        problems(&[
            ("mcp.json", "{"),
            ("mcpservers.json", r#"{"mcpServers":[{"name":"Git Hub","description":"x"}]}"#),
        ]),
        "mcp.json:1:1: is not JSON: EOF while parsing an object"
    );
}
