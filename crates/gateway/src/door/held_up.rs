//! The door of a build that breaks rules on purpose.

use std::sync::Arc;

use axum::extract::Request;
use store::AppState;
use store::broken::{self, Rule};

use super::decided::Decided;
use super::{Admitted, Connection, Entered, Gateway};
use crate::refusal::Refused;

impl Gateway {
    /// Admits as [`Self::admit`] does, held up between the snapshot and its decision.
    pub(super) fn admit_held_up(
        &self,
        app: &AppState,
        request: &Request,
        connection: &Connection,
    ) -> Result<Admitted, Refused> {
        let (claim, key) = Self::read(app, request)?;
        let registered = || self.open(&claim, connection);
        let early = (!broken::is(Rule::RegisterAfterCheck)).then(registered);
        let snapshot = self.snapshot()?;
        std::thread::sleep(broken::REQUEST_HELD_UP);
        let Entered { grant, .. } = self.enter(&snapshot, &claim, key.as_ref())?;
        let open = early.unwrap_or_else(registered);
        open.accepted();
        let decided = Arc::new(Decided::new(claim, key, grant, &snapshot));
        Ok(Admitted { decided, open, snapshot })
    }
}
