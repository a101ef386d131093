use crate::{AccessKeyId, ApiKeyId, ChildId, Reach, Refusal, RevokedId, Slot, Timestamp};

/// What an API key says of itself and trust in it depends on, apart from its tag. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub(crate) access_key_id: AccessKeyId,
    pub(crate) key_id: ApiKeyId,
    pub(crate) child_ids: Vec<ChildId>,
    pub(crate) not_after: Option<Timestamp>,
}

impl Claims {
    /// Returns the id of the access key that the API key was derived from.
    pub const fn access_key_id(&self) -> AccessKeyId {
        self.access_key_id
    }

    /// Returns the id that the API key was issued with, which narrowing keeps.
    pub const fn key_id(&self) -> ApiKeyId {
        self.key_id
    }

    /// Returns the ids that narrowings added, the first narrowing's first.
    pub fn child_ids(&self) -> &[ChildId] {
        &self.child_ids
    }

    /// Returns the last instant at which the API key is valid; nothing if it never expires.
    pub const fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// Returns the id whose revocation ends this key and what was narrowed from it, and nothing
    /// that it was narrowed from.
    pub fn own_id(&self) -> RevokedId {
        match self.child_ids.last() {
            None => RevokedId::Key(self.key_id),
            Some(child) => RevokedId::Child(self.key_id, *child),
        }
    }

    pub(crate) fn refuse_expired(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.not_after {
            Some(at) if now > at => Err(Refusal::Expired { at }),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a verified API key allows. Made by [`KeyRing::check`](crate::KeyRing::check) alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) slot: Slot,
    pub(crate) claims: Claims,
    pub(crate) reach: Option<Reach>,
}

impl Grant {
    /// Returns the slot whose access key the API key was derived from.
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// Returns what trust in the key depends on, to be judged again later.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the id of the access key that the API key was derived from.
    pub const fn access_key_id(&self) -> AccessKeyId {
        self.claims.access_key_id
    }

    /// Returns the id that the API key was issued with, which narrowing keeps.
    pub const fn key_id(&self) -> ApiKeyId {
        self.claims.key_id
    }

    /// Returns the ids that narrowings added, the first narrowing's first.
    pub fn child_ids(&self) -> &[ChildId] {
        &self.claims.child_ids
    }

    /// Returns the last instant at which the key is valid; nothing if it never expires.
    pub const fn not_after(&self) -> Option<Timestamp> {
        self.claims.not_after
    }

    /// Returns what the key reaches; nothing if it is the whole app.
    pub const fn scopes(&self) -> Option<&Reach> {
        self.reach.as_ref()
    }

    /// Tells whether the server, or a tool of it, is reached. Its name may have any case.
    pub fn reaches_server(&self, server: &str) -> bool {
        self.reach.as_ref().is_none_or(|reach| reach.reaches_server(server))
    }

    /// Tells whether this tool of this server is reached. The server's name may have any case.
    pub fn reaches_tool(&self, server: &str, tool: &str) -> bool {
        self.reach.as_ref().is_none_or(|reach| reach.reaches_tool(server, tool))
    }

    /// Tells whether the server is reached with all its tools. Its name may have any case.
    pub fn whole_server(&self, server: &str) -> bool {
        self.reach.as_ref().is_none_or(|reach| reach.whole_server(server))
    }
}
