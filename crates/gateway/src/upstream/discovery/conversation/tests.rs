use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt as _;
use futures::stream;
use http::HeaderMap;

use super::*;

/// What an upstream was asked.
#[derive(Debug)]
struct Asked {
    http_method: Method,
    headers: HeaderMap,
    message: Value,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON-RPC method, or the one of HTTP where there is no message.
    fn what(&self) -> &str {
        self.message["method"].as_str().unwrap_or(self.http_method.as_str())
    }

    fn is_newer(&self) -> bool {
        self.header("mcp-protocol-version") == Some(NEWER)
    }

    fn result(&self, result: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.message["id"], "result": result })
    }

    fn error(&self, code: i64) -> Value {
        let error = json!({ "code": code, "message": "Bearer hush is no good" });
        json!({ "jsonrpc": "2.0", "id": self.message["id"], "error": error })
    }
}

/// Lists the tools of an upstream that answers so; gives what it was asked, too.
async fn ask(
    answer: impl Fn(&Asked) -> Response<Body> + Send + Sync,
) -> (Result<Vec<ListedTool>, String>, Vec<Asked>) {
    let heard = Mutex::new(Vec::new());
    let way = |request: Request<Bytes>| {
        let (parts, body) = request.into_parts();
        let message = serde_json::from_slice(&body).unwrap_or_default();
        let asked = Asked { http_method: parts.method, headers: parts.headers, message };
        let response = answer(&asked);
        heard.lock().unwrap().push(asked);
        async move { Ok(response) }.boxed()
    };
    let answer = tools(&way, false).await;
    (answer, heard.into_inner().unwrap())
}

/// Why there is no list.
async fn failure(answer: impl Fn(&Asked) -> Response<Body> + Send + Sync) -> String {
    let why = ask(answer).await.0.unwrap_err();
    assert!(!why.contains("hush"), "{why}");
    why
}

fn respond(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

fn json_answer(message: &Value) -> Response<Body> {
    respond(200, "application/json; charset=utf-8", message.to_string())
}

fn list(names: &[&str]) -> Value {
    let described = |name: &&str| {
        json!({ "name": name, "description": format!("Does {name}"),
        "inputSchema": { "type": "object" } })
    };
    json!({ "tools": names.iter().map(described).collect::<Vec<_>>() })
}

fn names(answer: Result<Vec<ListedTool>, String>) -> Vec<String> {
    answer.unwrap().into_iter().map(|tool| tool.name).collect()
}

fn what(heard: &[Asked]) -> Vec<&str> {
    heard.iter().map(Asked::what).collect()
}

/// A server of the older protocol versions.
fn older(asked: &Asked, session: Option<&str>, capabilities: &Value) -> Response<Body> {
    if asked.is_newer() {
        return respond(400, "application/json", asked.error(-32000).to_string());
    }
    match asked.what() {
        "initialize" => {
            let version = "2025-06-18";
            let mut response = json_answer(&asked.result(&json!({ "protocolVersion": version,
                "capabilities": capabilities, "serverInfo": { "name": "s", "version": "1" } })));
            let session = session.map(|session| (SESSION, session.parse().unwrap()));
            response.headers_mut().extend(session);
            response
        }
        "notifications/initialized" => respond(202, "text/plain", ""),
        "tools/list" => json_answer(&asked.result(&list(&["old"]))),
        _ => respond(405, "text/plain", ""),
    }
}

#[tokio::test]
async fn a_newer_server_is_asked_once() {
    let (answer, heard) = ask(|asked| json_answer(&asked.result(&list(&["a", "b"])))).await;
    let tools = answer.unwrap();
    assert_eq!(tools[1].name, "b");
    assert_eq!(tools[1].description.as_deref(), Some("Does b"));
    let [asked] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(asked.http_method, Method::POST);
    assert_eq!(asked.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(asked.header("mcp-method"), Some("tools/list"));
    assert_eq!(asked.header("accept"), Some("application/json, text/event-stream"));
    let meta = &asked.message["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "keyward");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
}

#[tokio::test]
async fn the_answer_is_found_among_the_messages_of_a_stream() {
    let (answer, heard) = ask(|asked| {
        let notice = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} });
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        let result = asked.result(&list(&["a"]));
        let events =
            format!(": hello\n\nid: 1\ndata:\n\ndata: {notice}\n\ndata: {question}\r\n\r\ndata: {result}\n\n");
        // In small pieces, and it never ends by itself.
        let pieces: Vec<_> = events.into_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        respond(200, "text/event-stream", Body::from_stream(pieces.chain(stream::pending())))
    })
    .await;
    assert_eq!(names(answer), ["a"]);
    assert_eq!(heard.len(), 1);
}

