use std::sync::Arc;
use std::time::Duration;

use app::{Allowed, App, Files, Surroundings};
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use keys::permission::Reader;
use keys::{
    AppId, Caller, ManualClock, MasterKey, MasterKeys, OperatorToken, Presented, Refusal, Role,
    SysRng, Timestamp,
};
use manage::{Deployable, Deployments, Manage, Operator, Operators, Settings};
use serde_json::{Value, json};
use store::{ApiKeyRow, AppMaker, Replica, ServedApp, Store};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use url::Url;

/// When every test begins.
pub(crate) const START: &str = "2026-01-01T00:00:00Z";

/// The base of tools next to the host.
pub(crate) const HOST_BASE: &str = "/runtime/webhooks/workflow/api/management";

/// The base of Azure Resource Manager, for the first app.
pub(crate) const ARM_BASE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/\
     providers/Microsoft.Web/sites/helpdesk/hostruntime/runtime/webhooks/workflow/api/management";

/// What a plane is made of.
pub(crate) struct Setup {
    pub(crate) apps: Vec<(&'static str, Files)>,
    pub(crate) settings: Settings,
    /// Whether apps are deployed, and not those above served.
    pub(crate) deploys: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let apps = vec![("Helpdesk", helpdesk())];
        Self { apps, settings: Settings::default(), deploys: false }
    }
}

/// Makes apps that may run nothing.
struct Maker;

