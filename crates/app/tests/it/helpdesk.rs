//! The example of this repository: it loads, and every tool answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use app::{App, Authentication, Files, is_app_file};
use flow::{Effect, Event, Outcome, Run};
use serde_json::{Value, json};

use crate::support::lines;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/helpdesk")
}

fn helpdesk() -> App {
    let mut files = Files::new();
    let mut add = |path: &str| {
        if is_app_file(path) {
            files.insert(path, fs::read(folder().join(path)).unwrap()).unwrap();
        }
    };
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            add(&format!("{name}/workflow.json"));
        } else {
            add(&name);
        }
    }
    App::from_files(&files).unwrap_or_else(|found| panic!("{}", lines(&found)))
}

/// What a tool answered, and how long it wanted to wait in all.
struct Answer {
    status: u16,
    body: Value,
    waited: Duration,
}

fn call(app: &App, tool: &str, arguments: Value) -> Answer {
    let tool = app.default_server().tool(tool).unwrap();
    if let Err(found) = tool.workflow().check_arguments(&arguments) {
        panic!("{}: {found:?}", tool.name());
    }
    let mut run = Run::new(
        Arc::clone(tool.workflow()),
        Arc::clone(tool.host()),
        "08584000000000000000000000000CU00".to_owned(),
        arguments,
    );
    let mut now = SystemTime::UNIX_EPOCH;
    let mut answer = None;
    let mut waited = Duration::ZERO;
    let mut events = vec![Event::Start];
    let mut outcome = None;
    while let Some(event) = events.pop() {
        let (next, effects) = run.step(event, now);
        run = next;
        for effect in effects {
            match effect {
                Effect::Wait { action, duration } => {
                    waited += duration;
                    now += duration;
                    events.push(Event::Elapsed { action });
                }
                Effect::Respond(response) => {
                    answer.get_or_insert((response.status, response.body.unwrap_or_default()));
                }
                Effect::Finished(finished) => outcome = Some(finished),
            }
        }
    }
    let (status, body) = answer.unwrap_or_else(|| panic!("{}: {outcome:?}", tool.name()));
    if status < 400 {
        assert!(matches!(outcome, Some(Outcome::Succeeded)), "{}: {outcome:?}", tool.name());
    }
    Answer { status, body, waited }
}

fn good(tool: &str, arguments: Value) -> Value {
    let answer = call(&helpdesk(), tool, arguments);
    assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.body);
    answer.body
}

fn refused(tool: &str, arguments: Value) -> (u16, Value) {
    let answer = call(&helpdesk(), tool, arguments);
    assert!(answer.status >= 400, "{}: {}", answer.status, answer.body);
    (answer.status, answer.body["code"].clone())
}

#[test]
fn the_example_offers_two_servers_and_leaves_nothing_out() {
    let app = helpdesk();
    assert_eq!(app.left_out(), []);
    assert!(app.mcp_enabled());
    assert_eq!(app.authentication(), Authentication::ApiKey);
    let servers: Vec<(&str, Vec<&str>)> = app
        .servers()
        .iter()
        .map(|server| (server.name(), server.tools().iter().map(|tool| tool.name()).collect()))
        .collect();
    assert_eq!(
        servers,
        [
            (
                "helpdesk",
                vec![
                    "LookUpArticle",
                    "ClassifyRequest",
                    "CreateTicket",
                    "EstimateEscalation",
                    "SummariseThread",
                    "ReadAlert"
                ]
            ),
            ("procurement", vec!["ValidateAssetTag", "PriceOrder", "PollApproval"]),
        ]
    );
    assert_eq!(app.default_server().tools().len(), 9);
}

#[test]
fn every_tool_and_every_argument_of_the_example_is_described() {
    for tool in helpdesk().default_server().tools() {
        assert!(tool.description().is_some_and(|text| text.len() > 40), "{}", tool.name());
        let properties = tool.input_schema()["properties"].as_object().unwrap();
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{}: {name}", tool.name());
        }
        assert!(tool.input_schema()["required"].is_array(), "{}", tool.name());
    }
}

