use keys::{
    AccessKey, ApiKeyId, AppId, ManualClock, MasterKey, MasterKeys, Presented, Terms, Timestamp,
};
use serde_json::{Value, json};

use crate::harness::{Sandbox, files_below, post};

/// Secrets that were given to the server, or that it made: each as it is, and its bytes in the forms
/// that a careless line would print them in.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, what: &str, text: &str) {
        let text = text.trim();
        // A part is as bad as the whole, and an escaped or wrapped text still has its parts. The
        // head of an API key holds its ids, which may be shown.
        let first = if text.starts_with("kwk1_") { text.len() - 40 } else { 5 };
        for part in text.as_bytes()[first..].chunks(16).filter(|part| part.len() == 16) {
            self.0.push((what.to_owned(), part.to_vec()));
            let debugged = part.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            self.0.push((format!("{what} as numbers"), debugged.into_bytes()));
        }
    }

    #[track_caller]
    fn assert_absent(&self, place: &str, bytes: &[u8]) {
        for (what, secret) in &self.0 {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{place} has a part of {what}");
        }
    }
}

#[test]
fn no_secret_is_in_any_log_line_output_or_file_at_the_most_verbose_level() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.serve_command(&["--log", "trace", "--log-format", "json"]);
    command.env("RUST_LOG", "trace");
    let mut server = sandbox.serve_by(command);
    let mut secrets = Secrets::default();
    secrets.add("the operator token", &server.token);
    let master_key = sandbox.read("tools/.keyward/master-key");
    secrets.add("the master key", &master_key);

    let issued: Value =
        serde_json::from_str(&sandbox.run(&["key", "issue", "--json"]).ok()).unwrap();
    let key = issued["headers"]["X-API-Key"].as_str().unwrap().to_owned();
    let narrowed = sandbox.run_with(sandbox.command(&["key", "narrow", "--ttl", "1h"]), &key);
    let narrowed = narrowed.ok().trim().to_owned();
    let mut altered = key.clone();
    let other = if altered.pop() == Some('a') { 'b' } else { 'a' };
    altered.push(other);
    let garbage = format!("kwk1_{}", "g4rb".repeat(30));
    for (what, text) in [
        ("an API key", &key),
        ("a narrowed key", &narrowed),
        ("an altered key", &altered),
        ("a garbage key", &garbage),
    ] {
        secrets.add(what, text);
        use_everywhere(&server, text, &mut secrets);
    }
    let wrong_token = format!("kwo1_{}", "wr0ng".repeat(10));
    secrets.add("a wrong token", &wrong_token);
    use_everywhere(&server, &wrong_token, &mut secrets);
    assert_eq!(server.greet(&key), 200);
    let revoked = server.manage("revokeMcpApiKey", &json!({ "id": issued["apiKey"]["id"] }));
    assert_eq!(revoked.status, 200);
    let changed = server.manage("regenerateMcpServerAccessKey", &json!({ "keyType": "secondary" }));
    assert_eq!(changed.status, 200);
    server.kill();

    assert!(server.log.len() > 10, "the log is there to be looked at");
    secrets.assert_absent("the log", server.log.text().as_bytes());
    secrets.assert_absent("the ready line", server.ready.to_string().as_bytes());
    let mut looked_at = 0;
    for (path, bytes) in files_below(&sandbox.path("tools/.keyward")) {
        if path.ends_with("master-key") || path.ends_with("operator-token") {
            continue;
        }
        looked_at += 1;
        secrets.assert_absent(&path.display().to_string(), &bytes);
    }
    assert!(looked_at >= 3, "the database and its log are there to be looked at");
    assert_no_access_key_in_files(&sandbox, &master_key, &key);
}

