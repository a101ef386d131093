use std::collections::BTreeSet;

use keys::{Clock as _, Scope, SystemClock, Timestamp};
use serde_json::{Map, Value, json};

use super::offline;
use super::server::{DEFAULT, LIST};
use crate::arguments::{self, CallArguments, ExpiryArguments, IssueArguments, KeyCommand};
use crate::client::{Client, Surroundings, no_body};
use crate::error::{Error, Result};
use crate::{duration, limits, output};

/// Runs a command on API keys.
pub(crate) async fn run(command: &KeyCommand, around: &Surroundings<'_>) -> Result<()> {
    match command {
        KeyCommand::Issue(arguments) => issue(arguments, around).await,
        KeyCommand::List { limit, call } => list(*limit, call, around).await,
        KeyCommand::Show { id, call } => show(&id.to_string(), call, around).await,
        KeyCommand::Revoke { id, call } => revoke(&id.to_string(), call, around).await,
        KeyCommand::Narrow(arguments) => offline::narrow(arguments, SystemClock.now()),
        KeyCommand::Inspect { json } => offline::inspect(*json, SystemClock.now()),
    }
}

impl ExpiryArguments {
    /// Gives the last instant of a key that is made at `now`; none if nothing was said.
    pub(crate) fn not_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_after.or_else(|| now.checked_add(self.ttl?))
    }
}

async fn issue(arguments: &IssueArguments, around: &Surroundings<'_>) -> Result<()> {
    let now = SystemClock.now();
    let client = Client::find(&arguments.call, around)?;
    let reach = Reach::of(arguments, &client).await?;
    let wanted = wanted(arguments, &reach, now)?;
    let answer = client.call("listMcpServerUrl", &[("getApikey", "true")], &wanted).await?;
    if arguments.call.json {
        return output::print_json(&answer);
    }
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let (Some(url), Some(key)) = (text("/value"), text("/headers/X-API-Key")) else {
        return Err(Error::Failed("the server's answer has no API key".to_owned()));
    };
    if arguments.quiet {
        return output::print(key);
    }
    let elsewhere = elsewhere(&client, url).await?;
    let name = server_name(url);
    let issued = answer.get("apiKey").unwrap_or(&Value::Null);
    output::print(&format!(
        "URL      {url}\n\
         API key  {key}\n\
         expires  {}\n\
         reaches  {}\n\
         id       {}\n\
         \n\
         It is shown this once. To use it with Claude Code:\n  \
           claude mcp add --transport http {name} {url} --header \"X-API-Key: {key}\"\n\
         \n\
         To see its tools:\n  \
           curl -s {url} -H 'X-API-Key: {key}' \\\n    \
             -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\\n    \
             -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/list' \\\n    \
             -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{{\"_meta\":{{\n         \
             \"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\n         \
             \"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}'{elsewhere}",
        expires(&member(issued, "notAfter"), now),
        reaches(issued),
        member(issued, "id"),
    ))
}

/// The server and the scopes that were typed, by the names that servers are served under.
struct Reach {
    server: Option<String>,
    scopes: Vec<Scope>,
}

impl Reach {
    /// Asks the running server where a name is typed that may be one of mcp.json, and is none that a
    /// URL can have.
    async fn of(arguments: &IssueArguments, client: &Client) -> Result<Self> {
        let mut server = arguments.server.clone();
        let is_served = |name: &str| Scope::parse(name).is_ok();
        let all = arguments.scopes.iter().map(String::as_str).chain(server.as_deref());
        let others =
            if all.into_iter().all(is_served) { Vec::new() } else { other_names(client).await? };
        if let Some((_, served)) = others.iter().find(|(other, _)| Some(other) == server.as_ref()) {
            server = Some(served.clone());
        }
        let scopes = arguments.scopes.iter().map(|text| scope(text, &others));
        Ok(Self { server, scopes: scopes.collect::<Result<_>>()? })
    }
}

