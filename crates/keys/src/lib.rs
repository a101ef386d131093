//! Access keys, API keys, scopes, grants, sealing and permissions.
//!
//! An [`AccessKey`] is a secret in a [`Slot`] of an app. An [`ApiKey`] is derived from it, carries
//! the [`Terms`] it was issued under in its own text, and is checked by a [`KeyRing`] without
//! asking anybody:
//!
//! ```
//! use keys::{AccessKey, ApiKeyId, AppId, Clock, KeyRing, Presented, Slot, SysRng, SystemClock, Terms};
//!
//! let now = SystemClock.now();
//! let app = AppId::generate(&mut SysRng)?;
//! let primary = AccessKey::generate(&mut SysRng)?;
//! let secondary = AccessKey::generate(&mut SysRng)?;
//! let terms = Terms { not_after: Some(now), scopes: None };
//! let key = primary.issue(&app, ApiKeyId::generate(now, &mut SysRng)?, &terms)?;
//!
//! let ring = KeyRing::new(app, primary, secondary, []);
//! let presented = Presented::parse(key.expose().as_bytes())?;
//! let grant = ring.check(&presented, now)?;
//! assert_eq!(grant.slot(), Slot::Primary);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The text of an API key is specified for other languages in `docs/key-format.md`.
//!
//! This crate does no I/O and knows neither an async runtime nor where keys are kept. The time and
//! the random source are arguments; [`SystemClock`] and [`SysRng`] are the only things here that
//! ask the machine.

mod access_key;
mod api_key;
mod caveat;
mod error;
mod grant;
mod id;
mod malformed;
mod operator;
pub mod permission;
mod refusal;
mod ring;
mod scope;
mod seal;
mod session;
mod text;
mod timestamp;

pub use access_key::{AccessKey, Terms};
pub use api_key::{ApiKey, MAX_TEXT_LEN, Presented};
pub use caveat::MAX_CAVEATS;
pub use error::Error;
pub use getrandom::SysRng;
pub use grant::{Claims, Grant};
pub use id::{AccessKeyId, ApiKeyId, AppId, ChildId, RevokedId, Slot};
pub use malformed::Malformed;
pub use operator::OperatorToken;
pub use permission::{Authorized, Caller, Forbidden, Permission, Role};
pub use refusal::Refusal;
pub use ring::KeyRing;
pub use scope::{MAX_SCOPES, Reach, Scope, Scopes};
pub use seal::{MasterKey, MasterKeyId, MasterKeys};
pub use session::{MAX_SESSION_ID_LEN, SessionOwner, SessionSeals};
pub use timestamp::{Clock, ManualClock, SystemClock, Timestamp};
