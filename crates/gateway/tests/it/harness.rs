use std::sync::Arc;
use std::time::Duration;

use app::{App, Files};
use axum::body::Body;
use gateway::{Gateway, Hangup, Launcher, Upstreams};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use keys::permission::{Issuer, Owner};
use keys::{
    AccessKey, ApiKey, AppId, Authorized, Caller, Clock, ManualClock, MasterKey, MasterKeys,
    RevokedId, Role, Scope, Scopes, Slot, SysRng, Terms, Timestamp,
};
use serde_json::{Value, json};
use store::{Issue, Issued, Replica, ServedApp, Store};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

pub(crate) const DEFAULT: &str = "/api/mcp";
pub(crate) const DESK: &str = "/api/mcpservers/desk/mcp";

/// One app behind a router, on a store of its own.
pub(crate) struct Fixture {
    pub(crate) store: Arc<Store>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) router: gateway::Service,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) clock: ManualClock,
    pub(crate) app: AppId,
    _dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The text of a refusal, whose shape is checked on the way.
    pub(crate) fn refusal(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let body = self.json();
        assert_eq!(body["jsonrpc"], "2.0");
        assert!(body.as_object().unwrap().contains_key("id") && body["id"].is_null());
        assert_eq!(body["error"]["code"], -32010, "{body}");
        body["error"]["message"].as_str().unwrap().to_owned()
    }
}

impl Fixture {
    pub(crate) async fn new(authentication: &str) -> Self {
        Self::with_files(&files(authentication), "http://localhost:7071").await
    }

