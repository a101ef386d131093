use keys::{Caller, OperatorToken, Role, Timestamp};

/// Somebody who may call the management plane.
#[derive(Debug)]
pub struct Operator {
    /// The name that stands in audit rows.
    pub name: String,
    /// What the operator may do.
    pub role: Role,
    /// What proves who it is.
    pub token: OperatorToken,
    /// The last millisecond at which the token is good; none for one that does not expire.
    pub not_after: Option<Timestamp>,
}

/// All who may call.
#[derive(Debug, Default)]
pub struct Operators(Vec<Operator>);

/// Why a token does not say who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// It is no operator's.
    Unknown,
    /// It was an operator's up to this instant.
    Expired(Timestamp),
}

impl Operators {
    /// Lets these call.
    #[must_use]
    pub fn new(operators: Vec<Operator>) -> Self {
        Self(operators)
    }

    /// Finds whose token was presented. Every token is compared, each in constant time, so that
    /// how long it takes says nothing about any of them.
    ///
    /// # Errors
    /// [`Unauthenticated`] says why it is nobody's.
    pub fn authenticate(&self, presented: &str, now: Timestamp) -> Result<Caller, Unauthenticated> {
        let found = self.0.iter().fold(None, |found, operator| {
            if operator.token.matches(presented) { Some(operator) } else { found }
        });
        let operator = found.ok_or(Unauthenticated::Unknown)?;
        match operator.not_after {
            Some(at) if now > at => Err(Unauthenticated::Expired(at)),
            _ => Ok(Caller::new(operator.name.clone(), operator.role)),
        }
    }
}
