use std::collections::BTreeSet;

use crate::{
    AccessKey, AccessKeyId, AppId, ChildId, Claims, Grant, Presented, Refusal, RevokedId, Slot,
    Timestamp,
};

/// What API keys of one app are checked against: the access keys in force and what is revoked.
#[derive(Debug)]
pub struct KeyRing {
    app: AppId,
    primary: AccessKey,
    secondary: AccessKey,
    revoked: BTreeSet<RevokedId>,
}

impl KeyRing {
    /// Makes the ring of an app.
    pub fn new(
        app: AppId,
        primary: AccessKey,
        secondary: AccessKey,
        revoked: impl IntoIterator<Item = RevokedId>,
    ) -> Self {
        Self { app, primary, secondary, revoked: revoked.into_iter().collect() }
    }

    /// Returns the app whose keys these are.
    pub const fn app(&self) -> AppId {
        self.app
    }

    /// Returns the access key in this slot, which API keys are issued from.
    pub const fn issuing_key(&self, slot: Slot) -> &AccessKey {
        match slot {
            Slot::Primary => &self.primary,
            Slot::Secondary => &self.secondary,
        }
    }

    /// Returns the slot of an access key in force.
    pub fn slot_of(&self, id: AccessKeyId) -> Option<Slot> {
        Slot::ALL.into_iter().find(|slot| self.issuing_key(*slot).id() == id)
    }

    /// Verifies a presented key. Whether it reaches a server or a tool is the grant's to say.
    ///
    /// # Errors
    /// In this order: [`Refusal::Expired`], [`Refusal::AccessKeyRegenerated`],
    /// [`Refusal::NotIssuedHere`], [`Refusal::Revoked`].
    pub fn check(&self, presented: &Presented, now: Timestamp) -> Result<Grant, Refusal> {
        let claims = presented.claims();
        claims.refuse_expired(now)?;
        let slot = self.verify(presented)?;
        self.refuse_revoked(claims)?;
        Ok(Grant { slot, claims: claims.clone(), reach: presented.scopes() })
    }

    /// Judges anew a key that was verified before: the same without the tag, for what is already
    /// open.
    ///
    /// # Errors
    /// In this order: [`Refusal::Expired`], [`Refusal::AccessKeyRegenerated`],
    /// [`Refusal::Revoked`].
    pub fn judge(&self, claims: &Claims, now: Timestamp) -> Result<(), Refusal> {
        claims.refuse_expired(now)?;
        self.slot_of(claims.access_key_id).ok_or(Refusal::AccessKeyRegenerated)?;
        self.refuse_revoked(claims)
    }

    fn verify(&self, presented: &Presented) -> Result<Slot, Refusal> {
        let mut refusal = Refusal::AccessKeyRegenerated;
        for slot in Slot::ALL {
            let key = self.issuing_key(slot);
            if key.id() != presented.access_key_id() {
                continue;
            }
            if presented.is_derived_from(key, &self.app) {
                return Ok(slot);
            }
            refusal = Refusal::NotIssuedHere;
        }
        Err(refusal)
    }

    fn refuse_revoked(&self, claims: &Claims) -> Result<(), Refusal> {
        let id = claims.key_id;
        let is_child_revoked = |child: &ChildId| {
            self.revoked.contains(&RevokedId::Child(id, *child))
                || self.revoked.contains(&RevokedId::AnyChild(*child))
        };
        let is_revoked = self.revoked.contains(&RevokedId::Key(id))
            || claims.child_ids.iter().any(is_child_revoked);
        if is_revoked { Err(Refusal::Revoked) } else { Ok(()) }
    }
}
