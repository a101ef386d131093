//! An MCP server that has everything the official conformance suite asks of one: the upstream of
//! `tests/conformance/compare`.
//!
//! ```text
//! conformant --stdio
//! conformant --http 127.0.0.1:0      prints its URL
//! conformant --tools                 prints its tools, as mcpservers.json names them
//! ```

#![expect(deprecated, reason = "older protocol versions have what the newest has given up")]

mod content;
mod input;
mod server;
mod tasks;
mod tools;

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use server::Conformant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--stdio"] => stdio().await,
        ["--http", address] => http(address).await,
        ["--tools"] => Ok(writeln!(io::stdout(), "{}", tools::names())?),
        _ => Err("usage: conformant --stdio | --http ADDRESS:PORT | --tools".into()),
    }
}

async fn stdio() -> Result<(), Box<dyn Error>> {
    Conformant::new(None)?.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}

async fn http(address: &str) -> Result<(), Box<dyn Error>> {
    let sessions = Arc::new(LocalSessionManager::default());
    let server = Conformant::new(Some(Arc::clone(&sessions)))?;
    // Hosts other than the loopback's are refused by default, and pages of other origins by this.
    let config = StreamableHttpServerConfig::default()
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*"]);
    let service =
        StreamableHttpService::new(move || Ok(server.for_one_session()), sessions, config);

    let listener = tokio::net::TcpListener::bind(address).await?;
    writeln!(io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?;
    Ok(())
}