/// Sends a secret in every place of a request where one could be sent, and checks that no answer
/// repeats it.
fn use_everywhere(server: &crate::harness::Server, secret: &str, secrets: &mut Secrets) {
    let (mcp, manage) = (server.listen(), server.manage_listen());
    let base = "/runtime/webhooks/workflow/api/management";
    let bearer = format!("Authorization: Bearer {secret}\r\n");
    let json_body = "Content-Type: application/json\r\n";
    let operator = format!("Authorization: Bearer {}\r\n{json_body}", server.token);
    let call =
        json!({ "jsonrpc": "2.0", "id": secret, "method": secret, "params": { secret: secret } });
    let answers = [
        server.mcp(secret, "tools/list", &json!({})),
        server.mcp_on("/api/mcp", &bearer, "tools/list", &json!({})),
        server.mcp_on("/api/mcp", &format!("{bearer}X-API-Key: {secret}x\r\n"), "ping", &json!({})),
        post(mcp, &format!("/api/mcpservers/{secret}/mcp"), &bearer, ""),
        post(mcp, &format!("/api/mcp?key={secret}"), "", ""),
        post(mcp, "/register", &bearer, secret),
        post(manage, &format!("{base}/listMcpServers"), &bearer, ""),
        post(manage, &format!("{base}/listMcpServers"), &format!("X-API-Key: {secret}\r\n"), ""),
        post(manage, &format!("{base}/{secret}"), &operator, ""),
        post(manage, &format!("{base}/listMcpApiKeys?$skipToken={secret}"), &operator, "{}"),
        post(manage, &format!("{base}/listMcpServers?app={secret}"), &operator, "{}"),
        post(
            manage,
            &format!("{base}/revokeMcpApiKey"),
            &operator,
            &json!({ "id": secret }).to_string(),
        ),
        post(
            manage,
            &format!("{base}/listMcpServerUrl?getApikey=true"),
            &operator,
            &json!({ "label": secret }).to_string(),
        ),
        post(
            manage,
            &format!("{base}/listMcpServerUrl?getApikey=true"),
            &operator,
            &json!({ "scopes": [secret], "keyType": secret, secret: 1 }).to_string(),
        ),
    ];
    for (index, answer) in answers.iter().enumerate() {
        secrets.assert_absent(&format!("answer {index}"), answer.body.as_bytes());
        secrets.assert_absent(&format!("answer {index}"), answer.head.as_bytes());
    }
    // What a message holds comes back to who sent it, and so do versions that nobody knows: the
    // protocol wants it so. It goes nowhere else.
    drop(post(mcp, "/api/mcp", &format!("{bearer}{json_body}"), &call.to_string()));
    let headers = format!(
        "X-API-Key: {secret}\r\nMCP-Protocol-Version: {secret}\r\nMcp-Session-Id: {secret}\r\n"
    );
    let client = json!({ "name": secret, "version": "1" });
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    drop(server.mcp_on("/api/mcp", &headers, "initialize", &hello));
}

/// No 32 bytes of the database are an access key: none derive the API key that was issued.
fn assert_no_access_key_in_files(sandbox: &Sandbox, master_key: &str, key: &str) {
    let dir = sandbox.path("tools/.keyward");
    let databases: Vec<_> = files_below(&dir)
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("keyward.db"))
        .collect();
    let app = app_id(&dir, master_key);
    let presented = Presented::parse(key.as_bytes()).unwrap();
    let terms = Terms { not_after: presented.not_after(), scopes: None };
    let derives = |secret: [u8; 32]| {
        let access_key = AccessKey::from_secret(presented.access_key_id(), secret);
        let id = ApiKeyId::from_bytes(*presented.key_id().as_bytes());
        access_key.issue(&app, id, &terms).unwrap().expose() == key
    };
    for (path, bytes) in databases {
        for window in bytes.windows(32) {
            // A secret is random: what has a byte more than thrice is text or empty space.
            let mut counts = [0_u8; 256];
            let random = window.iter().all(|byte| {
                let count = &mut counts[usize::from(*byte)];
                *count += 1;
                *count <= 3
            });
            if random {
                assert!(!derives(window.try_into().unwrap()), "{}", path.display());
            }
        }
    }
}

fn app_id(dir: &std::path::Path, master_key: &str) -> AppId {
    let masters = MasterKeys::new(MasterKey::parse(master_key.trim()).unwrap(), []);
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_unix_ms(0)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = store::Store::open(dir, std::sync::Arc::new(masters), clock).await.unwrap();
        let app = store.ensure_app("tools").await.unwrap();
        store.close().await;
        app
    })
}
