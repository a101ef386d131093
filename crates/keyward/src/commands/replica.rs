use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::key::{member, rows};
use crate::arguments::CallArguments;
use crate::client::{Client, Surroundings, no_body};
use crate::error::Result;
use crate::{duration, output};

const HEAD: [&str; 7] = ["NAME", "ID", "VERSION", "REVISION", "BEHIND", "LEASE LEFT", "HEARD OF"];

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicaCommand {
    /// Lists the replicas with what each decides by and how long its lease can last
    ///
    /// The database is asked, by the replica that is called. A replica whose lease has ended admits
    /// nothing; the next regeneration or revocation waits for it for one lease and takes it off the list.
    List {
        #[command(flatten)]
        call: CallArguments,
    },
}

/// Runs a command on replicas.
pub(crate) async fn run(command: &ReplicaCommand, around: &Surroundings<'_>) -> Result<()> {
    let ReplicaCommand::List { call } = command;
    let answer = Client::find(call, around)?.call("listReplicas", &[], &no_body()).await?;
    if call.json {
        return output::print_json(&answer);
    }
    let lines: Vec<[String; 7]> = rows(&answer).map(line).collect();
    output::print(&output::table(HEAD, &lines))
}

fn line(row: &Value) -> [String; 7] {
    let is_asked = row.get("thisOne").and_then(Value::as_bool).unwrap_or_default();
    let behind = match (row.get("behind").and_then(Value::as_u64), has_lease(row)) {
        (Some(count), _) => count.to_string(),
        (None, true) => "of another history".to_owned(),
        (None, false) => String::new(),
    };
    let left = match (ms(row, "leftMs"), ms(row, "ms")) {
        (Some(Duration::ZERO), _) => "ended".to_owned(),
        (Some(left), Some(lease)) => {
            format!("{} of {}", duration::display(left), duration::display(lease))
        }
        _ => "none".to_owned(),
    };
    [
        format!("{}{}", member(row, "name"), if is_asked { " (asked)" } else { "" }),
        member(row, "id"),
        member(row, "version"),
        row.get("settled").map(ToString::to_string).unwrap_or_default(),
        behind,
        left,
        heard_of(row).unwrap_or_default(),
    ]
}

/// Says who keeps a change waiting, and for how long they can; nothing where nobody is behind.
pub(crate) fn waiting_for(answer: &Value) -> Option<String> {
    let lags = |row: &&Value| has_lease(row) && row.get("behind") != Some(&Value::from(0));
    let names: Vec<String> = rows(answer)
        .filter(lags)
        .map(|row| {
            format!("{} (heard of {})", member(row, "name"), heard_of(row).unwrap_or_default())
        })
        .collect();
    let longest = rows(answer).filter(lags).filter_map(|row| ms(row, "ms")).max()?;
    Some(format!(
        "Waiting for {}, for a lease of {} at most",
        names.join(", "),
        duration::display(longest)
    ))
}

fn has_lease(row: &Value) -> bool {
    row.get("lease").is_some_and(Value::is_object)
}

fn ms(row: &Value, name: &str) -> Option<Duration> {
    row.pointer(&format!("/lease/{name}")).and_then(Value::as_u64).map(Duration::from_millis)
}

fn heard_of(row: &Value) -> Option<String> {
    ms(row, "contactAgeMs").map(|age| format!("{} ago", duration::display(age)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str, behind: &Value, left_ms: u64) -> Value {
        json!({ "name": name, "id": "b", "version": "1", "thisOne": name == "web-1", "settled": 41,
            "behind": behind, "lease": { "ms": 10_000, "leftMs": left_ms, "contactAgeMs": 4200 } })
    }

    #[test]
    fn a_replica_is_listed_with_its_lag_and_what_is_left_of_its_lease() {
        let expected = ["web-1 (asked)", "b", "1", "41", "0", "5s of 10s", "4s ago"];
        assert_eq!(line(&row("web-1", &json!(0), 5800)), expected);
        let expected = ["web-2", "b", "1", "41", "2", "ended", "4s ago"];
        assert_eq!(line(&row("web-2", &json!(2), 0)), expected);
        let lost = line(&row("web-2", &Value::Null, 0));
        assert_eq!(lost[4], "of another history");
        let alone = json!({ "name": "web-1", "id": null, "version": "1", "thisOne": true,
            "settled": 3, "behind": null, "lease": null });
        assert_eq!(line(&alone), ["web-1 (asked)", "", "1", "3", "", "none", ""]);
    }

    #[test]
    fn who_keeps_a_change_waiting_is_named_and_nobody_else() {
        let all = json!({ "value": [row("web-1", &json!(0), 9000), row("web-2", &json!(1), 0),
            row("web-3", &Value::Null, 0)] });
        let expected = "Waiting for web-2 (heard of 4s ago), web-3 (heard of 4s ago), for a lease of \
                        10s at most";
        assert_eq!(waiting_for(&all).as_deref(), Some(expected));
        assert_eq!(waiting_for(&json!({ "value": [row("web-1", &json!(0), 9000)] })), None);
    }
}
