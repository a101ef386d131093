//! What a request pays for its credential: garbage, an expired key, a good one, a narrowed one,
//! and next to them a JWT with HS256 as other gateways check it. And what a request to an upstream
//! pays for its session id: one of 36 characters, sealed and opened.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use keys::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, ChildId, Clock as _, Grant, KeyRing, MasterKey,
    MasterKeys, Presented, Refusal, SessionOwner, SysRng, SystemClock, Terms, Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct JwtClaims {
    sub: String,
    exp: u64,
}

fn admit(ring: &KeyRing, text: &str, now: Timestamp) -> Result<Grant, Refusal> {
    ring.check(&Presented::parse(text.as_bytes())?, now)
}

#[expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no figures")]
fn checks(criterion: &mut Criterion) {
    let app = AppId::from_bytes([7; 16]);
    let access_key =
        |number: u8| AccessKey::from_secret(AccessKeyId::from_bytes([number; 4]), [number; 32]);
    let ring = KeyRing::new(app, access_key(1), access_key(2), []);
    let id = ApiKeyId::from_bytes([3; 16]);
    let now = SystemClock.now();
    let until =
        |ms| Terms { not_after: Some(Timestamp::from_unix_ms(now.unix_ms() + ms)), scopes: None };

    let good = access_key(1).issue(&app, id, &until(86_400_000)).unwrap();
    let expired = access_key(1).issue(&app, id, &until(-1)).unwrap();
    let narrowed = Presented::parse(good.expose().as_bytes())
        .unwrap()
        .narrow(ChildId::from_bytes([4; 16]), &until(3_600_000))
        .unwrap();
    let child_only = Presented::parse(good.expose().as_bytes())
        .unwrap()
        .narrow(ChildId::from_bytes([4; 16]), &Terms { not_after: None, scopes: None })
        .unwrap();
    // The right prefix and length, so that only the checksum tells.
    let garbage = good.expose().replace('A', "B");
    assert!(admit(&ring, good.expose(), now).is_ok());
    assert!(admit(&ring, narrowed.expose(), now).is_ok());
    assert!(matches!(admit(&ring, expired.expose(), now), Err(Refusal::Expired { .. })));
    assert!(matches!(admit(&ring, &garbage, now), Err(Refusal::Malformed(_))));

    let mut group = criterion.benchmark_group("check");
    group.bench_function("garbage", |b| b.iter(|| admit(&ring, black_box(&garbage), now)));
    group.bench_function("expired", |b| b.iter(|| admit(&ring, black_box(expired.expose()), now)));
    group.bench_function("good", |b| b.iter(|| admit(&ring, black_box(good.expose()), now)));
    group.bench_function("good, child id only", |b| {
        b.iter(|| admit(&ring, black_box(child_only.expose()), now));
    });
    group.bench_function("good, narrowed to less time", |b| {
        b.iter(|| admit(&ring, black_box(narrowed.expose()), now));
    });

    let secret = [5; 32];
    let exp = u64::try_from(now.unix_ms() / 1000 + 86_400).unwrap();
    let claims = JwtClaims { sub: id.to_string(), exp };
    let jwt = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&secret));
    let jwt = jwt.unwrap();
    let key = DecodingKey::from_secret(&secret);
    let validation = Validation::new(Algorithm::HS256);
    group.bench_function("JWT HS256", |b| {
        b.iter(|| jsonwebtoken::decode::<JwtClaims>(black_box(&jwt), &key, &validation).unwrap());
    });
    group.finish();
}

#[expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no figures")]
fn sessions(criterion: &mut Criterion) {
    let app = AppId::from_bytes([7; 16]);
    let access_key = AccessKey::from_secret(AccessKeyId::from_bytes([1; 4]), [1; 32]);
    let terms = Terms { not_after: None, scopes: None };
    let key = access_key.issue(&app, ApiKeyId::from_bytes([3; 16]), &terms).unwrap();
    let presented = Presented::parse(key.expose().as_bytes()).unwrap();
    let seals = MasterKeys::new(MasterKey::generate(&mut SysRng).unwrap(), []).session_seals();
    let id = b"1868a90c-7e1d-4c5b-9d1f-0c8e7d1f0a11";
    let seal = |presented: &Presented| {
        let owner = SessionOwner::api_key(presented);
        seals.seal(&mut SysRng, id, &app, "helpdesk", &owner).unwrap()
    };
    let sealed = seal(&presented);
    let open = |sealed: &str| {
        let owner = SessionOwner::api_key(&presented);
        seals.open(sealed.as_bytes(), &app, "helpdesk", &owner)
    };
    assert!(open(&sealed).is_some());

    let mut group = criterion.benchmark_group("session");
    group.bench_function("seal", |b| b.iter(|| seal(black_box(&presented))));
    group.bench_function("open", |b| b.iter(|| open(black_box(&sealed))));
    group.finish();
}

criterion_group!(benches, checks, sessions);
criterion_main!(benches);
