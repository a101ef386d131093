use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Answers 500 where the request's handler panicked, so that nothing else on the connection ends
/// with it. The panic itself is logged by the process's hook.
pub(super) async fn survive(
    answer: impl Future<Output = Result<Response, Infallible>>,
) -> Response {
    let answered = Caught(Box::pin(answer)).await;
    answered.map_or_else(|_panic| failed(), |Ok(response)| response)
}

fn failed() -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    let body = r#"{"error":{"code":"InternalServerError","message":"The request failed here. The log has the reason."}}"#;
    (StatusCode::INTERNAL_SERVER_ERROR, headers, body).into_response()
}

/// A future whose panics are caught. It is dropped after one, so nobody sees what it left half done.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
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
            tasks.spawn(serve(listener, router, 8, shutdown.clone(), tasks.clone()));
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