#[test]
fn the_example_holds_no_secret() {
    let settings = fs::read_to_string(folder().join("local.settings.json")).unwrap();
    let lower = settings.to_lowercase();
    for word in ["accountkey", "password", "secret", "token", "connectionstring", "kwk"] {
        assert!(!lower.contains(word), "{word}");
    }
}

#[test]
fn an_article_is_looked_up() {
    let found = good("LookUpArticle", json!({"topic": " VPN "}));
    assert_eq!(found["title"], "Connect from home");
    assert_eq!(found["steps"].as_array().unwrap().len(), 3);
    assert_eq!(found["firstStep"], "Start the VPN client.");
    assert_eq!(found["minutes"], 8);
    let missing = refused("LookUpArticle", json!({"topic": "coffee"}));
    assert_eq!(missing, (404, json!("ArticleNotFound")));
}

#[test]
fn a_request_is_classified() {
    for (text, category, team, urgent) in [
        ("I forgot my password and cannot work!", "access", "Identity", true),
        ("The VPN drops every hour", "network", "Network operations", false),
        ("URGENT: my monitor is dark", "hardware", "Workplace", true),
        ("Where is the canteen?", "other", "Service desk", false),
    ] {
        let found = good("ClassifyRequest", json!({"text": text}));
        assert_eq!(found["category"], category);
        assert_eq!(found["team"], team);
        assert_eq!(found["soundsUrgent"], urgent);
        assert_eq!(found["wordCount"], text.split(' ').count());
    }
}

#[test]
fn a_ticket_is_created() {
    let arguments = json!({"title": "No picture", "requester": "Ada@Example.com",
        "category": "hardware", "priority": "high"});
    assert_eq!(
        good("CreateTicket", arguments),
        json!({"number": "HD-08584000000000000000000000000CU00", "title": "No picture",
            "requester": "ada@example.com", "queue": "Workplace", "priority": "high",
            "answerWithinHours": 4, "status": "open"})
    );
    let plain = json!({"title": "Help", "requester": "bo@example.com", "category": "other"});
    let ticket = good("CreateTicket", plain);
    assert_eq!(ticket["queue"], "Service desk");
    assert_eq!(ticket["priority"], "normal");
    assert_eq!(ticket["answerWithinHours"], 24);
    let foreign = json!({"title": "Help", "requester": "eve@elsewhere.net", "category": "other"});
    let answer = call(&helpdesk(), "CreateTicket", foreign);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body["message"],
        "This is no address of ours: eve@elsewhere.net. Use one that ends in @example.com."
    );
}

#[test]
fn an_escalation_is_estimated() {
    let high = json!({"affectedUsers": 200, "serviceDown": true, "minutesOpen": 240});
    assert_eq!(
        good("EstimateEscalation", high),
        json!({"score": 94, "escalateNow": true, "to": "Incident manager", "lookAgainInMinutes": 13})
    );
    let low =
        json!({"affectedUsers": 2, "serviceDown": false, "workaround": true, "minutesOpen": 45});
    assert_eq!(
        good("EstimateEscalation", low),
        json!({"score": 4, "escalateNow": false, "to": "Nobody yet", "lookAgainInMinutes": 58})
    );
}

#[test]
fn a_thread_is_summarised() {
    let thread = json!({"messages": ["The printer is silent.", "Restart it?", "Thanks, it prints."],
        "participants": ["Ada", "Bo", "Ada"]});
    assert_eq!(
        good("SummariseThread", thread),
        json!({"messageCount": 3, "wordCount": 9, "participants": ["Ada", "Bo"],
            "summary": "3 messages between Ada, Bo. It began with: \"The printer is silent.\"",
            "latest": "Thanks, it prints.", "looksSolved": true, "mentionsOutage": false})
    );
    let alone = good("SummariseThread", json!({"messages": ["An outage of mail"]}));
    assert_eq!(alone["participants"], json!([]));
    assert_eq!(alone["mentionsOutage"], true);
    assert!(alone["summary"].as_str().unwrap().contains("between unknown people."));
}

