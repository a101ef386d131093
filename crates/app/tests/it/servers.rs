use app::{App, limits};

use crate::support::{TOOL, app, left_out, problems};

fn servers(entries: &str) -> String {
    format!(r#"{{"mcpServers":[{entries}]}}"#)
}

fn with(entries: &str) -> App {
    app(&[
        ("mcpservers.json", &servers(entries)),
        ("A/workflow.json", TOOL),
        ("B/workflow.json", TOOL),
    ])
}

fn faulty(entries: &str) -> String {
    problems(&[("mcpservers.json", &servers(entries))])
}

fn tools(server: &app::Server) -> Vec<&str> {
    server.tools().iter().map(|tool| tool.name()).collect()
}

#[test]
fn servers_are_read_and_sorted_and_their_tools_are_not() {
    let app = with(
        r#"{"name":"zeta","description":"Z","tools":[{"name":"b"},{"name":"A"}]},
           {"name":"Alpha","tools":[],"enabled":false,"url":"https://x/","description":null},
           {"name":"Beta","tools":[{"name":"A"}],"enabled":true}"#,
    );
    let names: Vec<&str> = app.servers().iter().map(app::Server::name).collect();
    assert_eq!(names, ["Alpha", "Beta", "zeta"]);
    let zeta = app.server("ZETA").unwrap();
    assert_eq!(tools(zeta), ["B", "A"]);
    assert_eq!((zeta.description(), zeta.is_enabled()), (Some("Z"), true));
    let alpha = app.server("alpha").unwrap();
    assert_eq!((alpha.description(), alpha.is_enabled()), (None, false));
    assert!(app.left_out().is_empty());
    assert_eq!(app.mcpservers_json().unwrap()["mcpServers"][1]["url"], "https://x/");
}

#[test]
fn the_default_server_has_every_tool_and_no_name_reaches_it() {
    let app = with("");
    assert_eq!(tools(app.default_server()), ["A", "B"]);
    assert!(app.default_server().is_enabled());
    assert!(app.server("default").is_none());
    assert!(app.servers().is_empty());
}

#[test]
fn an_app_without_mcpservers_json_has_the_default_server() {
    let app = app(&[("A/workflow.json", TOOL)]);
    assert_eq!(tools(app.default_server()), ["A"]);
    assert!(app.mcpservers_json().is_none() && app.servers().is_empty());
}

#[test]
fn scopes_have_a_target_where_the_app_offers_it() {
    let app = with(r#"{"name":"Desk","tools":[{"name":"A"}]}"#);
    for (server, tool, offered) in [
        ("desk", None, true),
        ("DESK", Some("A"), true),
        ("desk", Some("a"), false),
        ("desk", Some("B"), false),
        ("default", None, true),
        ("Default", Some("B"), true),
        ("other", None, false),
    ] {
        assert_eq!(app.offers(server, tool), offered, "{server} {tool:?}");
    }
}

#[test]
fn a_name_is_accepted_to_its_limit() {
    for name in ["a", "0", "A-b_9", &"a".repeat(limits::SERVER_NAME_CHARS)] {
        let app = with(&format!(r#"{{"name":"{name}","tools":[]}}"#));
        assert!(app.server(name).is_some(), "{name}");
    }
    let long = "a".repeat(limits::SERVER_NAME_CHARS + 1);
    for name in ["", " ", "a b", "a/b", "a.b", "ä", "..", "a%20b", &long] {
        let said = faulty(&format!(r#"{{"name":"{name}","tools":[]}}"#));
        let expected = "mcpservers.json:1:24 (/mcpServers/0/name): is no name of a server; expected \
                        1 to 80 ASCII letters, digits, `-` or `_`";
        assert_eq!(said, expected);
    }
    for name in ["default", "Default"] {
        let said = faulty(&format!(r#"{{"name":"{name}","tools":[]}}"#));
        assert!(said.ends_with("`default` is the server of all tools: choose another name"));
    }
}

#[test]
fn names_that_differ_in_case_only_are_refused() {
    assert_eq!(
        faulty(r#"{"name":"desk","tools":[]},{"name":"Desk","tools":[]}"#),
        "mcpservers.json:1:43 (/mcpServers/1): `Desk` is the name of another server (`desk`), \
         case apart: rename one of them"
    );
}

#[test]
fn a_description_is_accepted_to_its_limit() {
    let described = |length: usize| {
        format!(r#"{{"name":"d","tools":[],"description":"{}"}}"#, "ä".repeat(length))
    };
    with(&described(limits::DESCRIPTION_CHARS));
    assert_eq!(
        faulty(&described(limits::DESCRIPTION_CHARS + 1)),
        "mcpservers.json:1:53 (/mcpServers/0/description): has 1025 characters; expected at most \
         1024"
    );
}

#[test]
fn a_tool_that_cannot_be_offered_is_left_out_and_breaks_nothing() {
    let silent = TOOL.replace("\"Http\"}}", "\"Button\"}}");
    let given = [
        (
            "mcpservers.json",
            r#"{"mcpServers":[{"name":"desk","tools":[{"name":"Gone"},{"name":"a"},{"name":"A"},
                {"name":"Silent"}]},{"name":"empty","tools":[{"name":"silent"}]}]}"#,
        ),
        ("A/workflow.json", TOOL),
        ("Silent/workflow.json", &silent),
    ];
    let why = "its trigger `manual` is of type `Request` and kind `Button`; a tool's is of type \
               `Request` and kind `Http`";
    assert_eq!(
        left_out(&given),
        format!(
            "workflow `Silent`: {why}\n\
             tool `Gone` of server `desk`: no workflow has that name\n\
             tool `A` of server `desk`: the server names it twice\n\
             tool `Silent` of server `desk`: {why}\n\
             tool `silent` of server `empty`: {why}"
        )
    );
    let app = app(&given);
    assert_eq!(tools(app.server("desk").unwrap()), ["A"]);
    assert!(app.server("empty").unwrap().tools().is_empty());
}

#[test]
fn every_wrong_shape_is_refused_at_once() {
    for (json, expected) in [
        ("[]", "mcpservers.json:1:1: expected an object with `mcpServers`, found a list"),
        ("{}", "mcpservers.json:1:1 (/mcpServers): is missing; expected a list of servers"),
        (
            r#"{"mcpServers":{}}"#,
            "mcpservers.json:1:15 (/mcpServers): expected a list of servers, found an object",
        ),
        (
            r#"{"mcpServers":[7,{},{"name":7,"description":[],"enabled":"no","tools":{}},{"name":"a","tools":[7,{},{"name":[]}]}]}"#,
            "mcpservers.json:1:16 (/mcpServers/0): expected an object with `name` and `tools`, found a number\n\
             mcpservers.json:1:18 (/mcpServers/1/name): is missing; expected 1 to 80 ASCII letters, digits, `-` or `_`\n\
             mcpservers.json:1:18 (/mcpServers/1/tools): is missing; expected a list of tools, each `{\"name\": WORKFLOW}`\n\
             mcpservers.json:1:29 (/mcpServers/2/name): expected 1 to 80 ASCII letters, digits, `-` or `_`, found a number\n\
             mcpservers.json:1:45 (/mcpServers/2/description): expected a string, found a list\n\
             mcpservers.json:1:58 (/mcpServers/2/enabled): expected true or false, found a string\n\
             mcpservers.json:1:71 (/mcpServers/2/tools): expected a list of tools, each `{\"name\": WORKFLOW}`, found an object\n\
             mcpservers.json:1:96 (/mcpServers/3/tools/0): expected an object with `name`, found a number\n\
             mcpservers.json:1:98 (/mcpServers/3/tools/1/name): is missing; expected the name of a workflow\n\
             mcpservers.json:1:109 (/mcpServers/3/tools/2/name): expected the name of a workflow, found a list",
        ),
    ] {
        assert_eq!(problems(&[("mcpservers.json", json)]), expected);
    }
}

#[test]
fn a_misspelt_property_is_told() {
    assert_eq!(
        left_out(&[("mcpservers.json", &servers(r#"{"name":"a","tools":[],"enable":false}"#))]),
        "mcpservers.json /mcpServers/0/enable: is not read; what is read here: `name`, \
         `description`, `tools`, `enabled`"
    );
}

#[test]
fn servers_and_their_tools_are_counted() {
    let many = |count: usize| -> String {
        let each = (0..count).map(|index| format!(r#"{{"name":"s{index}","tools":[]}}"#));
        each.collect::<Vec<_>>().join(",")
    };
    assert_eq!(with(&many(limits::SERVER_COUNT)).servers().len(), limits::SERVER_COUNT);
    assert!(
        faulty(&many(limits::SERVER_COUNT + 1)).ends_with("has 501 servers; expected at most 500")
    );
    let tools = vec![r#"{"name":"A"}"#; limits::TOOL_COUNT + 1].join(",");
    assert!(
        faulty(&format!(r#"{{"name":"a","tools":[{tools}]}}"#))
            .ends_with("has 501 tools; expected at most 500")
    );
}
