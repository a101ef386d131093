use std::time::Duration;

use clap::Subcommand;
use keys::{Clock as _, Slot, SystemClock, Timestamp};
use serde_json::{Value, json};

use super::key::{member, rows};
use crate::arguments::CallArguments;
use crate::client::{Client, Surroundings, no_body};
use crate::error::Result;
use crate::{duration, output};

#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyCommand {
    /// Lists the two access keys, without their secrets
    ///
    /// An access key is in force once every replica decides by it: those that do not yet are named, with
    /// the revision that they have and when the database last heard of them.
    List {
        #[command(flatten)]
        call: CallArguments,
    },
    /// Regenerates an access key
    ///
    /// When this returns, every API key derived from the old one is refused everywhere, and what
    /// was opened with it has ended. Keys derived from the other access key are untouched.
    #[command(after_help = "Example:\n  keyward access-key regenerate primary")]
    Regenerate {
        /// primary or secondary
        slot: Slot,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        call: CallArguments,
    },
}

/// Runs a command on access keys.
pub(crate) async fn run(command: &AccessKeyCommand, around: &Surroundings<'_>) -> Result<()> {
    match command {
        AccessKeyCommand::List { call } => list(call, around).await,
        AccessKeyCommand::Regenerate { slot, yes, call } => {
            regenerate(*slot, *yes, call, around).await
        }
    }
}

async fn list(call: &CallArguments, around: &Surroundings<'_>) -> Result<()> {
    let answer = Client::find(call, around)?.call("listMcpAccessKeys", &[], &no_body()).await?;
    if call.json {
        return output::print_json(&answer);
    }
    let now = SystemClock.now();
    let lines: Vec<[String; 6]> = rows(&answer).map(|row| line(row, now)).collect();
    output::print(&output::table(["SLOT", "ID", "AGE", "MADE AT", "BY", "IN FORCE"], &lines))
}

fn line(row: &Value, now: Timestamp) -> [String; 6] {
    let made_at = member(row, "createdAt");
    [
        member(row, "slot"),
        member(row, "id"),
        age(&made_at, now),
        made_at,
        member(row, "createdBy"),
        in_force(row),
    ]
}

/// Whether every replica decides by it, and else which do not and when each was last heard of.
fn in_force(row: &Value) -> String {
    if row.get("inForce").and_then(Value::as_bool).unwrap_or_default() {
        return "yes".to_owned();
    }
    let lagging = row.get("lagging").and_then(Value::as_array).into_iter().flatten();
    let lagging: Vec<String> = lagging
        .map(|replica| {
            let age = replica.get("contactAgeMs").and_then(Value::as_u64).unwrap_or_default();
            let age = duration::display(Duration::from_millis(age));
            let settled = replica.get("settled").and_then(Value::as_i64).unwrap_or_default();
            format!("{} (at revision {settled}, heard of {age} ago)", member(replica, "name"))
        })
        .collect();
    if lagging.is_empty() { "not yet".to_owned() } else { format!("not on {}", lagging.join(", ")) }
}

/// How long ago it was; nothing where the server's clock is ahead of this one, or says no instant.
fn age(at: &str, now: Timestamp) -> String {
    match Timestamp::parse_rfc3339(at) {
        Ok(at) if at <= now => duration::display(now.duration_since(at)),
        Ok(_) | Err(_) => String::new(),
    }
}

async fn regenerate(
    slot: Slot,
    yes: bool,
    call: &CallArguments,
    around: &Surroundings<'_>,
) -> Result<()> {
    let client = Client::find(call, around)?;
    let question = format!(
        "Every API key derived from the {slot} access key of {} will be refused from then on.",
        client.url()
    );
    if !yes && !output::confirm(&question, slot.as_str())? {
        return output::print("Nothing was changed.");
    }
    let body = json!({ "keyType": slot.as_str() });
    let answer = client.change("regenerateMcpServerAccessKey", &body).await?;
    if call.json {
        return output::print_json(&answer);
    }
    output::print(&format!(
        "The {slot} access key was regenerated: every API key derived from the old one is refused now."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_listed_with_its_age() {
        let row = json!({ "slot": "primary", "id": "9f8e7d6c", "createdAt": "2026-01-01T00:00:00Z",
            "createdBy": "ada", "revision": 7, "inForce": false });
        let at = |text: &str| line(&row, text.parse().unwrap());
        let [slot, id, age, made_at, by, is_in_force] = at("2026-03-02T05:00:00Z");
        assert_eq!([slot, id, age, by], ["primary", "9f8e7d6c", "60d5h", "ada"]);
        assert_eq!([made_at, is_in_force], ["2026-01-01T00:00:00Z", "not yet"]);
        let lagging = json!({ "inForce": false, "lagging": [
            { "name": "web-2", "id": "b", "settled": 6, "contactAgeMs": 3200 },
            { "name": "web-3", "id": "c", "settled": 5, "contactAgeMs": 70_000 }] });
        let expected = "not on web-2 (at revision 6, heard of 3s ago), web-3 (at revision 5, heard of \
                        1m10s ago)";
        assert_eq!(in_force(&lagging), expected);
        let [.., age, _, _, _] = at("2025-12-31T23:59:59.999Z");
        assert_eq!(age, "", "of a server whose clock is ahead");
    }
}