/// The names that mcp.json has for servers which are served under others, with those.
async fn other_names(client: &Client) -> Result<Vec<(String, String)>> {
    let all = client.call(LIST, &[], &no_body()).await?;
    let text = |row: &Value, pointer: &str| row.pointer(pointer)?.as_str().map(str::to_owned);
    Ok(rows(&all)
        .filter_map(|row| Some((text(row, "/upstream/name")?, text(row, "/name")?)))
        .collect())
}

/// Parses a scope, which may begin with one of the other names if it can be only one.
fn scope(text: &str, others: &[(String, String)]) -> Result<Scope> {
    let served = others.iter().filter_map(|(other, served)| {
        let rest = text.strip_prefix(other.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{served}{rest}"))
    });
    let served: Vec<String> = served.collect();
    let meant = match (Scope::parse(text), served.as_slice()) {
        (Err(_), [served]) => served,
        _ => text,
    };
    arguments::scope(meant).map_err(|why| Error::Usage(format!("--scope: {why}")))
}

fn wanted(arguments: &IssueArguments, reach: &Reach, now: Timestamp) -> Result<Value> {
    let mut body = Map::new();
    body.insert("keyType".to_owned(), json!(arguments.key_type.as_str()));
    if arguments.never_expire {
        body.insert("neverExpire".to_owned(), json!(true));
    }
    if let Some(at) = arguments.expiry.not_after(now) {
        body.insert("notAfter".to_owned(), json!(at.to_string()));
    }
    if let Some(server) = server_in_reach(reach.server.as_deref(), &reach.scopes)? {
        body.insert("serverName".to_owned(), json!(server));
    }
    if !reach.scopes.is_empty() {
        let scopes: Vec<&str> = reach.scopes.iter().map(Scope::as_str).collect();
        body.insert("scopes".to_owned(), json!(scopes));
    }
    if let Some(label) = &arguments.label {
        body.insert("label".to_owned(), json!(label));
    }
    Ok(Value::Object(body))
}

/// The server whose URL is asked for, which must be one that the key opens; none where the running
/// server knows better.
fn server_in_reach<'a>(named: Option<&'a str>, scopes: &'a [Scope]) -> Result<Option<&'a str>> {
    let servers: BTreeSet<&str> = scopes.iter().map(Scope::server).collect();
    let shown = || servers.iter().copied().collect::<Vec<_>>().join(", ");
    let Some(named) = named else {
        return match servers.first() {
            Some(only) if servers.len() == 1 => Ok(Some(only)),
            Some(_) if !servers.contains(ALL_TOOLS) => Err(Error::Usage(format!(
                "the scopes are of several servers, {}: say with --server which one's URL to print",
                shown()
            ))),
            _ => Ok(None),
        };
    };
    if !servers.is_empty() && !servers.contains(named.to_ascii_lowercase().as_str()) {
        return Err(Error::Usage(format!(
            "--server is {}, which the key would not reach: its scopes are of {}. Name a server that \
             has a scope, or give this one a scope too",
            output::shown(named),
            shown()
        )));
    }
    Ok(Some(named))
}

/// The scope that means the server with all tools.
const ALL_TOOLS: &str = "default";

/// Says where the tools are, if the server at this URL is the default one and has none.
async fn elsewhere(client: &Client, url: &str) -> Result<String> {
    if url.contains("/mcpservers/") {
        return Ok(String::new());
    }
    let default = client.call(LIST, &[], &json!({ "serverName": DEFAULT })).await?;
    let has_tools =
        rows(&default).any(|row| row.get("tools").is_some_and(|tools| *tools != json!([])));
    let all = client.call(LIST, &[], &no_body()).await?;
    let names: Vec<String> = rows(&all).map(|row| member(row, "name")).collect();
    Ok(match (has_tools, names.as_slice()) {
        (true, _) | (false, []) => String::new(),
        (false, names) => format!(
            "\n\nThat server has no tools here. The key reaches these too, each at a URL of its own, which \
             --server NAME prints: {}",
            names.join(", ")
        ),
    })
}

/// The name that a client may give the server: the last part of its path that is one.
fn server_name(url: &str) -> &str {
    match url.rsplit('/').nth(1) {
        Some(name) if url.contains("/mcpservers/") => name,
        _ => "keyward",
    }
}

/// Says when a key ends, and how far off that is.
pub(crate) fn expires(not_after: &str, now: Timestamp) -> String {
    match Timestamp::parse_rfc3339(not_after) {
        Ok(at) if at >= now => {
            format!("{not_after} (in {})", duration::display(at.duration_since(now)))
        }
        Ok(at) => format!("{not_after} ({} ago)", duration::display(now.duration_since(at))),
        Err(_) => "never".to_owned(),
    }
}

fn reaches(row: &Value) -> String {
    match row.get("scopes").and_then(Value::as_array) {
        Some(scopes) => {
            let scopes: Vec<String> =
                scopes.iter().filter_map(Value::as_str).map(output::shown).collect();
            scopes.join(", ")
        }
        None => "the whole app".to_owned(),
    }
}

async fn list(limit: u16, call: &CallArguments, around: &Surroundings<'_>) -> Result<()> {
    let client = Client::find(call, around)?;
    let mut found: Vec<Value> = Vec::new();
    let more = walk(&client, |row| {
        if found.len() == usize::from(limit) {
            return true;
        }
        found.push(row.clone());
        false
    })
    .await?;
    if call.json {
        return output::print_json(&json!({ "value": found }));
    }
    if found.is_empty() {
        return output::print("No API key was issued yet: keyward key issue issues one.");
    }
    let lines: Vec<[String; 7]> = found
        .iter()
        .map(|row| {
            let or = |name: &str, none: &str| match member(row, name) {
                text if text.is_empty() => none.to_owned(),
                text => text,
            };
            [
                member(row, "id"),
                member(row, "state"),
                or("notAfter", "never"),
                or("lastUsedAt", "never"),
                reaches(row),
                member(row, "keyType").to_ascii_lowercase(),
                member(row, "label"),
            ]
        })
        .collect();
    let head = ["ID", "STATE", "EXPIRES", "LAST USED", "REACHES", "FROM", "LABEL"];
    output::print(&output::table(head, &lines))?;
    if more {
        let how = if limit < limits::MOST_LISTED_KEYS {
            format!("raise --limit, which is {limit}")
        } else {
            "listMcpApiKeys of the management API gives them all, page by page".to_owned()
        };
        output::tell(&format!("There are more: {how}."));
    }
    Ok(())
}

async fn show(id: &str, call: &CallArguments, around: &Surroundings<'_>) -> Result<()> {
    let client = Client::find(call, around)?;
    let mut found = None;
    walk(&client, |row| {
        let is_it = member(row, "id") == id;
        if is_it {
            found = Some(row.clone());
        }
        is_it
    })
    .await?;
    let row = found.ok_or_else(|| Error::NotFound {
        code: "ApiKeyNotFound".to_owned(),
        message: format!("The app's register has no API key {id}: keyward key list lists them."),
    })?;
    if call.json {
        return output::print_json(&row);
    }
    let now = SystemClock.now();
    let used = member(&row, "lastUsedAt");
    output::print(&format!(
        "id         {}\nstate      {}\nlabel      {}\nkey type   {}\nissued     {} by {}\nexpires    \
         {}\nlast used  {}\nreaches    {}",
        member(&row, "id"),
        member(&row, "state"),
        member(&row, "label"),
        member(&row, "keyType"),
        member(&row, "issuedAt"),
        member(&row, "issuedBy"),
        expires(&member(&row, "notAfter"), now),
        if used.is_empty() { "never" } else { &used },
        reaches(&row),
    ))
}

async fn revoke(id: &str, call: &CallArguments, around: &Surroundings<'_>) -> Result<()> {
    let client = Client::find(call, around)?;
    let answer = client.change("revokeMcpApiKey", &json!({ "id": id })).await?;
    if call.json {
        return output::print_json(&answer);
    }
    output::print(&format!(
        "The API key {id} is revoked: it is refused now, with all that was narrowed from it."
    ))
}

/// Shows `seen` every row of the register, newest first, until it has seen enough; says whether it
/// has.
async fn walk(client: &Client, mut seen: impl FnMut(&Value) -> bool) -> Result<bool> {
    let mut skip: Option<String> = None;
    loop {
        let token = skip.as_deref().map(|token| ("$skipToken", token));
        let query: Vec<(&str, &str)> = [("$top", PAGE)].into_iter().chain(token).collect();
        let page = client.call("listMcpApiKeys", &query, &no_body()).await?;
        for row in rows(&page) {
            if seen(row) {
                return Ok(true);
            }
        }
        // Only where the next page begins is taken from the link: the token goes nowhere else.
        let next = page.get("nextLink").and_then(Value::as_str).and_then(skip_token);
        match next {
            Some(next) if skip.as_ref() != Some(&next) => skip = Some(next),
            _ => return Ok(false),
        }
    }
}

/// How many rows a page has.
const PAGE: &str = "200";

fn skip_token(link: &str) -> Option<String> {
    let link = url::Url::parse(link).ok()?;
    let mut pairs = link.query_pairs();
    pairs
        .find(|(name, _)| name.eq_ignore_ascii_case("$skiptoken"))
        .map(|(_, value)| value.into_owned())
}

/// The rows of an answer that is a list.
pub(crate) fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("value").and_then(Value::as_array).into_iter().flatten()
}

