use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use keys::permission::Reader;
use serde::Serialize;

use super::call::Call;
use super::rendering::{self, Instant, ListJson};
use crate::Manage;
use crate::error::Result;
use crate::ops::ReplicaStatus;

pub(super) async fn list_replicas(manage: Arc<Manage>, mut call: Call<()>) -> Result<Response> {
    call.require_of_all::<Reader>()?;
    call.members(&[]).await?;
    let replicas = manage.replicas().await?;
    rendering::json(&ListJson::all(replicas.iter().map(ReplicaJson::from)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaJson<'a> {
    name: &'a str,
    id: Option<&'a str>,
    version: &'a str,
    this_one: bool,
    settled: i64,
    behind: Option<u64>,
    lease: Option<LeaseJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseJson {
    ms: u64,
    left_ms: u64,
    contact_at: Instant,
    contact_age_ms: u64,
}

impl<'a> From<&'a ReplicaStatus> for ReplicaJson<'a> {
    fn from(status: &'a ReplicaStatus) -> Self {
        match status {
            ReplicaStatus::Listed { row, is_this } => Self {
                name: &row.name,
                id: Some(&row.id),
                version: &row.version,
                this_one: *is_this,
                settled: row.settled.get(),
                behind: row.behind,
                lease: Some(LeaseJson {
                    ms: ms(row.lease),
                    left_ms: ms(row.lease_left()),
                    contact_at: Instant(row.contact_at),
                    contact_age_ms: ms(row.contact_age),
                }),
            },
            ReplicaStatus::Unlisted { name, revision } => Self {
                name,
                id: None,
                version: env!("CARGO_PKG_VERSION"),
                this_one: true,
                settled: revision.get(),
                behind: None,
                lease: None,
            },
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