    pub(crate) async fn with_files(files: &[(String, String)], public_url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(START);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let masters = Arc::new(MasterKeys::new(MasterKey::generate(&mut SysRng).unwrap(), []));
        let store =
            Store::open(dir.path(), Arc::clone(&masters), Arc::clone(&shared)).await.unwrap();
        let store = Arc::new(store);
        let app = store.ensure_app("helpdesk").await.unwrap();
        let served = ServedApp {
            id: app,
            name: "helpdesk".to_owned(),
            public_url: public_url.parse().unwrap(),
            app: parse(files),
        };
        let replica =
            Replica::start(Arc::clone(&store), Arc::clone(&shared), vec![served]).await.unwrap();
        tokio::spawn(Arc::clone(&replica).tend(std::future::pending()));
        let launcher = Launcher {
            program: "/bin/false".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        let upstreams = Arc::new(Upstreams::new(&masters, launcher, Arc::clone(&replica)));
        let tasks = TaskTracker::new();
        let gateway = Gateway::new(Arc::clone(&replica), shared, Arc::clone(&upstreams), tasks);
        let router = Arc::new(gateway).service(Hangup::default());
        Self { store, replica, router, upstreams, clock, app, _dir: dir }
    }

    pub(crate) async fn serve(&self, files: &[(String, String)]) {
        self.replica.serve_app(self.app, parse(files)).await;
    }

    fn issuer(&self) -> Authorized<Issuer> {
        Caller::new("test", Role::Owner).require(self.app).unwrap()
    }

    fn owner(&self) -> Authorized<Owner> {
        Caller::new("test", Role::Owner).require(self.app).unwrap()
    }

    /// A key for the whole app and 24 hours.
    pub(crate) async fn key(&self) -> Issued {
        self.key_for(Slot::Primary, Some(Duration::from_hours(24)), &[]).await
    }

    pub(crate) async fn key_for(
        &self,
        slot: Slot,
        lifetime: Option<Duration>,
        scopes: &[&str],
    ) -> Issued {
        let not_after = lifetime.map(|ttl| self.clock.now().checked_add(ttl).unwrap());
        let terms = Terms { not_after, scopes: parse_scopes(scopes) };
        let request = Issue { slot, terms, label: None };
        self.store.issue(&self.issuer(), &request).await.unwrap()
    }

    pub(crate) async fn regenerate(&self, slot: Slot) {
        let key = AccessKey::generate(&mut SysRng).unwrap();
        let revision = self.store.regenerate(&self.owner(), slot, &key).await.unwrap();
        self.replica.in_force(&revision).await.unwrap();
    }

    pub(crate) async fn revoke(&self, id: RevokedId) {
        let revision = self.store.revoke(&self.owner(), id).await.unwrap();
        self.replica.in_force(&revision).await.unwrap();
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// Sends one message with `key`, in a protocol version without sessions or handshake.
    pub(crate) async fn call(&self, path: &str, key: Option<&ApiKey>, message: &Value) -> Answer {
        self.send(request(path, key, message)).await
    }

    /// The names that `tools/list` gives.
    pub(crate) async fn tool_names(&self, path: &str, key: &ApiKey) -> Vec<String> {
        let answer = self.call(path, Some(key), &message("tools/list", json!({}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let tools = answer.json()["result"]["tools"].clone();
        let tools = tools.as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The result of `tools/call`.
    pub(crate) async fn tool(&self, path: &str, key: &ApiKey, name: &str, body: Value) -> Value {
        let answer = self.call(path, Some(key), &call_tool(name, body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["result"].clone()
    }
}

pub(crate) fn parse_scopes(scopes: &[&str]) -> Option<Scopes> {
    let scopes: Vec<Scope> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    if scopes.is_empty() { None } else { Some(Scopes::new(scopes).unwrap()) }
}

/// A JSON-RPC request of 2025-11-25.
#[expect(clippy::needless_pass_by_value, reason = "so that calls can say json!({ … })")]
pub(crate) fn message(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

#[expect(clippy::needless_pass_by_value, reason = "so that calls can say json!({ … })")]
pub(crate) fn call_tool(name: &str, arguments: Value) -> Value {
    message("tools/call", json!({ "name": name, "arguments": arguments }))
}

/// A `subscriptions/listen` of 2026-07-28.
pub(crate) fn listen(path: &str, key: Option<&ApiKey>) -> Request<Body> {
    let params = json!({
        "notifications": { "toolsListChanged": true },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    let mut request = request(path, key, &message("subscriptions/listen", params));
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", "subscriptions/listen".parse().unwrap());
    request
}

pub(crate) fn request(path: &str, key: Option<&ApiKey>, message: &Value) -> Request<Body> {
    let mut request = bare(path, Body::from(message.to_string()));
    if let Some(key) = key {
        request.headers_mut().insert("x-api-key", key.expose().parse().unwrap());
    }
    request
}

/// A POST as an MCP client sends it, but for its credential.
pub(crate) fn bare(path: &str, body: Body) -> Request<Body> {
    Request::post(path)
        .header("host", "localhost:7071")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .body(body)
        .unwrap()
}

pub(crate) fn parse(files: &[(String, String)]) -> Arc<App> {
    let mut all = Files::new();
    for (path, text) in files {
        all.insert(path.as_str(), text.as_bytes()).unwrap();
    }
    Arc::new(App::from_files(&all).unwrap_or_else(|problems| panic!("{problems:?}")))
}

/// Two named servers over a handful of workflows: `desk` has Echo, Slow and Refuse, `other` has Echo.
pub(crate) fn files(authentication: &str) -> Vec<(String, String)> {
    let servers = json!({ "mcpServers": [
        { "name": "Desk", "description": "The desk.",
          "tools": [{ "name": "Echo" }, { "name": "Slow" }, { "name": "Refuse" }] },
        { "name": "other", "description": "Another.", "tools": [{ "name": "Echo" }] },
        { "name": "closed", "description": "Off.", "enabled": false, "tools": [{ "name": "Echo" }] },
    ]});
    let answer = |body: Value| json!({ "Answer": respond(200, body) });
    let workflows = [
        ("Echo", json!({ "type": "object" }), answer(json!("@triggerBody()"))),
        ("Text", json!({}), answer(json!("Hello @{triggerBody()?['name']}"))),
        ("List", json!({}), answer(json!([1, 2.5, null]))),
        (
            "Refuse",
            json!({}),
            json!({ "Answer": respond(404, json!({ "error": "no such ticket" })) }),
        ),
        (
            "Strict",
            json!({ "type": "object", "required": ["id"],
            "properties": { "id": { "type": "integer", "minimum": 1 } } }),
            answer(json!("ok")),
        ),
        (
            "Slow",
            json!({}),
            json!({
                "Pause": { "type": "Wait", "runAfter": {},
                    "inputs": { "interval": { "count": 1, "unit": "Hour" } } },
                "Answer": { "type": "Response", "runAfter": { "Pause": ["Succeeded"] },
                    "inputs": { "statusCode": 200, "body": "done" } },
            }),
        ),
        (
            "Fails",
            json!({}),
            json!({
                "Divide": { "type": "Compose", "runAfter": {}, "inputs": "@div(1, 0)" },
                "Answer": { "type": "Response", "runAfter": { "Divide": ["Succeeded"] },
                    "inputs": { "statusCode": 200 } },
            }),
        ),
        (
            "Silent",
            json!({}),
            json!({
                "Never": { "type": "If", "runAfter": {}, "expression": "@equals(1, 2)",
                    "actions": { "Answer": respond(200, json!("x")) } },
            }),
        ),
    ];
    let mut files = vec![
        ("host.json".to_owned(), host(authentication)),
        ("mcpservers.json".to_owned(), servers.to_string()),
    ];
    files.extend(workflows.into_iter().map(|(name, schema, actions)| {
        let workflow = json!({ "kind": "Stateless", "definition": {
            "triggers": { "When": { "type": "Request", "kind": "Http",
                "description": format!("Does {name}."), "inputs": { "schema": schema } } },
            "actions": actions,
        }});
        (format!("{name}/workflow.json"), workflow.to_string())
    }));
    files
}

/// A host.json with this authentication type; none at all for the empty text.
pub(crate) fn host(authentication: &str) -> String {
    let endpoints = match authentication {
        "" => json!({ "enable": true }),
        name => json!({ "enable": true, "authentication": { "type": name } }),
    };
    json!({ "version": "2.0", "extensions": { "workflow": { "McpServerEndpoints": endpoints } } })
        .to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "so that calls can say json!({ … })")]
fn respond(status: u16, body: Value) -> Value {
    json!({ "type": "Response", "runAfter": {}, "inputs": { "statusCode": status, "body": body } })
}
