use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Answers 500 where the request's handler panicked, so that nothing else on the connection ends
/// with it. The panic itself is logged by the process's hook.
pub(super) async fn survive(
    answer: impl Future<Output = Result<Response, Infallible>>,
) -> Response {
    let mut answer = pin!(answer);
    let caught = poll_fn(|cx| {
        // It is dropped after a panic, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    });
    caught.await.map_or_else(|_panic| failed(), |Ok(response)| response)
}

fn failed() -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    let body = r#"{"error":{"code":"InternalServerError","message":"The request failed here. The log has the reason."}}"#;
    (StatusCode::INTERNAL_SERVER_ERROR, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio_util::task::TaskTracker;

    use crate::listener::{Shutdown, bind, serve};

    async fn boom() -> Body {
        panic!("a handler with kwk1_secret in its hands");
    }

    #[test]
    fn a_panic_ends_its_own_request_and_no_other_on_the_connection() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (listener, address) = bind(([127, 0, 0, 1], 0).into(), "tests").await.unwrap();
            let router = Router::new().route("/", get("fine")).route("/boom", get(boom));
            let (shutdown, tasks) = (Shutdown::default(), TaskTracker::new());
            tasks.spawn(serve(listener, move |_| router.clone(), 8, shutdown.clone(), tasks.clone()));
            let mut stream = TcpStream::connect(address).await.unwrap();
            let two = "GET /boom HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: \
                       close\r\n\r\n";
            stream.write_all(two.as_bytes()).await.unwrap();
            let mut answers = String::new();
            stream.read_to_string(&mut answers).await.unwrap();
            assert!(answers.starts_with("HTTP/1.1 500 ") && answers.ends_with("fine"), "{answers}");
            assert!(!answers.contains("kwk1_"), "{answers}");
            shutdown.soft.cancel();
            tasks.close();
            tasks.wait().await;
        });
    }
}
