use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc;

use serde_json::json;

use crate::harness::Sandbox;

/// Kills the server after so many answers, with calls under way, and gives the ids of the keys that
/// were answered, with the keys.
fn killed_after(sandbox: &Sandbox, answers: usize) -> Vec<(String, String)> {
    let mut server = sandbox.serve();
    let (address, token) = (server.manage_listen().to_owned(), server.token.clone());
    let answered = Mutex::new(Vec::new());
    let (told, enough) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let told = told.clone();
            scope.spawn(|| {
                let told = told;
                while let Some(issued) = issue(&address, &token) {
                    let mut answered = answered.lock().unwrap();
                    answered.push(issued);
                    if answered.len() == answers {
                        told.send(()).unwrap();
                    }
                }
            });
        }
        enough.recv_timeout(crate::harness::DEADLINE).unwrap();
        server.kill();
    });
    answered.into_inner().unwrap()
}

/// Issues a key; none if the answer did not come whole.
fn issue(address: &str, token: &str) -> Option<(String, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    let path = "/runtime/webhooks/workflow/api/management/listMcpServerUrl?getApikey=true";
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: \
         close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let text = |pointer: &str| Some(body.pointer(pointer)?.as_str()?.to_owned());
    Some((text("/apiKey/id")?, text("/headers/X-API-Key")?))
}

#[test]
fn what_was_answered_before_a_kill_is_there_after_it_and_the_next_start_serves() {
    let sandbox = Sandbox::new();
    let mut all = Vec::new();
    for answers in [1, 7, 30] {
        all.extend(killed_after(&sandbox, answers));
    }
    let server = sandbox.serve();
    let list = sandbox.run(&["key", "list", "--json", "--limit", "1000"]).ok();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let rows = list["value"].as_array().unwrap();
    let registered: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(registered.len(), rows.len());
    for (id, _) in &all {
        assert!(registered.contains(id.as_str()), "{id} was answered and is not in the register");
    }
    let (_, key) = all.last().unwrap();
    assert_eq!(server.greet(key), 200);
    let changed = server.manage("regenerateMcpServerAccessKey", &json!({ "keyType": "primary" }));
    assert_eq!(changed.status, 200);
    assert_eq!(server.greet(key), 401);
}

#[test]
fn a_regeneration_that_was_answered_before_a_kill_holds_after_it() {
    let sandbox = Sandbox::new();
    let mut server = sandbox.serve();
    let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
    assert_eq!(server.greet(&key), 200);
    let changed = server.manage("regenerateMcpServerAccessKey", &json!({ "keyType": "primary" }));
    assert_eq!(changed.status, 200);
    server.kill();
    assert_eq!(sandbox.serve().greet(&key), 401);
}
