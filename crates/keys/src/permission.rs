//! Who may do what: a change takes an [`Authorized`], and only [`Caller::require`] makes one.
//!
//! ```
//! use keys::permission::{Issuer, Owner};
//! use keys::{AppId, Authorized, Caller, Role, SysRng};
//!
//! fn regenerate(by: &Authorized<Owner>) -> String {
//!     format!("{} regenerates a key of {}", by.by(), by.app())
//! }
//!
//! let app = AppId::generate(&mut SysRng)?;
//! let by = Caller::new("operator", Role::Owner).require(app)?;
//! assert!(regenerate(&by).starts_with("operator"));
//!
//! let refused = Caller::new("ci", Role::Issuer).require::<Owner>(app);
//! assert_eq!(refused.unwrap_err().needed(), Role::Owner);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A lesser permission does not pass for a greater one:
//!
//! ```compile_fail,E0308
//! # use keys::permission::{Issuer, Owner};
//! # use keys::{AppId, Authorized, Caller, Role};
//! fn regenerate(_by: &Authorized<Owner>) {}
//!
//! fn as_issuer(by: &Authorized<Issuer>) {
//!     regenerate(by);
//! }
//! ```
//!
//! And nobody writes one down:
//!
//! ```compile_fail,E0451
//! # use keys::permission::Owner;
//! # use keys::{AppId, Authorized};
//! fn forged(app: AppId) -> Authorized<Owner> {
//!     Authorized { by: "me".to_owned(), app, role: std::marker::PhantomData }
//! }
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use crate::{AppId, Error};

/// What a caller may do with an app; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads the register, the slots and the audit events.
    Reader,
    /// Issues API keys.
    Issuer,
    /// Revokes API keys, regenerates access keys, deploys.
    Owner,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Issuer, Self::Owner];

    /// Returns the role's name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Issuer => "issuer",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::Role { given: text.to_owned() })
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "that nobody else can name it is what seals `Permission`")]
    pub trait Sealed {}
}

/// A role as a type, so that what takes an [`Authorized`] says which one it needs.
pub trait Permission: sealed::Sealed {
    /// The role that the caller must have at least.
    const ROLE: Role;
}

macro_rules! permission {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl sealed::Sealed for $name {}

        impl Permission for $name {
            const ROLE: Role = Role::$name;
        }
    };
}

permission!(
    /// Permission to read: [`Role::Reader`].
    Reader
);
permission!(
    /// Permission to issue: [`Role::Issuer`].
    Issuer
);
permission!(
    /// Permission to end and to change: [`Role::Owner`].
    Owner
);

/// Who calls an operation, after authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: String,
    role: Role,
}

impl Caller {
    /// Names a caller that was authenticated, and its role.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Self { name: name.into(), role }
    }

    /// Returns the caller's name, as audit rows have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the caller's role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Lets the caller act on this app with this permission.
    ///
    /// # Errors
    /// [`Forbidden`] names the role that is lacking.
    pub fn require<P: Permission>(&self, app: AppId) -> Result<Authorized<P>, Forbidden> {
        if self.role < P::ROLE {
            return Err(Forbidden { caller: self.name.clone(), has: self.role, needed: P::ROLE });
        }
        Ok(Authorized { by: self.name.clone(), app, role: PhantomData })
    }
}

/// Proof that a caller may act on one app with one permission.
pub struct Authorized<P> {
    by: String,
    app: AppId,
    role: PhantomData<fn() -> P>,
}

impl<P: Permission> Authorized<P> {
    /// Returns the name of who acts, for the audit row.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Returns the app that is acted on, and no other may be.
    pub const fn app(&self) -> AppId {
        self.app
    }
}

impl<P: Permission> fmt::Debug for Authorized<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, app, role: _ } = self;
        write!(f, "Authorized({} {by:?} on {app})", P::ROLE)
    }
}

/// A caller lacks a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{caller:?} has the role {has} and needs {needed}")]
pub struct Forbidden {
    caller: String,
    has: Role,
    needed: Role,
}

impl Forbidden {
    /// Returns the role that the caller lacks.
    pub const fn needed(&self) -> Role {
        self.needed
    }

    /// Returns the role that the caller has.
    pub const fn has(&self) -> Role {
        self.has
    }
}
