//! The gateway's own files, of which it shows nothing to the outside: those that read what clients
//! and upstreams sent, and what they need.

#[allow(dead_code)]
#[path = "../../crates/gateway/src/limits.rs"]
pub mod limits;

pub mod refusal {
    pub(crate) const CODE: i32 = -32010;
}

#[allow(dead_code)]
#[path = "../../crates/gateway/src/upstream/filter.rs"]
pub mod filter;
#[allow(dead_code)]
#[path = "../../crates/gateway/src/upstream/judge.rs"]
pub mod judge;
#[allow(dead_code)]
#[path = "../../crates/gateway/src/upstream/members.rs"]
mod members;

/// Makes a message out of pieces that mean something where the first byte says so, since chance
/// alone does not find them; otherwise takes the bytes as they are.
pub fn message(data: &[u8]) -> Vec<u8> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        " ",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\r\r",
        "1",
        "null",
        "\"jsonrpc\":\"2.0\",",
        "\"id\":1,",
        "\"id\":\"a\",",
        "\"method\":",
        "\"Method\":",
        "\"m\\u0065thod\":",
        "\"params\":{",
        "\"Param\\u017f\":{",
        "\"name\":",
        "\"Name\":",
        "\"n\\u0061me\":",
        "\"name\\u0000\":",
        "\"arguments\":{",
        "\"tas\u{212a}\":",
        "\"_meta\":{},",
        "\"tools/call\"",
        "\"tools/list\"",
        "\"prompts/get\"",
        "\"subscriptions/listen\"",
        "\"notifications/x\"",
        "\"notifications\":{",
        "\"toolsListChanged\":true",
        "\"promptsListChanged\":true",
        "\"read\"",
        "\"write\"",
        "\"re\\u0061d\"",
        "\"result\":{",
        "\"Result\":{",
        "\"re\\u017fult\":{",
        "\"error\":{",
        "\"tools\":[",
        "\"TOOLS\":[",
        "{\"name\":\"read\"}",
        "{\"name\":\"write\"}",
        "\"nextCursor\":\"c\"",
        "data: ",
        "data:",
        "data",
        "event: message",
        "event: x",
        "id: 1",
        ": c",
        "retry: 1",
        "\u{feff}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"read\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"read\"},{\"name\":\"write\"}]}}",
    ];
    match data {
        [first, rest @ ..] if first % 2 == 1 => {
            let piece = |byte: &u8| PIECES[usize::from(*byte) % PIECES.len()].as_bytes();
            rest.iter().flat_map(piece).copied().collect()
        }
        [_, rest @ ..] => rest.to_vec(),
        [] => Vec::new(),
    }
}
