//! Requests to the child that all share, written so that it can read them in one way only: what names
//! a request there is replaced, and a second name would keep what a client chose.

use crate::upstream::judge::{ENVELOPE, PARAMS};
use crate::upstream::members::{Members, write_object};

/// What stands in a request. Anything else is left out.
const REQUEST: [&str; 4] = ["jsonrpc", "id", "method", "params"];

/// The members of `_meta` that decide whose a message is, and how it is answered.
const META: &[&str] = &[
    "progressToken",
    "io.modelcontextprotocol/subscriptionId",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
];

/// Writes a request anew; says what is wrong with one that can be read in several ways.
pub(super) fn plain(text: &str) -> Result<String, String> {
    let envelope = read(text, "the request", ENVELOPE)?;
    let params = envelope.value("params").map(|params| {
        let mut params = read(params, "params", PARAMS)?;
        if let Some(meta) = params.value("_meta") {
            let meta = written(&read(meta, "params._meta", META)?);
            params.set("_meta", meta);
        }
        Ok::<_, String>(written(&params))
    });
    let params = params.transpose()?;
    let mut json = String::with_capacity(text.len());
    let members = REQUEST.into_iter().filter_map(|name| {
        let value = if name == "params" { params.as_deref() } else { envelope.value(name) };
        Some((name, value?))
    });
    write_object(&mut json, members);
    Ok(json)
}

fn read<'a>(json: &'a str, what: &str, deciding: &[&'static str]) -> Result<Members<'a>, String> {
    let members = Members::read(json).map_err(|_source| {
        let most = crate::limits::MEMBER_COUNT;
        format!("{what} must be an object of at most {most} members")
    })?;
    members
        .refuse_ambiguous(deciding)
        .map_err(|found| format!("{what} cannot be understood in one way only: {found}"))?;
    Ok(members)
}

fn written(members: &Members<'_>) -> String {
    let mut json = String::new();
    members.write(&mut json);
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_what_it_says_and_loses_what_belongs_to_none() {
        let text = r#"{ "x":1, "params": {"_meta":{"progressToken":"7","a":[1, 2]},"name":"\u0061"},
            "id":7,"jsonrpc":"2.0","method":"m","Trace":{"id":1}}"#;
        let expected = r#"{"jsonrpc":"2.0","id":7,"method":"m","params":{"_meta":{"progressToken":"7","a":[1, 2]},"name":"\u0061"}}"#;
        assert_eq!(plain(text).as_deref(), Ok(expected));
        let short = r#"{"jsonrpc":"2.0","id":"a","method":"m"}"#;
        assert_eq!(plain(short).as_deref(), Ok(short));
    }

    #[test]
    fn a_second_name_of_a_request_is_refused_however_it_is_written() {
        let with = |envelope: &str, params: &str, meta: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"m"{envelope},"params":{{"name":"n"{params},
                "_meta":{{"progressToken":1{meta}}}}}}}"#
            )
        };
        assert!(plain(&with("", "", "")).is_ok());
        for second in [
            with(r#","ID":7"#, "", ""),
            with(r#","\u0049d":7"#, "", ""),
            with(r#","id\u0000":7"#, "", ""),
            with(r#","Params":{}"#, "", ""),
            with(r#","METHOD":"n""#, "", ""),
            with("", r#","_Meta":{"progressToken":7}"#, ""),
            with("", r#","_meta":{"progressToken":7}"#, ""),
            with("", r#","Name":"m""#, ""),
            with("", "", r#","ProgressToken":7"#),
            with("", "", r#","progressTo\u212aen":7"#),
            with("", "", r#","progressToken":7"#),
            with("", "", r#","io.modelcontextprotocol/subscriptionID":7"#),
        ] {
            let refused = plain(&second).unwrap_err();
            assert!(refused.contains("in one way only"), "{second} {refused}");
        }
        let strange = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":[]}}"#;
        assert!(plain(strange).unwrap_err().contains("params._meta must be an object"));
    }
}