#[tokio::test]
async fn all_pages_are_read() {
    let (answer, heard) = ask(|asked| {
        let (names, next) = match asked.message["params"]["cursor"].as_str() {
            None => (["a", "b"], Some("second")),
            Some("second") => (["c", "d"], None),
            Some(other) => panic!("{other}"),
        };
        let mut page = list(&names);
        page["nextCursor"] = json!(next);
        json_answer(&asked.result(&page))
    })
    .await;
    assert_eq!(names(answer), ["a", "b", "c", "d"]);
    assert_eq!(heard.len(), 2);
}

#[tokio::test]
async fn a_server_that_has_sessions_gets_its_session_back() {
    let (answer, heard) =
        ask(|asked| older(asked, Some("session-1"), &json!({ "tools": {} }))).await;
    assert_eq!(names(answer), ["old"]);
    let order = ["tools/list", "initialize", "notifications/initialized", "tools/list", "DELETE"];
    assert_eq!(what(&heard), order);
    assert_eq!(heard[1].header("mcp-protocol-version"), None);
    assert_eq!(heard[1].message["params"]["protocolVersion"], "2025-11-25");
    assert!(heard[2].message.get("id").is_none());
    for asked in &heard[2..] {
        assert_eq!(asked.header("mcp-session-id"), Some("session-1"));
        assert_eq!(asked.header("mcp-protocol-version"), Some("2025-06-18"));
    }
    assert!(heard[3].message["params"].get("_meta").is_none());
}

#[tokio::test]
async fn a_server_without_sessions_has_none_to_end() {
    let (answer, heard) = ask(|asked| older(asked, None, &json!({ "tools": {} }))).await;
    assert_eq!(names(answer), ["old"]);
    assert_eq!(heard.len(), 4);
}

#[tokio::test]
async fn a_session_is_ended_after_a_failure_too() {
    let (answer, heard) = ask(|asked| match asked.what() {
        "tools/list" => respond(500, "text/plain", "hush"),
        _ => older(asked, Some("session-1"), &json!({ "tools": {} })),
    })
    .await;
    assert_eq!(answer.unwrap_err(), "answered tools/list with HTTP 500 Internal Server Error");
    assert_eq!(heard.last().map(Asked::what), Some("DELETE"));
}

#[tokio::test]
async fn a_server_that_says_that_it_has_no_tools_is_believed() {
    let (answer, heard) = ask(|asked| older(asked, None, &json!({ "prompts": {} }))).await;
    assert_eq!(answer, Ok(Vec::new()));
    assert_eq!(what(&heard), ["tools/list", "initialize", "notifications/initialized"]);
    let unknown = |asked: &Asked| respond(404, "application/json", asked.error(-32601).to_string());
    let (answer, _) = ask(unknown).await;
    assert_eq!(answer, Ok(Vec::new()));
}

#[tokio::test]
async fn a_newer_server_that_fails_is_told_of_by_its_first_answer() {
    let why = failure(|asked| match asked.what() {
        "tools/list" => respond(500, "application/json", asked.error(-32603).to_string()),
        _ => respond(404, "application/json", asked.error(-32601).to_string()),
    })
    .await;
    assert_eq!(why, "answered tools/list with the JSON-RPC error -32603");
}

#[tokio::test]
async fn what_is_no_mcp_server_is_told_of() {
    let html = failure(|_| respond(200, "text/html", "<p>hush</p>")).await;
    assert_eq!(html, "answered initialize with something that MCP does not know");
    let text = failure(|_| respond(200, "application/json", "hush")).await;
    assert_eq!(text, html);
    let other = failure(|asked| {
        let id = asked.message["id"].as_u64().unwrap() + 1;
        json_answer(&json!({ "jsonrpc": "2.0", "id": id, "result": list(&["a"]) }))
    });
    assert_eq!(other.await, html);
    let shape = failure(|asked| json_answer(&asked.result(&json!({ "tools": 1 })))).await;
    assert_eq!(shape, html);
    let missing = failure(|_| respond(404, "text/html", "hush")).await;
    let expected =
        "answered initialize with HTTP 404 Not Found: is this the path of its MCP endpoint?";
    assert_eq!(missing, expected);
}

