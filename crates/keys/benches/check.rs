//! What a request pays for its credential: garbage, an expired key, a good one, a narrowed one,
//! and next to them a JWT with HS256 as other gateways check it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use keys::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, ChildId, Clock as _, Grant, KeyRing, Presented,
    Refusal, SystemClock, Terms, Timestamp,
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

criterion_group!(benches, checks);
criterion_main!(benches);
