//! JSON-RPC messages as the text that they are: their envelope is read, the rest is left alone.

use std::ops::{Deref, Range};

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A request's id. Fractions, null and everything else that MCP does not allow are no ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Id {
    Number(i64),
    Text(String),
}

impl Id {
    /// Reads an id or a progress token, which have the same form.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        if text.starts_with('"') {
            serde_json::from_str(text).ok().map(Self::Text)
        } else {
            text.parse().ok().map(Self::Number)
        }
    }

    /// Gives the id if it can be one of ours: they are positive numbers.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => u64::try_from(*number).ok(),
            Self::Text(_) => None,
        }
    }
}

/// One message, in the text that it was read from.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) text: &'a str,
    pub(super) kind: Kind<'a>,
}

/// What a message is.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    Request { id: Id, raw_id: &'a RawValue, method: String, params: Params<'a> },
    Notification { method: String, params: Params<'a> },
    Response { id: Id, raw_id: &'a RawValue, outcome: Outcome<'a> },
}

/// What a response says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'a> {
    Result(&'a RawValue),
    /// With its code.
    Error(i64),
}

/// The text of a member, which keeps it also where that is `null`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(from).map(|text| Self(Some(text)))
    }
}

impl<'a> Deref for Part<'a> {
    type Target = Option<&'a RawValue>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The members of a message's params that matter on its way.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Part<'a>,
    pub(super) progress_token: Part<'a>,
    pub(super) request_id: Part<'a>,
    pub(super) name: Part<'a>,
    pub(super) uri: Part<'a>,
    pub(super) task_id: Part<'a>,
    pub(super) arguments: Part<'a>,
    pub(super) protocol_version: Part<'a>,
}

/// What `_meta` of params or of a result says to whoever is on the way.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    pub(super) progress_token: Part<'a>,
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    pub(super) protocol_version: Part<'a>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    pub(super) client_capabilities: Part<'a>,
    #[serde(rename = "io.modelcontextprotocol/logLevel")]
    pub(super) log_level: Part<'a>,
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    pub(super) subscription_id: Part<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    jsonrpc: String,
    #[serde(borrow)]
    id: Part<'a>,
    method: Option<String>,
    params: Part<'a>,
    result: Part<'a>,
    error: Part<'a>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tagged<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Part<'a>,
}

/// Reads an object; serde alone would take an array of its values for one.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    if text.trim_ascii_start().starts_with('{') {
        serde_json::from_str(text)
    } else {
        Err(serde_json::Error::custom("not an object"))
    }
}

/// Reads a member that must be a text.
pub(super) fn text(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
}

impl<'a> Message<'a> {
    /// Reads a message; none for what is not exactly one: a batch, members in doubt, no envelope.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let envelope: Envelope<'_> = object(text).ok()?;
        if envelope.jsonrpc != "2.0" {
            return None;
        }
        let params = |raw: Option<&'a RawValue>| match raw {
            None => Some(Params::default()),
            Some(raw) => object(raw.get()).ok(),
        };
        let id = match *envelope.id {
            None => None,
            Some(raw) => Some((Id::read(raw)?, raw)),
        };
        let kind = match (envelope.method, id, *envelope.result, *envelope.error) {
            (Some(method), Some((id, raw_id)), None, None) => {
                Kind::Request { id, raw_id, method, params: params(*envelope.params)? }
            }
            (Some(method), None, None, None) => {
                Kind::Notification { method, params: params(*envelope.params)? }
            }
            (None, Some((id, raw_id)), Some(result), None) => {
                Kind::Response { id, raw_id, outcome: Outcome::Result(result) }
            }
            (None, Some((id, raw_id)), None, Some(error)) => {
                let Fault { code } = object(error.get()).ok()?;
                Kind::Response { id, raw_id, outcome: Outcome::Error(code) }
            }
            _ => return None,
        };
        Some(Self { text, kind })
    }

    /// Gives the text with some of its parts replaced; each part must be a slice of it.
    pub(super) fn with(&self, parts: &[(&RawValue, &str)]) -> Option<Bytes> {
        let mut parts = parts
            .iter()
            .map(|(part, by)| Some((place(self.text, part.get())?, *by)))
            .collect::<Option<Vec<_>>>()?;
        parts.sort_by_key(|(place, _)| place.start);
        let mut text = String::with_capacity(self.text.len() + 32);
        let mut done = 0;
        for (place, by) in parts {
            text.push_str(self.text.get(done..place.start)?);
            text.push_str(by);
            done = place.end;
        }
        text.push_str(self.text.get(done..)?);
        Some(text.into())
    }
}

