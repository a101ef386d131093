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
fn a_name_that_no_url_has_is_mapped_and_kept_beside() {
    let long = "l".repeat(limits::SERVER_NAME_CHARS + 1);
    for (written, served) in [
        ("My Server", "My-Server"),
        ("io.github.me/tools", "io-github-me-tools"),
        ("käse", "k-se"),
        (&long, &"l".repeat(limits::SERVER_NAME_CHARS)),
    ] {
        let json = format!(r#"{{"servers":{{"{written}":{{"command":"a"}}}}}}"#);
        let app = with(&json);
        assert_eq!(app.server(served).unwrap().other_name(), Some(written));
        assert!(app.left_out().is_empty(), "{:?}", app.left_out());
    }
    let app = with(r#"{"servers":{"_-":{"command":"a"}}}"#);
    assert!(app.server("_-").unwrap().other_name().is_none());
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
    assert_eq!(app.left_out().len(), 1, "{:?}", app.left_out());
}

#[test]
fn what_is_left_out_is_known_by_both_names() {
    let app = with(r#"{"servers":{"My Server":{"command":"${NOT_SET}"},"a":{"command":"a"}}}"#);
    let [left_out] = app.left_out_servers() else { panic!("{:?}", app.left_out_servers()) };
    assert_eq!((&*left_out.name, &*left_out.written), ("My-Server", "My Server"));
    assert_eq!(left_out.why, "the variable `NOT_SET` is not set: set it where Keyward runs");
}

#[test]
fn a_list_of_tools_under_a_misspelt_name_is_told_with_the_name_that_was_meant() {
    let of = |entry: &str| {
        let servers = format!(r#"{{"mcpServers":[{entry}]}}"#);
        left_out(&[
            ("mcp.json", r#"{"servers":{"Issue Tracker":{"command":"a"}}}"#),
            ("mcpservers.json", &servers),
            ("A/workflow.json", TOOL),
        ])
    };
    let told = "mcpservers.json server `issue_trackr`: has no workflow, and limits no server of \
                mcp.json: did you mean `Issue-Tracker`?";
    assert_eq!(of(r#"{"name":"issue_trackr","tools":[{"name":"get"},{"name":"find"}]}"#), told);
    assert_eq!(of(r#"{"name":"issue_trackr","tools":[]}"#), told);
    assert_eq!(of(r#"{"name":"issue_trackr","tools":[{"name":"A"}]}"#), "");
    let told = of(r#"{"name":"something","tools":[{"name":"get"}]}"#);
    assert_eq!(told, "tool `get` of server `something`: no workflow has that name");
    let told = faulty(r#"{"name":"shel","enabled":false}"#);
    assert!(told.ends_with("; or, for a server of mcp.json, did you mean `shell`?"), "{told}");
}

#[test]
fn a_name_that_is_none_finds_the_one_that_it_resembles() {
    let app = named(r#"{"name":"desk","tools":[{"name":"A"}]}"#);
    for (given, meant) in [
        ("git hub", Some("Git-Hub")),
        ("Githb", Some("Git-Hub")),
        ("shel", Some("shell")),
        ("dest", Some("desk")),
        ("defualt", Some("default")),
        ("xyz", None),
        ("", None),
        ("--", None),
    ] {
        assert_eq!(app.closest_server(given), meant, "{given}");
    }
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