#[tokio::test]
async fn who_is_not_there_is_asked_once() {
    let count = Mutex::new(0);
    let way = |_| {
        *count.lock().unwrap() += 1;
        async { Err("cannot be reached".to_owned()) }.boxed()
    };
    assert_eq!(tools(&way, false).await, Err("cannot be reached".to_owned()));
    assert_eq!(*count.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_its_time() {
    for kind in ["application/json", "text/event-stream"] {
        let silent = |_: &Asked| {
            respond(200, kind, Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()))
        };
        assert_eq!(failure(silent).await, "did not answer initialize within 20 s");
    }
    let way = |_| futures::future::pending().boxed();
    let asked = timeout(Duration::from_mins(1), tools(&way, false)).await;
    assert_eq!(asked.unwrap(), Err("did not answer initialize within 20 s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn pages_that_come_slowly_end_after_their_time() {
    let way = |request: Request<Bytes>| {
        let message = serde_json::from_slice(request.body()).unwrap();
        let asked = Asked { http_method: Method::POST, headers: HeaderMap::new(), message };
        async move {
            tokio::time::sleep(Duration::from_secs(19)).await;
            Ok(json_answer(&asked.result(&json!({ "tools": [], "nextCursor": "more" }))))
        }
        .boxed()
    };
    let expected = Err("did not list all its tools within 60 s".to_owned());
    assert_eq!(tools(&way, false).await, expected);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let broken = |kind: &'static str| {
        move |_: &Asked| {
            let parts = [Ok(Bytes::from("data: {")), Err(std::io::Error::other("hush"))];
            respond(200, kind, Body::from_stream(stream::iter(parts)))
        }
    };
    let why = "broke off its answer to initialize";
    assert_eq!(failure(broken("application/json")).await, why);
    assert_eq!(failure(broken("text/event-stream")).await, why);
    assert_eq!(failure(|_| respond(200, "text/event-stream", "data: x\n\n")).await, why);
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound() {
    let endless = |kind: &'static str| {
        move |_: &Asked| {
            let parts = stream::repeat(Ok::<_, Infallible>(Bytes::from(vec![b' '; 64 * 1024])));
            respond(200, kind, Body::from_stream(parts))
        }
    };
    let why = "answered initialize with more than 4194304 bytes";
    assert_eq!(failure(endless("application/json")).await, why);
    assert_eq!(failure(endless("text/event-stream")).await, why);
}

#[tokio::test]
async fn a_list_is_read_up_to_its_bounds() {
    let sized = |count: usize| {
        move |asked: &Asked| {
            let all: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            match asked.what() {
                "tools/list" => json_answer(&asked.result(&list(&all))),
                _ => json_answer(&asked.error(-32601)),
            }
        }
    };
    assert_eq!(names(ask(sized(4096)).await.0).len(), 4096);
    let why = "lists more than 4096 tools, or more than 64 pages of them";
    assert_eq!(failure(sized(4097)).await, why);
    let (answer, heard) = ask(|asked| match asked.what() {
        "tools/list" => json_answer(&asked.result(&json!({ "tools": [], "nextCursor": "again" }))),
        _ => json_answer(&asked.error(-32601)),
    })
    .await;
    assert_eq!(answer.unwrap_err(), why);
    assert_eq!(heard.len(), 64);
}

#[tokio::test]
async fn a_description_is_shortened_and_a_name_is_not() {
    let (answer, _) = ask(|asked| {
        let tools = json!([
            { "name": "é".repeat(127), "description": "é".repeat(1025) },
            { "name": "n".repeat(256) },
            { "name": "" },
            { "name": "plain", "description": null },
        ]);
        json_answer(&asked.result(&json!({ "tools": tools })))
    })
    .await;
    let [long, plain] = answer.unwrap().try_into().unwrap();
    assert_eq!((long.name, long.description), ("é".repeat(127), Some("é".repeat(1024))));
    assert_eq!((plain.name.as_str(), plain.description), ("plain", None));
}

#[tokio::test]
async fn what_keyward_answers_for_a_process_is_told_and_the_same_of_an_upstream_is_not() {
    let way = |request: Request<Bytes>| {
        let message: Value = serde_json::from_slice(request.body()).unwrap();
        let error = json!({ "code": -32010, "message": "its process could not be started" });
        let body = json!({ "jsonrpc": "2.0", "id": message["id"], "error": error });
        async move { Ok(respond(502, "application/json", body.to_string())) }.boxed()
    };
    assert_eq!(tools(&way, true).await, Err("its process could not be started".to_owned()));
    let expected = "answered tools/list with the JSON-RPC error -32010";
    assert_eq!(tools(&way, false).await, Err(expected.to_owned()));
}