impl<'a> Params<'a> {
    /// Reads `_meta`; an empty one where there is none that can be read.
    pub(super) fn meta(&self) -> Meta<'a> {
        self.meta.and_then(|raw| object(raw.get()).ok()).unwrap_or_default()
    }
}

/// Gives the subscription that a result ends, as it stands there.
pub(super) fn subscription_of(result: &RawValue) -> Option<&RawValue> {
    let tagged: Tagged<'_> = object(result.get()).ok()?;
    let meta: Meta<'_> = object((*tagged.meta)?.get()).ok()?;
    *meta.subscription_id
}

/// Where a slice lies in the text that it was taken from.
fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (text.get(start..end)? == part).then_some(start..end)
}

/// Puts a message on one line: outside of its texts, which cannot hold them, line ends are spaces.
pub(super) fn one_line(message: &Bytes) -> Bytes {
    let ends_line = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !message.iter().any(ends_line) {
        return message.clone();
    }
    message.iter().map(|byte| if ends_line(byte) { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> String {
        match Message::read(text.as_bytes()).map(|message| message.kind) {
            None => "none".to_owned(),
            Some(Kind::Request { id, method, .. }) => format!("request {id:?} {method}"),
            Some(Kind::Notification { method, .. }) => format!("notification {method}"),
            Some(Kind::Response { id, outcome: Outcome::Result(result), .. }) => {
                format!("result {id:?} {result}")
            }
            Some(Kind::Response { id, outcome: Outcome::Error(code), .. }) => {
                format!("error {id:?} {code}")
            }
        }
    }

    #[test]
    fn what_is_not_exactly_one_message_is_none() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, "request Number(1) m"),
            (r#" {"id":"a","jsonrpc":"2.0","method":"m","params":{}}"#, r#"request Text("a") m"#),
            (r#"{"jsonrpc":"2.0","method":"m"}"#, "notification m"),
            (r#"{"jsonrpc":"2.0","id":-1,"result":null}"#, "result Number(-1) null"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-2,"message":""}}"#, "error Number(1) -2"),
            (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"result":1}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"result":1}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":1e3,"method":"m"}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":{},"result":1}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#, "none"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, "none"),
            (r#"{"jsonrpc":"1.0","method":"m"}"#, "none"),
            (r#"["2.0",1,"m"]"#, "none"),
            (r#"[{"jsonrpc":"2.0","method":"m"}]"#, "none"),
            ("hello", "none"),
            ("{", "none"),
            ("", "none"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
        assert!(Message::read(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").is_none());
    }

    #[test]
    fn parts_are_replaced_where_they_stand_and_nothing_else_changes() {
        let text = r#"{ "params": {"_meta":{"progressToken":"7"},"x":7.10}, "id": 7, "jsonrpc":"2.0","method":"m"}"#;
        let message = Message::read(text.as_bytes()).unwrap();
        let Kind::Request { raw_id, params, .. } = &message.kind else { panic!("{message:?}") };
        let token = params.meta().progress_token.unwrap();
        let changed = message.with(&[(raw_id, "\"mine\""), (token, "1234")]).unwrap();
        let expected =
            text.replacen("\"7\"", "1234", 1).replacen("\"id\": 7", "\"id\": \"mine\"", 1);
        assert_eq!(changed, expected.as_bytes());
        let elsewhere = serde_json::value::to_raw_value(&7).unwrap();
        assert_eq!(message.with(&[(&elsewhere, "1")]), None);
    }

    #[test]
    fn a_message_on_several_lines_is_put_on_one() {
        let spread = Bytes::from_static(b"{\r\n\"a\": \"\\n\"\n}");
        assert_eq!(one_line(&spread), &b"{  \"a\": \"\\n\" }"[..]);
    }
}
