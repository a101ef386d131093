use keys::{
    AccessKey, AccessKeyId, ApiKey, ApiKeyId, AppId, ChildId, KeyRing, Presented, RevokedId, Scope,
    Scopes, Terms, Timestamp,
};

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

pub(crate) const WHOLE: Terms = Terms { not_after: None, scopes: None };

pub(crate) fn app() -> AppId {
    AppId::from_bytes([7; 16])
}

pub(crate) fn primary() -> AccessKey {
    AccessKey::from_secret(AccessKeyId::from_bytes([1; 4]), [11; 32])
}

pub(crate) fn secondary() -> AccessKey {
    AccessKey::from_secret(AccessKeyId::from_bytes([2; 4]), [22; 32])
}

pub(crate) fn ring() -> KeyRing {
    ring_without([])
}

pub(crate) fn ring_without(revoked: impl IntoIterator<Item = RevokedId>) -> KeyRing {
    KeyRing::new(app(), primary(), secondary(), revoked)
}

pub(crate) fn key_id() -> ApiKeyId {
    "019b76da-a800-7abc-8123-456789abcdef".parse().unwrap()
}

pub(crate) fn child(number: u8) -> ChildId {
    ChildId::from_bytes([number; 16])
}

pub(crate) fn at(ms_after_now: i64) -> Timestamp {
    Timestamp::from_unix_ms(NOW.unix_ms() + ms_after_now)
}

pub(crate) fn until(not_after: Timestamp) -> Terms {
    Terms { not_after: Some(not_after), scopes: None }
}

pub(crate) fn within(scopes: &[&str]) -> Terms {
    Terms { not_after: None, scopes: Some(list(scopes)) }
}

pub(crate) fn list(scopes: &[&str]) -> Scopes {
    Scopes::new(scopes.iter().map(|scope| Scope::parse(scope).unwrap())).unwrap()
}

pub(crate) fn issue(terms: &Terms) -> Presented {
    parse(&primary().issue(&app(), key_id(), terms).unwrap())
}

pub(crate) fn parse(key: &ApiKey) -> Presented {
    Presented::parse(key.expose().as_bytes()).unwrap()
}

/// The checksum at the end of every text, written a second time.
pub(crate) fn checksum(text: &str) -> String {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut check = Vec::new();
    for _ in 0..6 {
        check.insert(0, digits[(rest % 62) as usize]);
        rest /= 62;
    }
    String::from_utf8(check).unwrap()
}
