use keys::Slot;
use serde_json::{Value, json};

use super::key::{member, rows};
use crate::arguments::{AccessKeyCommand, CallArguments};
use crate::client::{Client, Surroundings, no_body};
use crate::error::Result;
use crate::output;

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
    let lines: Vec<[String; 5]> = rows(&answer)
        .map(|row| {
            let in_force = row.get("inForce").and_then(Value::as_bool).unwrap_or_default();
            [
                member(row, "slot"),
                member(row, "id"),
                member(row, "createdAt"),
                member(row, "createdBy"),
                if in_force { "yes" } else { "not yet" }.to_owned(),
            ]
        })
        .collect();
    output::print(&output::table(["SLOT", "ID", "MADE AT", "BY", "IN FORCE"], &lines))
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
    let answer = client.call("regenerateMcpServerAccessKey", &[], &body).await?;
    if call.json {
        return output::print_json(&answer);
    }
    output::print(&format!(
        "The {slot} access key was regenerated: every API key derived from the old one is refused now."
    ))
}
