//! Deploying apps into the store, and going back.

use app::Files;
use keys::Role;
use manage::limits;
use serde_json::{Value, json};

use crate::plane::{ARM_BASE, Answer, HOST_BASE, Plane, Setup, app_with, helpdesk, post};

async fn plane() -> Plane {
    Plane::with(Setup { deploys: true, ..Setup::default() }).await
}

/// Files as a body has them.
fn files(files: &Files) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Value::Object(files.iter().map(|(path, bytes)| (path.to_owned(), text(bytes).into())).collect())
}

fn with_authentication(kind: &Value) -> Value {
    files(&app_with(&json!({ "enable": true, "authentication": { "type": kind } }), &json!([])))
}

async fn deploy(plane: &Plane, app: &str, files: &Value) -> Answer {
    plane.post(&format!("deployApp?app={app}"), json!({ "files": files }).to_string()).await
}

async fn deployed(plane: &Plane) -> Value {
    let answer = deploy(plane, "helpdesk", &files(&helpdesk())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

async fn artifacts(plane: &Plane, body: &Value) -> Answer {
    plane.post("deployWorkflowArtifacts", body.to_string()).await
}

async fn versions(plane: &Plane) -> Vec<Value> {
    let answer = plane.post("listMcpDeployments", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["value"].as_array().unwrap().clone()
}

fn served(plane: &Plane, app: &str) -> std::sync::Arc<store::AppState> {
    std::sync::Arc::clone(plane.replica.snapshot().unwrap().app(app).unwrap())
}

#[tokio::test]
async fn an_app_is_made_by_its_first_deployment_and_served_when_it_returns() {
    let plane = plane().await;
    let nothing = plane.post("listMcpServers", "").await;
    nothing.assert(404, "ResourceNotFound");
    assert!(nothing.message().starts_with("No app is served here yet"), "{}", nothing.text);
    let answer = deployed(&plane).await;
    let mut expected = json!({
        "app": "helpdesk",
        "version": 1,
        "publicUrl": "https://mcp.example.com/helpdesk",
        "changed": ["CreateTicket/workflow.json", "FindTicket/workflow.json",
            "PriceQuote/workflow.json", "host.json", "mcpservers.json"],
        "widensAuthentication": false,
        "servers": [
            { "name": "billing", "url": "https://mcp.example.com/helpdesk/api/mcpservers/billing/mcp" },
            { "name": "Tickets", "url": "https://mcp.example.com/helpdesk/api/mcpservers/Tickets/mcp" },
        ],
        "leftOut": [],
    });
    expected["leftOut"] = answer["leftOut"].clone();
    assert_eq!(answer, expected);
    // Keys are issued for it at once, under both bases.
    let issued = plane.post("listMcpServerUrl?getApikey=true", "").await;
    assert_eq!(issued.status, 200, "{}", issued.text);
    plane.check(issued.json["headers"]["X-API-Key"].as_str().unwrap()).unwrap();
    let path = format!("{ARM_BASE}/deployApp?api-version=2021-02-01").replace("helpdesk", "other");
    let body = json!({ "files": files(&helpdesk()), "publicUrl": "https://other.example.com" });
    let answer = plane.call(Role::Owner, &path, body.to_string()).await;
    assert_eq!(answer.json["publicUrl"], "https://other.example.com", "{}", answer.text);
    // With two of them, which one is meant has to be said.
    plane.post("listMcpServers", "").await.assert(400, "MissingAppParameter");
    assert_eq!(plane.post("listMcpServers?app=OTHER", "").await.status, 200);
}

#[tokio::test]
async fn what_does_not_hold_is_told_with_its_place_and_changes_nothing() {
    let plane = plane().await;
    deployed(&plane).await;
    let good = files(&helpdesk());
    let with = |path: &str, text: &str| {
        let mut files = good.clone();
        files[path] = text.into();
        files
    };
    for (files, words) in [
        (with("host.json", "{\n  \"version\": }"), "host.json:2:14"),
        (
            with("mcpservers.json", r#"{"mcpServers": [{"name": "a b", "tools": []}]}"#),
            "(/mcpServers/0/name)",
        ),
        (with("../host.json", "{}"), "`../host.json` is not a file of an app"),
        (with("../workflow.json", "{}"), "is not a file of an app"),
        (with("/etc/workflow.json", "{}"), "is not a file of an app"),
        (with("a/b/workflow.json", "{}"), "is not a file of an app"),
        (with("a\\..\\b/workflow.json", "{}"), "is not a file of an app"),
        (with("Host.json", "{}"), "`Host.json` is not a file of an app"),
        (with("README.md", "x"), "`README.md` is not a file of an app"),
        (with(&format!("{}/workflow.json", "x".repeat(256)), "{}"), "longer than 269 bytes"),
        (json!({ "mcpservers.json": "{}" }), "host.json: is missing"),
    ] {
        let answer = deploy(&plane, "helpdesk", &files).await;
        answer.assert(400, "InvalidDeployment");
        assert!(answer.message().contains(words), "{words}: {}", answer.text);
        if files["host.json"] == good["host.json"] {
            let local = json!({ "files": files });
            let answer = artifacts(&plane, &local).await;
            answer.assert(400, "InvalidDeployment");
        }
    }
    assert_eq!(versions(&plane).await.len(), 1);
    assert_eq!(served(&plane, "helpdesk").version.unwrap().get(), 1);
}

#[tokio::test]
async fn a_body_that_is_none_is_refused() {
    let plane = plane().await;
    deployed(&plane).await;
    for (operation, body, words) in [
        ("deployApp", "", "is empty: send a JSON object with files, publicUrl"),
        ("deployApp", "{}", "no file"),
        ("deployApp", r#"{"files": {}}"#, "no file"),
        ("deployApp", r#"{"files": []}"#, "files must be an object"),
        (
            "deployApp",
            r#"{"files": {"host.json": null}}"#,
            "'host.json' must be an object, or a string",
        ),
        ("deployApp", r#"{"files": {"host.json": [1]}}"#, "must be an object, or a string"),
        ("deployApp", r#"{"files": {"host.json": {}, "host.json": {}}}"#, "'host.json' twice"),
        ("deployApp", r#"{"files": {"host.json": {}}, "appSettings": {}}"#, "'appSettings'"),
        (
            "deployApp",
            r#"{"files": {"host.json": {}}, "publicUrl": 7}"#,
            "'publicUrl' must be text",
        ),
        ("deployWorkflowArtifacts", "{}", "no file"),
        ("deployWorkflowArtifacts", " ", "is empty: send a JSON object with files, appSettings"),
        ("deployWorkflowArtifacts", r#"{"appSettings": {"A": 1}}"#, "'A' must be text"),
        ("deployWorkflowArtifacts", r#"{"appSettings": {"": "x"}}"#, "'' is no name"),
        ("deployWorkflowArtifacts", r#"{"appSettings": {"a\u0000b": "x"}}"#, "is no name"),
        ("deployWorkflowArtifacts", r#"{"files": {"\ud800/workflow.json": {}}}"#, "valid Unicode"),
        ("deployWorkflowArtifacts", r#"{"files": {}, "publicUrl": "x"}"#, "'publicUrl'"),
        ("rollbackDeployment", r#"{"version": "1"}"#, "version must be a whole number"),
        ("rollbackDeployment", r#"{"force": 1}"#, "force must be true or false"),
    ] {
        let answer = plane.post(operation, body).await;
        answer.assert(400, "InvalidRequestContent");
        assert!(answer.message().contains(words), "{operation} {body}: {}", answer.text);
    }
    let large = json!({ "host.json": "x".repeat(limits::DEPLOYMENT_BYTES) });
    deploy(&plane, "helpdesk", &large).await.assert(413, "RequestEntityTooLarge");
    let larger = "x".repeat(limits::DEPLOYMENT_BODY_BYTES + 1);
    plane.post("deployApp", larger).await.assert(413, "RequestEntityTooLarge");
    assert_eq!(versions(&plane).await.len(), 1);
}

#[tokio::test]
async fn an_app_needs_a_name_and_a_url_of_its_own() {
    let plane = plane().await;
    deployed(&plane).await;
    deploy(&plane, "a%20b", &files(&helpdesk())).await.assert(400, "InvalidAppName");
    let deploy = |app: &str, url: &str| {
        let body = json!({ "files": files(&helpdesk()), "publicUrl": url });
        let (plane, path) = (&plane, format!("deployApp?app={app}"));
        async move { plane.post(&path, body.to_string()).await }
    };
    deploy("other", "none").await.assert(400, "InvalidPublicUrl");
    let taken = deploy("other", "https://mcp.example.com/helpdesk/").await;
    taken.assert(409, "PublicUrlTaken");
    assert!(taken.message().contains("helpdesk"), "{}", taken.text);
    assert_eq!(deploy("near", "http://localhost:1/near").await.status, 200);
    deploy("other", "http://127.0.0.1:2/near/").await.assert(409, "PublicUrlTaken");
    assert_eq!(deploy("other", "https://mcp.example.com/").await.status, 200);
    // One app's servers are not below another app's URL.
    for path in ["api", "api/mcp", "api/mcpservers", "api/mcpservers/Docs/mcp", "helpdesk/api"] {
        let refused = deploy("third", &format!("https://mcp.example.com/{path}")).await;
        refused.assert(409, "PublicUrlTaken");
        assert!(refused.message().contains("at https://mcp.example.com"), "{}", refused.text);
    }
    assert_eq!(deploy("third", "https://mcp.example.com/api/v2/api").await.status, 200);
    assert_eq!(deploy("fourth", "https://mcp.example.com/api/v2").await.status, 409);
    assert_eq!(deploy("fourth", "https://mcp.example.com/apis").await.status, 200);
    self::deploy(&plane, "fi%00fth", &files(&helpdesk())).await.assert(400, "InvalidAppName");
    // It keeps the URL that it was given.
    let answer = self::deploy(&plane, "other", &files(&helpdesk())).await;
    assert_eq!(answer.json["publicUrl"], "https://mcp.example.com", "{}", answer.text);
}

#[tokio::test]
async fn a_deployment_that_asks_for_more_than_is_allowed_is_refused_with_what_to_add() {
    let plane = plane().await;
    let mut files = files(&helpdesk());
    files["mcp.json"] = r#"{"servers": {
        "run": {"command": "npx", "env": {"A": "s3cret"}},
        "ask": {"url": "https://a.example.com/mcp", "headers": {"b": "${env:TOKEN}"}}}}"#
        .into();
    let answer = deploy(&plane, "helpdesk", &files).await;
    answer.assert(400, "DeploymentNotAllowed");
    for words in [
        "server `run`",
        "`npx`",
        "apps.commands",
        "`A`",
        "apps.command_variables",
        "server `ask`",
        "`TOKEN`",
        "apps.variables",
    ] {
        assert!(answer.message().contains(words), "{words}: {}", answer.text);
    }
    assert!(!answer.text.contains("s3cret"));
    assert!(plane.replica.snapshot().unwrap().apps().is_empty());
}

#[tokio::test]
async fn artifacts_are_written_into_the_app_as_one_change() {
    let plane = plane().await;
    deployed(&plane).await;
    let body = json!({
        "files": {
            "mcpservers.json": { "mcpServers": [{
                "name": "Desk", "description": "d", "url": "https://x", "enabled": true,
                "headers": { "X-API-Key": "kwk1_sent-back" }, "tools": [{ "name": "CreateTicket", "description": "t" }],
            }] },
            "parameters.json": "{\"greeting\": {\"type\": \"String\", \"value\": \"@appsetting('GREETING')\"}}",
        },
        "appSettings": { "GREETING": "hi", "Workflows.FindTicket.FlowState": "Disabled" },
    });
    let path = "/subscriptions/s/resourceGroups/rg/providers/microsoft.web/sites/HelpDesk/\
                deployworkflowartifacts?api-version=2020-06-01";
    let request = post(path).header("if-match", "*");
    let request = request.header("authorization", format!("Bearer {}", plane.token(Role::Owner)));
    let answer = plane.send(request.body(body.to_string().into()).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        (&answer.json["version"], &answer.json["changed"]),
        (&json!(2), &json!(["local.settings.json", "mcpservers.json", "parameters.json"]))
    );
    let state = served(&plane, "helpdesk");
    let names: Vec<_> = state.app.servers().iter().map(app::Server::name).collect();
    assert_eq!(names, ["Desk"]);
    assert_eq!(
        state.app.mcpservers_json().unwrap(),
        &json!({ "mcpServers": [{ "name": "Desk", "description": "d", "enabled": true,
            "tools": [{ "name": "CreateTicket" }] }] })
    );
    assert!(state.app.workflows()["FindTicket"].is_disabled());
    assert_eq!(state.app.workflows().len(), 3, "what is not named stays");
    // One that is not there stands elsewhere, and so do the other operations.
    let other = path.replace("HelpDesk", "nobody");
    plane.call(Role::Owner, &other, body.to_string()).await.assert(404, "ResourceNotFound");
    let other = path.replace("deployworkflowartifacts", "deployApp");
    plane.call(Role::Owner, &other, "").await.assert(404, "OperationNotFound");
    plane.call(Role::Issuer, path, body.to_string()).await.assert(403, "AuthorizationFailed");
}

#[tokio::test]
async fn what_limits_upstreams_outlasts_a_list_that_is_sent_back() {
    let plane = plane().await;
    let mut files = files(&helpdesk());
    files["mcp.json"] = json!({ "servers": {
        "my tools": { "url": "https://a.example.com/mcp" },
        "far": { "url": "https://b.example.com/mcp" },
        "waiting": { "url": "https://c.example.com/mcp", "headers": { "a": "${none of these}" } },
    } })
    .to_string()
    .into();
    let limits = r#"{"McpServers": [{"Name": "my tools", "tools": [{"name": "read"}]},
        {"name": "FAR", "tools": [{"name": "read"}]}, {"name": "waiting", "tools": [{"name": "read"}]}]}"#;
    files["mcpservers.json"] = format!("\u{feff}{limits}").into();
    let answer = deploy(&plane, "helpdesk", &files).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    tokio::time::pause();
    let list = plane.post("listMcpServers", "").await.json;
    tokio::time::resume();
    assert_eq!(list["leftOut"][0]["name"], "waiting", "{list}");
    let answer = artifacts(
        &plane,
        &json!({ "files": { "mcpservers.json": { "mcpServers": list["value"] } } }),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let app = std::sync::Arc::clone(&served(&plane, "helpdesk").app);
    for name in ["far", "my-tools"] {
        let upstream = app.server(name).unwrap().upstream().unwrap();
        assert!(upstream.allows_tool("read") && !upstream.allows_tool("write"), "{name}");
    }
    assert!(app.mcpservers_json().unwrap().to_string().contains("\"waiting\""));
}

#[tokio::test]
async fn a_server_that_is_sent_as_disabled_is_disabled_however_it_is_spelled() {
    let plane = plane().await;
    deployed(&plane).await;
    let server = |members: &str| {
        let file = format!(
            r#"{{"mcpServers": [{{"name": "w", "description": "d", "tools": []{members}}}]}}"#
        );
        json!({ "files": { "mcpservers.json": file } })
    };
    let answer = artifacts(&plane, &server(r#", "Enabled": false, "url": "x""#)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!served(&plane, "helpdesk").app.server("w").unwrap().is_enabled());
    for twice in [
        r#", "url": "x", "enabled": false, "enabled": true"#,
        r#", "url": "x", "enabled": false, "Enabled": true"#,
    ] {
        let answer = artifacts(&plane, &server(twice)).await;
        answer.assert(400, "InvalidDeployment");
        assert!(answer.message().contains("keep one of the two"), "{}", answer.text);
    }
    // A name that is read as nothing is told.
    let answer = artifacts(&plane, &server(r#", "enabeld": false"#)).await;
    assert!(answer.json["leftOut"].to_string().contains("enabeld"), "{}", answer.text);
}

#[tokio::test]
async fn app_settings_replace_those_that_differ_in_case() {
    let plane = plane().await;
    let mut files = files(&helpdesk());
    let settings = r#"{"Values": {"workflows.findticket.flowstate": "Enabled"}}"#;
    files["local.settings.json"] = format!("\u{feff}{settings}").into();
    deploy(&plane, "helpdesk", &files).await;
    for (name, state) in [
        ("Workflows.FindTicket.FlowState", "Disabled"),
        ("WORKFLOWS.FindTicket.FlowState", "Enabled"),
    ] {
        let answer = artifacts(&plane, &json!({ "appSettings": { name: state } })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let is_disabled = served(&plane, "helpdesk").app.workflows()["FindTicket"].is_disabled();
        assert_eq!(is_disabled, state == "Disabled", "{name}");
    }
    let answer =
        artifacts(&plane, &json!({ "appSettings": { "a": "s3cret", "A": "s3cret" } })).await;
    answer.assert(400, "InvalidDeployment");
    assert!(
        answer.message().contains("case apart") && !answer.text.contains("s3cret"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn programs_and_settings_are_not_written_as_artifacts() {
    let plane = plane().await;
    deployed(&plane).await;
    for (path, words) in
        [("mcp.json", "deploy the whole app"), ("local.settings.json", "appSettings")]
    {
        let body = json!({ "files": { path: "{}", "host.json": {} } });
        let answer = artifacts(&plane, &body).await;
        answer.assert(400, "InvalidDeployment");
        assert!(answer.message().contains(words), "{}", answer.text);
    }
    assert_eq!(versions(&plane).await.len(), 1);
}

#[tokio::test]
async fn a_deployment_that_widens_authentication_says_so() {
    let plane = plane().await;
    for (kind, widens) in [
        (json!("ApiKey"), false),
        (json!(null), true),
        (json!("ApiKey"), false),
        (json!("Anonymous"), true),
    ] {
        let answer = deploy(&plane, "helpdesk", &with_authentication(&kind)).await;
        assert_eq!(answer.json["widensAuthentication"], widens, "{kind}: {}", answer.text);
    }
    let rows = versions(&plane).await;
    let told: Vec<_> =
        rows.iter().map(|row| (&row["authentication"], &row["widensAuthentication"])).collect();
    let (t, f) = (json!(true), json!(false));
    let types = [json!("Anonymous"), json!("ApiKey"), json!(null), json!("ApiKey")];
    assert_eq!(told, [(&types[0], &t), (&types[1], &f), (&types[2], &t), (&types[3], &f)]);
}

#[tokio::test]
async fn a_rollback_does_not_open_unforced_what_was_closed() {
    let plane = plane().await;
    for is_open in [true, false] {
        let endpoints = json!({ "enable": is_open, "authentication": { "type": "Anonymous" } });
        deploy(&plane, "helpdesk", &files(&app_with(&endpoints, &json!([])))).await;
    }
    let refused = plane.post("rollbackDeployment", "{}".to_owned()).await;
    refused.assert(409, "RollbackWidensAuthentication");
    assert!(refused.message().contains("enable is off"), "{}", refused.text);
    let forced = plane.post("rollbackDeployment", json!({ "force": true }).to_string()).await;
    assert_eq!(forced.json["widensAuthentication"], true, "{}", forced.text);
}

#[tokio::test]
async fn a_rollback_goes_back_a_version_each_time_and_never_widens_unforced() {
    let plane = plane().await;
    for kind in ["Anonymous", "ApiKey", "ApiKey"] {
        deploy(&plane, "helpdesk", &with_authentication(&json!(kind))).await;
    }
    let back = |body: Value| {
        let plane = &plane;
        async move { plane.post("rollbackDeployment", body.to_string()).await }
    };
    let answer = back(json!({})).await;
    assert_eq!(
        (&answer.json["version"], &answer.json["restores"]),
        (&json!(4), &json!(2)),
        "{}",
        answer.text
    );
    let refused = back(json!({})).await;
    refused.assert(409, "RollbackWidensAuthentication");
    assert!(
        refused.message().contains("Anonymous, which lets in more than ApiKey"),
        "{}",
        refused.text
    );
    back(json!({ "version": 1 })).await.assert(409, "RollbackWidensAuthentication");
    back(json!({ "version": 9 })).await.assert(404, "DeploymentNotFound");
    let forced = back(json!({ "force": true })).await;
    assert_eq!(
        (&forced.json["version"], &forced.json["restores"]),
        (&json!(5), &json!(1)),
        "{}",
        forced.text
    );
    assert_eq!(forced.json["widensAuthentication"], true);
    assert!(served(&plane, "helpdesk").app.authentication().accepts_everyone());
    back(json!({})).await.assert(404, "DeploymentNotFound");
    // A version that restores another one is that one.
    let answer = back(json!({ "version": 4 })).await;
    assert_eq!((&answer.json["version"], &answer.json["restores"]), (&json!(6), &json!(2)));
    let rows = versions(&plane).await;
    assert_eq!(rows.len(), 6);
    assert_eq!(
        rows[0],
        json!({ "version": 6, "isCurrent": true, "deployedAt": "2026-01-01T00:00:00Z",
            "deployedBy": "owner", "operation": "rollbackDeployment", "restores": 2,
            "authentication": "ApiKey", "widensAuthentication": false, "changed": ["host.json"] })
    );
}

#[tokio::test]
async fn an_app_that_is_served_from_elsewhere_is_not_deployed() {
    let plane = Plane::new().await;
    for (operation, body) in [
        ("deployApp", json!({ "files": files(&helpdesk()) })),
        ("deployWorkflowArtifacts", json!({ "appSettings": { "A": "b" } })),
        ("rollbackDeployment", json!({})),
    ] {
        let answer = plane.post(operation, body.to_string()).await;
        answer.assert(409, "ServedFromFolder");
    }
    assert!(versions(&plane).await.is_empty());
}

#[tokio::test]
async fn an_answer_and_the_list_have_paths_and_nothing_of_the_files() {
    let plane = plane().await;
    let mut files = files(&helpdesk());
    files["local.settings.json"] = r#"{"Values": {"TOKEN": "s3cret"}}"#.into();
    let answer = deploy(&plane, "helpdesk", &files).await;
    let list = plane.call(Role::Reader, &format!("{HOST_BASE}/listMcpDeployments"), "").await;
    assert_eq!((answer.status.as_u16(), list.status.as_u16()), (200, 200));
    assert!(!answer.text.contains("s3cret") && !list.text.contains("s3cret"));
    assert!(!list.text.contains("TOKEN"));
}