impl AppMaker for Maker {
    fn make(&self, files: &Files, _: &Url) -> Result<App, Vec<String>> {
        let allowed = Some(Allowed::default());
        let around = Surroundings { allowed, ..Surroundings::default() };
        App::from_files_in(files, &around)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits { Ok(text.to_owned()) } else { Err("is none".to_owned()) }
}

fn parse_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

/// A management plane with one operator per role.
pub(crate) struct Plane {
    pub(crate) router: Router,
    pub(crate) store: Arc<Store>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) clock: ManualClock,
    pub(crate) apps: Vec<AppId>,
    pub(crate) tasks: TaskTracker,
    tokens: Vec<(Role, String)>,
    pub(crate) expiring_token: String,
    _dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Plane {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn of_app(files: Files) -> Self {
        Self::with(Setup { apps: vec![("Helpdesk", files)], ..Setup::default() }).await
    }

    pub(crate) async fn with_settings(settings: Settings) -> Self {
        Self::with(Setup { settings, ..Setup::default() }).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = ManualClock::at(START.parse().unwrap());
        let masters = MasterKeys::new(MasterKey::generate(&mut SysRng).unwrap(), []);
        let store = Store::open(dir.path(), Arc::new(masters), Arc::new(clock.clone()));
        let store = Arc::new(store.await.unwrap());
        let mut served = Vec::new();
        for (name, files) in setup.apps.iter().filter(|_| !setup.deploys) {
            served.push(ServedApp {
                id: store.ensure_app(name).await.unwrap(),
                name: (*name).to_owned(),
                public_url: Url::parse("https://mcp.example.com/tenant").unwrap(),
                app: Arc::new(App::from_files(files).unwrap()),
            });
        }
        let apps = served.iter().map(|app| app.id).collect();
        let (own, ticking) = (Arc::clone(&store), Arc::new(clock.clone()));
        let base = Url::parse("https://mcp.example.com/").unwrap();
        let (replica, deployments) = if setup.deploys {
            let deployable = Deployable { maker: Arc::new(Maker), parse_name, parse_url };
            let replica = Replica::start_deployed(own, ticking, Arc::new(Maker), base).await;
            (replica, Deployments::Store(deployable))
        } else {
            let nowhere = Deployments::Nowhere("Nothing is deployed in this test.");
            (Replica::start(own, ticking, served).await, nowhere)
        };
        let replica = replica.unwrap();
        let mut operators = Vec::new();
        let mut tokens = Vec::new();
        let mut operator = |name: &str, role, not_after| {
            let token = OperatorToken::generate(&mut SysRng).unwrap();
            let text = token.expose().to_owned();
            operators.push(Operator { name: name.to_owned(), role, token, not_after });
            text
        };
        for role in Role::ALL {
            tokens.push((role, operator(role.as_str(), role, None)));
        }
        let expiring_token = operator("leaving", Role::Owner, Some(START.parse().unwrap()));
        let tasks = TaskTracker::new();
        let router = manage::router(Manage {
            store: Arc::clone(&store),
            replica: Arc::clone(&replica),
            operators: Operators::new(operators),
            clock: Arc::new(clock.clone()),
            settings: setup.settings,
            deployments,
            metrics: Box::new(|| "# EOF\n".to_owned()),
            tasks: tasks.clone(),
        });
        Self { router, store, replica, clock, apps, tasks, tokens, expiring_token, _dir: dir }
    }

    pub(crate) fn token(&self, role: Role) -> &str {
        &self.tokens.iter().find(|(one, _)| *one == role).unwrap().1
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        assert_eq!(head.headers["cache-control"], "no-store");
        assert_eq!(head.headers["x-ms-request-id"].len(), 36);
        if !head.status.is_success() {
            assert!(json["error"]["code"].is_string(), "{text}");
            assert!(json["error"]["message"].is_string(), "{text}");
            assert!(head.headers["content-type"].to_str().unwrap().contains("application/json"));
        }
        Answer { status: head.status, headers: head.headers, text, json }
    }

    /// Calls a path with a role's token and with this body.
    pub(crate) async fn call(&self, role: Role, path: &str, body: impl Into<Body>) -> Answer {
        let authorization = format!("Bearer {}", self.token(role));
        let request = post(path).header("authorization", authorization);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Calls an operation (with its query, if any) under the host's base, as the owner.
    pub(crate) async fn post(&self, operation: &str, body: impl Into<Body>) -> Answer {
        self.call(Role::Owner, &format!("{HOST_BASE}/{operation}"), body).await
    }

    /// Issues a key as a body says.
    pub(crate) async fn issue(&self, body: &Value) -> Issued {
        let answer = self.post("listMcpServerUrl?getApikey=true", body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let text = answer.json["headers"]["X-API-Key"].as_str().unwrap().to_owned();
        Issued { text, json: answer.json }
    }

    /// What the replica's data plane would say of a key.
    pub(crate) fn check(&self, key: &str) -> Result<(), Refusal> {
        let snapshot = self.replica.snapshot().unwrap();
        let presented = Presented::parse(key.as_bytes())?;
        let now = keys::Clock::now(&self.clock);
        snapshot.apps()[0].ring.check(&presented, now).map(drop)
    }

    /// The register of the first app.
    pub(crate) async fn register(&self) -> Vec<ApiKeyRow> {
        let by = Caller::new("test", Role::Reader).require::<Reader>(self.apps[0]).unwrap();
        self.store.list_api_keys(&by, None, 1000).await.unwrap().rows
    }

    /// Asserts that a call was refused so, and that nothing was issued.
    pub(crate) async fn assert_refused(&self, answer: &Answer, status: u16, code: &str) {
        answer.assert(status, code);
        assert!(self.register().await.is_empty(), "a key was issued: {}", answer.text);
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

/// A key that was issued, and the answer it came in.
pub(crate) struct Issued {
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Issued {
    pub(crate) fn id(&self) -> &str {
        self.json["apiKey"]["id"].as_str().unwrap()
    }

    pub(crate) fn presented(&self) -> Presented {
        Presented::parse(self.text.as_bytes()).unwrap()
    }
}

impl Answer {
    pub(crate) fn assert(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.text);
    }

    pub(crate) fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.json["error"]["message"].as_str().unwrap_or_default()
    }
}

/// A request to the loopback name, without a token.
pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::builder().method(Method::POST).uri(path).header("host", "localhost:7072")
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An app with two servers and three tools, which takes API keys.
pub(crate) fn helpdesk() -> Files {
    app_with(
        &json!({ "enable": true, "authentication": { "type": "ApiKey" } }),
        &json!([
            { "name": "Tickets", "description": "Tickets", "tools": [
                { "name": "CreateTicket" }, { "name": "FindTicket" },
            ] },
            { "name": "billing", "description": "Bills", "enabled": false, "tools": [
                { "name": "PriceQuote" },
            ] },
        ]),
    )
}

pub(crate) fn app_with(endpoints: &Value, servers: &Value) -> Files {
    let mut files = Files::new();
    let host = json!({
        "version": "2.0",
        "extensions": { "workflow": { "McpServerEndpoints": endpoints } },
    });
    files.insert("host.json", host.to_string()).unwrap();
    files.insert("mcpservers.json", json!({ "mcpServers": servers }).to_string()).unwrap();
    for workflow in ["CreateTicket", "FindTicket", "PriceQuote"] {
        files.insert(format!("{workflow}/workflow.json"), workflow_json().to_string()).unwrap();
    }
    files
}

fn workflow_json() -> Value {
    json!({
        "kind": "Stateless",
        "definition": {
            "$schema": "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#",
            "contentVersion": "1.0.0.0",
            "triggers": { "manual": { "type": "Request", "kind": "Http", "inputs": {} } },
            "actions": {
                "Answer": {
                    "type": "Response",
                    "kind": "Http",
                    "inputs": { "statusCode": 200, "body": "done" },
                    "runAfter": {},
                },
            },
            "outputs": {},
        },
    })
}
