//! What the log says.

use std::io;
use std::sync::{Arc, Mutex};

use keys::Role;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::plane::{ARM_BASE, Plane};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn every_answers_request_id_stands_in_the_log_and_no_secret_does() {
    let log = Log::default();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log.clone()));
    // For the whole process, so that what the other tests log meanwhile is searched as well: and
    // one that logs first would leave its places switched off for a subscriber of one thread.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let plane = Plane::new().await;
    let key = plane.issue(&json!({ "label": "a-label" })).await;
    let path = format!("{ARM_BASE}/revokeMcpApiKey?api-version=2021-02-01&secret=query-text");
    let answers = [
        plane.call(Role::Reader, &path, "").await,
        plane.call(Role::Owner, &path, json!({ "id": key.text }).to_string()).await,
        plane.call(Role::Owner, &path, json!({ "id": key.id() }).to_string()).await,
        plane.post("none-such", "body-text").await,
    ];
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for answer in &answers {
        assert!(text.contains(answer.headers["x-ms-request-id"].to_str().unwrap()), "{text}");
    }
    assert!(text.contains("AuthorizationFailed"), "{text}");
    for change in ["issued the API key", "revoked the API key"] {
        assert!(text.contains(&format!("{change} {}", key.id())), "{text}");
    }
    for secret in ["kwk1_", "kwo1_", "query-text", "body-text", "a-label", "none-such"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