#[test]
fn an_alert_is_read() {
    let payload = r#"{"host":"net-7","check":"ping","severity":1,"message":"no answer"}"#;
    assert_eq!(
        good("ReadAlert", json!({"payload": payload})),
        json!({"title": "ping failed on net-7", "category": "network", "priority": "critical",
            "description": "no answer"})
    );
    let short =
        good("ReadAlert", json!({"payload": r#"{"host":"db","check":"disk","severity":5}"#}));
    assert_eq!(short["priority"], "normal");
    assert_eq!(short["description"], "Monitoring sent no text.");
    for payload in ["no JSON", "{}", r#"{"host":"db","check":"disk","severity":9}"#] {
        let found = refused("ReadAlert", json!({"payload": payload}));
        assert_eq!(found, (400, json!("NotAnAlert")), "{payload}");
    }
}

#[test]
fn an_asset_tag_is_validated() {
    assert_eq!(
        good("ValidateAssetTag", json!({"tag": " lap-004711-55 "})),
        json!({"tag": "LAP-004711-55", "valid": true, "device": "laptop", "reason": null})
    );
    let wrong = good("ValidateAssetTag", json!({"tag": "MON-004711-56"}));
    assert_eq!(wrong["valid"], false);
    assert_eq!(wrong["reason"], "The check digits do not fit: look at the label again.");
    let unknown = good("ValidateAssetTag", json!({"tag": "TOY-004711-55"}));
    assert_eq!(unknown["valid"], false);
    assert_eq!(unknown["device"], Value::Null);
    for tag in ["", "LAP", "LAP-47-55", "LAP-00471x-55", "LAP-004711-5", "LAP-004711-55-1"] {
        let found = refused("ValidateAssetTag", json!({"tag": tag}));
        assert_eq!(found, (400, json!("NotATag")), "{tag}");
    }
}

#[test]
fn an_order_is_priced() {
    assert_eq!(
        good("PriceOrder", json!({"article": "headset-1", "quantity": 9})),
        json!({"article": "Headset, wired", "quantity": 9, "unitPrice": 49, "discount": 0,
            "total": 441, "currency": "EUR", "needsApproval": false})
    );
    let large = good("PriceOrder", json!({"article": "LAPTOP-14", "quantity": 10}));
    assert_eq!(large["discount"], 620);
    assert_eq!(large["total"], 11780);
    assert_eq!(large["needsApproval"], true);
    let unknown = refused("PriceOrder", json!({"article": "SOFA", "quantity": 1}));
    assert_eq!(unknown, (400, json!("UnknownArticle")));
}

#[test]
fn an_approval_is_waited_for() {
    let app = helpdesk();
    let approved = call(&app, "PollApproval", json!({"total": 441}));
    assert_eq!(approved.waited, Duration::from_secs(20));
    assert_eq!(approved.body["decision"], "approved");
    let declined = call(&app, "PollApproval", json!({"total": 11780.5, "waitSeconds": 1}));
    assert_eq!(declined.waited, Duration::from_secs(1));
    assert_eq!(declined.body["decision"], "declined");
    assert_eq!(declined.body["reason"], "Above 10000 EUR: ask the finance team.");
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let app = helpdesk();
    for (tool, arguments) in [
        ("LookUpArticle", json!({})),
        ("LookUpArticle", json!({"topic": 7})),
        ("PriceOrder", json!({"article": "DOCK-2", "quantity": 0})),
        ("PriceOrder", json!({"article": "DOCK-2", "quantity": 1.5})),
        ("CreateTicket", json!({"title": "Help", "requester": "a@example.com", "category": "x"})),
        ("PollApproval", json!({"total": 1, "waitSeconds": 301})),
    ] {
        let tool = app.default_server().tool(tool).unwrap();
        assert!(tool.workflow().check_arguments(&arguments).is_err(), "{arguments}");
    }
}
