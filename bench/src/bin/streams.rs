//! Opens many SSE streams and holds them until its standard input ends.
//!
//! `streams HOST:PORT PATH COUNT`, with the header lines of the request in the variable `HEADERS`
//! (where an argument would show the key to everyone on the machine). Prints a line when all are
//! open and each has had its first event.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What the upstream sends when it opens a stream.
const OPENING: &[u8] = b": open\n\n";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, count] = arguments.as_slice() else {
        return Err("usage: streams HOST:PORT PATH COUNT".into());
    };
    let headers = std::env::var("HEADERS").unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{}\r\n",
        headers.lines().map(|line| format!("{line}\r\n")).collect::<String>(),
    );
    let count: usize = count.parse()?;
    let streams = (0..count).map(|number| {
        open(address, &request)
            .map_err(|error| format!("stream {} of {count}: {error}", number + 1))
    });
    let streams: Vec<TcpStream> = streams.collect::<Result<_, _>>()?;
    println!("open {}", streams.len());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    // One that was ended meanwhile would make the memory look smaller than it is.
    for (number, stream) in streams.iter().enumerate() {
        stream.set_nonblocking(true)?;
        match (&*stream).read(&mut [0; 64]) {
            Ok(0) => return Err(format!("stream {} was ended", number + 1).into()),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(error.into());
            }
            // Nothing, or what keeps a stream alive.
            _ => {}
        }
    }
    Ok(())
}

fn open(address: &str, request: &str) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !answer.windows(OPENING.len()).any(|part| part == OPENING) {
        let read = stream.read(&mut chunk)?;
        answer.extend_from_slice(&chunk[..read]);
        if read == 0 || !answer.starts_with(&b"HTTP/1.1 200 "[..answer.len().min(13)]) {
            return Err(format!("answered {:?}", String::from_utf8_lossy(&answer)).into());
        }
    }
    Ok(stream)
}
