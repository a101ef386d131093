//! Any bytes as a key's text, as a key's body, and as the caveats of a key that verifies: nothing
//! panics, what verifies is valid to its instant and no longer, and narrowing never widens.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use keys::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, ChildId, Grant, KeyRing, Presented, Refusal, Scope,
    Scopes, Slot, Terms, Timestamp,
};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

const APP: [u8; 16] = [7; 16];
const SECRET: [u8; 32] = [9; 32];
const HEAD: [u8; 20] = [1; 20];
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fuzz_target!(|data: &[u8]| {
    let ring = KeyRing::new(
        AppId::from_bytes(APP),
        AccessKey::from_secret(AccessKeyId::from_bytes([1; 4]), SECRET),
        AccessKey::from_secret(AccessKeyId::from_bytes([2; 4]), [0; 32]),
        [],
    );
    if let Ok(presented) = Presented::parse(data) {
        exercise(&ring, &presented, data);
    }
    if let Ok(presented) = Presented::parse(framed(data).as_bytes()) {
        exercise(&ring, &presented, data);
    }
    if let Ok(presented) = Presented::parse(framed(&tagged(data)).as_bytes()) {
        let now = presented.not_after().unwrap_or(Timestamp::from_unix_ms(i64::MAX));
        assert!(ring.check(&presented, now).is_ok(), "a key with its right tag verifies");
        exercise(&ring, &presented, data);
    }
    issue(&ring, data);
});

/// Checks the key at the limits of its validity, and what is narrowed from it.
fn exercise(ring: &KeyRing, presented: &Presented, data: &[u8]) {
    let now = presented.not_after().unwrap_or(Timestamp::from_unix_ms(0));
    let granted = ring.check(presented, now);
    if let (Some(at), Some(later)) = (presented.not_after(), now.unix_ms().checked_add(1)) {
        let refused = ring.check(presented, Timestamp::from_unix_ms(later));
        assert_eq!(refused, Err(Refusal::Expired { at }));
    }
    let Ok(key) = presented.narrow(ChildId::from_bytes([5; 16]), &terms(data)) else { return };
    let narrowed = Presented::parse(key.expose().as_bytes()).expect("what was narrowed parses");
    assert_eq!(narrowed.child_ids().len(), presented.child_ids().len() + 1);
    let Ok(child) = ring.check(&narrowed, narrowed.not_after().unwrap_or(now)) else {
        assert!(granted.is_err(), "narrowing a good key gives a good key");
        return;
    };
    let parent = granted.expect("only a good key is narrowed to a good one");
    assert!(parent.not_after().is_none_or(|at| child.not_after().is_some_and(|c| c <= at)));
    assert!(child.scopes().is_some() || parent.scopes().is_none());
    for scope in child.scopes().into_iter().flatten() {
        assert!(reaches(&parent, scope), "{scope} is reached by the child alone");
    }
}

fn reaches(grant: &Grant, scope: &Scope) -> bool {
    match scope.tool() {
        Some(tool) => grant.reaches_tool(scope.server(), tool),
        None => grant.whole_server(scope.server()),
    }
}

/// What is issued parses and verifies.
fn issue(ring: &KeyRing, data: &[u8]) {
    let terms = terms(data);
    let id = ApiKeyId::from_bytes([3; 16]);
    let Ok(key) = ring.issuing_key(Slot::Primary).issue(&ring.app(), id, &terms) else { return };
    let presented = Presented::parse(key.expose().as_bytes()).expect("what was issued parses");
    let grant = ring.check(&presented, terms.not_after.unwrap_or(Timestamp::from_unix_ms(0)));
    let grant = grant.expect("what was issued verifies");
    assert_eq!(grant.not_after(), terms.not_after);
    assert_eq!(grant.scopes().cloned(), terms.scopes.map(Into::into));
}

/// Reads terms: eight bytes of an instant, then scopes with commas between them.
fn terms(data: &[u8]) -> Terms {
    let (not_after, rest) = match data.split_first_chunk::<8>() {
        Some((ms, rest)) => (Some(Timestamp::from_unix_ms(i64::from_be_bytes(*ms))), rest),
        None => (None, data),
    };
    let text = String::from_utf8_lossy(rest);
    let scopes = Scopes::new(text.split(',').filter_map(|scope| Scope::parse(scope).ok()));
    Terms { not_after, scopes: scopes.ok() }
}

/// Puts ids in front of these caveats and behind them the tag that fits.
fn tagged(caveats: &[u8]) -> Vec<u8> {
    let mut derived = [0; 32];
    Hkdf::<Sha256>::new(None, &SECRET).expand(b"api key", &mut derived).expect("short enough");
    let mut tag = hmac(&derived, &[b"keyward api key 1", &APP, &HEAD]);
    let mut rest = caveats;
    while let [_, high, low, ..] = rest {
        let len = 3 + usize::from(u16::from_be_bytes([*high, *low]));
        let (caveat, after) = rest.split_at(len.min(rest.len()));
        tag = hmac(&tag, &[caveat]);
        rest = after;
    }
    [&HEAD, caveats, &tag].concat()
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is good");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn framed(body: &[u8]) -> String {
    let mut text = "kwk1_".to_owned();
    URL_SAFE_NO_PAD.encode_string(body, &mut text);
    let crc = crc32fast::hash(text.as_bytes());
    let digits = (0..6).rev().map(|power| DIGITS[(crc / 62_u32.pow(power) % 62) as usize]);
    text.extend(digits.map(char::from));
    text
}
