//! The suite on the PostgreSQL.

#[path = "suite/audit.rs"]
mod audit;
#[path = "suite/backup.rs"]
mod backup;
#[path = "suite/catalog.rs"]
mod catalog;
#[path = "suite/deployments.rs"]
mod deployments;
#[path = "suite/opening.rs"]
mod opening;
#[path = "suite/register.rs"]
mod register;
#[path = "suite/replica.rs"]
mod replica;
#[path = "suite/rotation.rs"]
mod rotation;

mod backup_loss;
mod conflicts;
mod lapses;
mod leases;
mod loss;
mod tls;
mod versions;
mod waiting;

use crate::harness::Fixture;

async fn fixture() -> Fixture {
    Fixture::postgres().await
}

/// An empty store beside a fixture's.
async fn blank(beside: &Fixture) -> Fixture {
    beside.blank_postgres().await
}
