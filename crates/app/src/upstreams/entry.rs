//! One server of mcp.json.

use std::collections::BTreeMap;

use serde_json::Value;

use super::http;
use super::text::{Texts, shown};
use super::{StdioUpstream, Transport};
use crate::json::Faults;
use crate::limits;
use crate::problem::LeftOut;
use crate::reader::{Node, Object};

/// What is told about members that cannot be left aside without serving something else.
const CHANGES_WHAT_RUNS: &[(&[&str], &str)] = &[
    (
        &["envFile"],
        "`envFile` is not read: put its variables into `env`, or into Keyward's environment and name them as `${env:NAME}`",
    ),
    (
        &["sandbox", "sandboxEnabled"],
        "it asks for a sandbox, which Keyward does not have: remove the member to have it run without one",
    ),
    (
        &["headersHelper"],
        "`headersHelper` is a program that is not run here: put its headers into `headers`",
    ),
    (
        &["oauth", "auth"],
        "it asks for a sign-in, which Keyward cannot do: put a credential into `headers`",
    ),
    (
        &["tools", "includeTools", "excludeTools", "enabledTools", "disabledTools"],
        "it limits its tools in a way that is not read here: list those that may be called in mcpservers.json, and remove the member",
    ),
];

/// Reads how one server is reached; none if it does not hold, or cannot be served.
pub(super) fn read(
    entry: &Object<'_>,
    node: &Node<'_>,
    texts: &mut Texts<'_>,
    notes: &mut Vec<LeftOut>,
    faults: &mut Faults,
) -> Option<Transport> {
    let kind = read_kind(entry, texts, faults)?;
    for (names, why) in CHANGES_WHAT_RUNS {
        if names.iter().any(|name| asks(entry, name, faults)) {
            texts.lack((*why).to_owned());
        }
    }
    let url = entry.member("url", faults);
    let command = entry.member("command", faults);
    match (kind, url, command) {
        (_, Some(_), Some(_)) => {
            node.fault(faults, "has both `url` and `command`: keep one of the two");
            None
        }
        (Kind::Stdio, Some(_), None) => {
            node.fault(faults, "is of type `stdio` and has a `url`; expected a `command`");
            None
        }
        (Kind::Http, None, Some(_)) => {
            node.fault(faults, "is of type `http` and has a `command`; expected a `url`");
            None
        }
        (_, None, None) => {
            let message = "has neither `url` nor `command`; expected a `url` for a server over \
                           HTTP, or a `command` for one that is a program";
            node.fault(faults, message);
            None
        }
        (_, Some(url), None) => http::read(&url, entry, texts, notes, faults).map(Transport::Http),
        (_, None, Some(command)) => {
            read_stdio(&command, entry, texts, faults).map(Transport::Stdio)
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Http,
    Stdio,
    ByMembers,
}

fn read_kind(entry: &Object<'_>, texts: &mut Texts<'_>, faults: &mut Faults) -> Option<Kind> {
    const EXPECTED: &str = "`http` or `stdio`";
    let Some(node) = entry.member("type", faults) else { return Some(Kind::ByMembers) };
    match node.string(faults, EXPECTED)? {
        "http" | "streamable-http" | "streamableHttp" => Some(Kind::Http),
        "stdio" => Some(Kind::Stdio),
        kind @ ("sse" | "ws") => {
            texts.lack(format!(
                "servers of type `{kind}` are not served: if it has an address for Streamable \
                 HTTP, use that with the type `http`"
            ));
            None
        }
        other => {
            node.fault(faults, format!("`{}` is no type; expected {EXPECTED}", shown(other)));
            None
        }
    }
}

/// Whether a member is there that asks for something; `false`, nothing and all tools do not.
fn asks(entry: &Object<'_>, name: &str, faults: &mut Faults) -> bool {
    let Some(node) = entry.member(name, faults) else { return false };
    match node.value {
        Value::Bool(flag) => *flag,
        Value::Array(items) if name == "tools" => items.iter().any(|item| item != "*"),
        Value::Array(items) if name != "includeTools" && name != "enabledTools" => {
            !items.is_empty()
        }
        _ => true,
    }
}

fn read_stdio(
    command: &Node<'_>,
    entry: &Object<'_>,
    texts: &mut Texts<'_>,
    faults: &mut Faults,
) -> Option<StdioUpstream> {
    let program = command
        .string(faults, "a program's path or name")
        .and_then(|text| fill(command, text, texts, faults));
    if program.as_ref().is_some_and(|program| program.trim().is_empty()) {
        command.fault(faults, "is empty; expected a program's path or name");
    }
    let args = read_args(entry, texts, faults);
    let env = read_env(entry, texts, faults);
    let cwd = match entry.member("cwd", faults) {
        Some(node) => {
            let text = node.string(faults, "a folder's path");
            let text = text.and_then(|text| fill(&node, text, texts, faults))?;
            Some(absolute(&text, texts)?)
        }
        None => texts.around().folder.clone(),
    };
    // A child's folder is not ours, and a relative program is one of the child's.
    let command = match (program?, &cwd) {
        (program, Some(cwd)) if program.contains('/') && !program.starts_with('/') => {
            format!("{}/{program}", cwd.trim_end_matches('/'))
        }
        (program, _) => program,
    };
    check_command(&command, texts);
    Some(StdioUpstream { command, args: args?, env: env?, cwd })
}

/// Sees that the configuration allows what would run.
fn check_command(command: &str, texts: &mut Texts<'_>) {
    let allowed = texts.around().allowed.as_ref();
    if allowed.is_some_and(|allowed| !allowed.commands.contains(command)) {
        let command = shown(command);
        texts.refuse(format!(
            "deployed apps may not run the command `{command}` here: add it to `apps.commands` of Keyward's \
             configuration"
        ));
    }
}

/// Sees that the configuration allows a variable of what would run.
fn check_variable(name: &str, texts: &mut Texts<'_>) {
    let allowed = texts.around().allowed.as_ref();
    if allowed.is_some_and(|allowed| !allowed.command_variables.contains(name)) {
        let name = shown(name);
        texts.refuse(format!(
            "deployed apps may not set the variable `{name}` of a command here: add it to \
             `apps.command_variables` of Keyward's configuration"
        ));
    }
}

fn absolute(path: &str, texts: &mut Texts<'_>) -> Option<String> {
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let Some(folder) = &texts.around().folder else {
        texts.lack("its `cwd` is relative to no folder: write an absolute path".to_owned());
        return None;
    };
    Some(match path {
        "" | "." => folder.clone(),
        path => format!("{}/{path}", folder.trim_end_matches('/')),
    })
}

fn read_args(
    entry: &Object<'_>,
    texts: &mut Texts<'_>,
    faults: &mut Faults,
) -> Option<Vec<String>> {
    const EXPECTED: &str = "a list of strings";
    let Some(node) = entry.member("args", faults) else { return Some(Vec::new()) };
    let items = node.list(faults, EXPECTED)?;
    if items.len() > limits::UPSTREAM_ARG_COUNT {
        let (is, most) = (items.len(), limits::UPSTREAM_ARG_COUNT);
        node.fault(faults, format!("has {is} arguments; expected at most {most}"));
        return None;
    }
    let mut args = Vec::new();
    let mut whole = true;
    for item in items {
        let text = item.string(faults, "a string");
        match text.and_then(|text| fill(&item, text, texts, faults)) {
            Some(arg) => args.push(arg),
            None => whole = false,
        }
    }
    whole.then_some(args)
}

fn read_env(
    entry: &Object<'_>,
    texts: &mut Texts<'_>,
    faults: &mut Faults,
) -> Option<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    let mut whole = true;
    for (name, node) in pairs(entry, "env", limits::UPSTREAM_ENV_COUNT, faults) {
        if name.is_empty() || name.contains(['=', '\0']) {
            node.fault(faults, "is no name of an environment variable");
            continue;
        }
        if !node.value.is_null() {
            check_variable(name, texts);
        }
        let text = match node.value {
            // As editors write it: the child shall not have the variable, which it has not here.
            Value::Null => continue,
            Value::Number(number) => Some(number.to_string()),
            _ => node.string(faults, "a string").and_then(|text| fill(&node, text, texts, faults)),
        };
        match text {
            Some(text) => {
                env.insert(name.to_owned(), text);
            }
            None => whole = false,
        }
    }
    whole.then_some(env)
}

/// Puts in values, and sees that the text can be one of a process.
fn fill(node: &Node<'_>, text: &str, texts: &mut Texts<'_>, faults: &mut Faults) -> Option<String> {
    let filled = texts.fill(text)?;
    if filled.contains('\0') {
        node.fault(faults, "has a NUL character, which no process can be given");
        return None;
    }
    if filled.len() > limits::UPSTREAM_TEXT_BYTES {
        let most = limits::UPSTREAM_TEXT_BYTES;
        node.fault(faults, format!("is too long; expected at most {most} bytes"));
        return None;
    }
    Some(filled)
}

/// Gives the members of an object that may be absent.
pub(super) fn pairs<'d>(
    entry: &Object<'d>,
    name: &str,
    most: usize,
    faults: &mut Faults,
) -> Vec<(&'d str, Node<'d>)> {
    let Some(node) = entry.member(name, faults) else { return Vec::new() };
    let Some(object) = node.object(faults, "an object of strings") else { return Vec::new() };
    if object.members.len() > most {
        let is = object.members.len();
        node.fault(faults, format!("has {is} members; expected at most {most}"));
        return Vec::new();
    }
    object.all().collect()
}
