//! What was decided of a connection's last request, which is most often what is decided of its next.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::extract::Request;
use http::header::AUTHORIZATION;
use keys::{AppId, Grant, Presented};
use store::{Claim, Snapshot};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::credential::API_KEY_HEADER;

/// That a request may come in, and to what.
pub(super) struct Decided {
    pub(super) claim: Arc<Claim>,
    /// None for a request without a credential.
    pub(super) key: Option<Presented>,
    /// None where everyone may come in.
    pub(super) grant: Option<Grant>,
    /// By what it was decided. It keeps none alive, and no other can have its place while it is here.
    by: Weak<Snapshot>,
}

impl Decided {
    pub(super) fn new(
        claim: Arc<Claim>,
        key: Option<Presented>,
        grant: Option<Grant>,
        by: &Arc<Snapshot>,
    ) -> Self {
        Self { claim, key, grant, by: Arc::downgrade(by) }
    }

    /// Whether it was decided by this snapshot.
    pub(super) fn is_by(&self, snapshot: &Arc<Snapshot>) -> bool {
        std::ptr::eq(self.by.as_ptr(), Arc::as_ptr(snapshot))
    }
}

/// The last request of a connection that came in with an API key.
///
/// All that a decision is made from is compared but the time, which moves on, and the headers Host and
/// Origin, which are judged before. A key is told apart in constant time: whoever has the connection
/// now may be another than who had it before, behind a proxy.
#[derive(Default)]
pub(super) struct Last(Mutex<Option<Entry>>);

struct Entry {
    app: AppId,
    path: String,
    key: Zeroizing<Vec<u8>>,
    decided: Arc<Decided>,
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Last").finish_non_exhaustive()
    }
}

impl Last {
    /// What was decided of a request to the same path with the same key.
    pub(super) fn get(&self, app: AppId, request: &Request) -> Option<Arc<Decided>> {
        let key = only_key(request)?;
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = last.as_ref()?;
        let is_same = entry.app == app
            && entry.path == request.uri().path()
            && bool::from(entry.key.as_slice().ct_eq(key));
        is_same.then(|| Arc::clone(&entry.decided))
    }

    pub(super) fn set(&self, app: AppId, request: &Request, decided: &Arc<Decided>) {
        let Some(key) = only_key(request) else { return };
        let entry = Entry {
            app,
            path: request.uri().path().to_owned(),
            key: Zeroizing::new(key.to_owned()),
            decided: Arc::clone(decided),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
    }
}

/// The API key, where it is all that the request offers.
fn only_key(request: &Request) -> Option<&[u8]> {
    let headers = request.headers();
    let mut keys = headers.get_all(API_KEY_HEADER).iter();
    match (keys.next(), keys.next(), headers.contains_key(AUTHORIZATION)) {
        (Some(key), None, false) => Some(key.as_bytes()),
        _ => None,
    }
}