/// A text of an answer, fit to be shown; empty if there is none.
pub(crate) fn member(row: &Value, name: &str) -> String {
    row.get(name).and_then(Value::as_str).map(output::shown).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_the_next_page_gives_where_it_begins_and_nothing_else() {
        let link = "https://elsewhere.example/x?%24top=2&%24skipToken=abc";
        assert_eq!(skip_token(link).as_deref(), Some("abc"));
        assert_eq!(skip_token("https://elsewhere.example/x"), None);
    }

    #[test]
    fn the_url_that_is_asked_for_is_one_that_the_key_opens() {
        let scopes = |texts: &[&str]| -> Vec<Scope> {
            texts.iter().map(|text| Scope::parse(text).unwrap()).collect()
        };
        for (named, given, asked) in [
            (None, &[][..], None),
            (Some("a"), &[], Some("a")),
            (None, &["a", "a/T"], Some("a")),
            (None, &["default"], Some("default")),
            (None, &["a", "default"], None),
            (Some("A"), &["a", "b"], Some("A")),
        ] {
            assert_eq!(server_in_reach(named, &scopes(given)).unwrap(), asked, "{given:?}");
        }
        for (named, given) in [(None, &["a", "b"][..]), (Some("c"), &["a", "b"])] {
            let refused = server_in_reach(named, &scopes(given)).unwrap_err();
            assert!(refused.exit_code() == 2 && refused.to_string().contains("a, b"), "{refused}");
        }
    }

    #[test]
    fn a_server_is_called_after_its_path() {
        assert_eq!(server_name("http://h/api/mcpservers/helpdesk/mcp"), "helpdesk");
        assert_eq!(server_name("http://h/api/mcp"), "keyward");
    }

    #[test]
    fn an_expiry_is_told_with_its_distance() {
        let now = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(expires("2026-01-02T00:00:00Z", now), "2026-01-02T00:00:00Z (in 1d)");
        assert_eq!(expires("2025-12-31T23:00:00Z", now), "2025-12-31T23:00:00Z (1h ago)");
        assert_eq!(expires("", now), "never");
    }
}
