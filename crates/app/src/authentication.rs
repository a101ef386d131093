//! Who an app lets in.

/// What `extensions.workflow.McpServerEndpoints.authentication.type` of host.json says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// No type: OAuth 2.0 access tokens and API keys.
    Absent,
    /// API keys only.
    ApiKey,
    /// OAuth 2.0 access tokens only.
    OAuth2,
    /// Everyone. A credential that is offered all the same must be good.
    Anonymous,
}

impl Authentication {
    /// Reads a type, without regard to case.
    pub(crate) fn from_type(text: &str) -> Option<Self> {
        [("apikey", Self::ApiKey), ("oauth2", Self::OAuth2), ("anonymous", Self::Anonymous)]
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, authentication)| authentication)
    }

    /// Says whether an API key opens the app: false for [`Self::Anonymous`], where none is needed.
    pub const fn accepts_api_keys(self) -> bool {
        matches!(self, Self::Absent | Self::ApiKey)
    }

    /// Says whether an API key that is offered may be let in if it is good: where none is needed too.
    pub const fn admits_api_keys(self) -> bool {
        self.accepts_api_keys() || self.accepts_everyone()
    }

    /// Says whether an access token opens the app: false for [`Self::Anonymous`].
    pub const fn accepts_access_tokens(self) -> bool {
        matches!(self, Self::Absent | Self::OAuth2)
    }

    /// Says whether a request without any credential is let in.
    pub const fn accepts_everyone(self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// Says whether this lets somebody in whom `previous` refused.
    pub const fn widens(self, previous: Self) -> bool {
        !previous.accepts_everyone()
            && (self.accepts_everyone()
                || (self.accepts_api_keys() && !previous.accepts_api_keys())
                || (self.accepts_access_tokens() && !previous.accepts_access_tokens()))
    }
}

/// What `McpServerEndpoints.ProtectedResourceMetadata` says of the app as an OAuth 2.0 protected
/// resource (RFC 9728, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceMetadata {
    /// The resource's identifier: an `https` URL without a fragment, `http` on loopback only.
    pub resource: Option<String>,
    /// The issuers of tokens: URLs of the same kind, without a query.
    pub authorization_servers: Vec<String>,
    /// The scopes that a client asks for.
    pub scopes_supported: Vec<String>,
    /// How a token may be sent: nothing but `header` is taken here.
    pub bearer_methods_supported: Vec<String>,
}
