//! The committed vectors, which tests/vectors/generate.py made without this crate.

use keys::{
    AccessKey, ApiKeyId, AppId, ChildId, KeyRing, Malformed, Presented, Refusal, RevokedId, Scope,
    Scopes, Slot, Terms, Timestamp,
};
use serde::Deserialize;

const ACCEPTED: &str = include_str!("../vectors/accepted.json");
const REFUSED: &str = include_str!("../vectors/refused.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File<V> {
    ring: Ring,
    vectors: Vec<V>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ring {
    app_id: String,
    primary: Secret,
    secondary: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    id: String,
    secret: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Accepted {
    name: String,
    slot: String,
    key_id: String,
    steps: Vec<Step>,
    by_hand: bool,
    now: i64,
    revoked: Vec<String>,
    text: String,
    grant: Grant,
    reaches: Vec<String>,
    does_not_reach: Vec<String>,
    worked: Worked,
}

/// What is computed on the way, for who debugs another implementation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Worked {
    derived_key: String,
    caveats: Vec<String>,
    tags: Vec<String>,
    body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Step {
    not_after: Option<i64>,
    scopes: Option<Vec<String>>,
    child_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Grant {
    not_after: Option<i64>,
    scopes: Option<Vec<String>>,
    child_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refused {
    name: String,
    now: i64,
    revoked: Vec<String>,
    app_id: String,
    refusal: String,
    why: Option<String>,
    expired_at: Option<i64>,
    text: Option<String>,
    text_hex: Option<String>,
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

impl Secret {
    fn access_key(&self) -> AccessKey {
        AccessKey::from_secret(self.id.parse().unwrap(), unhex(&self.secret).try_into().unwrap())
    }
}

impl Ring {
    fn without(&self, app_id: &str, revoked: &[String]) -> KeyRing {
        let revoked = revoked.iter().map(|id| id.parse::<RevokedId>().unwrap());
        let app = app_id.parse().unwrap();
        KeyRing::new(app, self.primary.access_key(), self.secondary.access_key(), revoked)
    }
}

impl Step {
    fn terms(&self) -> Terms {
        let scopes = self.scopes.as_ref().map(|scopes| {
            Scopes::new(scopes.iter().map(|scope| Scope::parse(scope).unwrap())).unwrap()
        });
        Terms { not_after: self.not_after.map(Timestamp::from_unix_ms), scopes }
    }
}

#[test]
fn every_accepted_vector_is_granted_what_it_says() {
    let file: File<Accepted> = serde_json::from_str(ACCEPTED).unwrap();
    assert!(file.vectors.len() >= 32, "vectors are added and never taken away");
    for vector in &file.vectors {
        let ring = file.ring.without(&file.ring.app_id, &vector.revoked);
        let presented = Presented::parse(vector.text.as_bytes()).unwrap();
        let grant = ring
            .check(&presented, Timestamp::from_unix_ms(vector.now))
            .unwrap_or_else(|refusal| panic!("{}: {refusal}", vector.name));

        assert_eq!(grant.slot().as_str(), vector.slot, "{}", vector.name);
        assert_eq!(
            grant.key_id(),
            ApiKeyId::from_bytes(unhex(&vector.key_id).try_into().unwrap()),
            "{}",
            vector.name
        );
        let not_after = grant.not_after().map(Timestamp::unix_ms);
        assert_eq!(not_after, vector.grant.not_after, "{}", vector.name);
        let child_ids: Vec<String> = grant.child_ids().iter().map(ChildId::to_string).collect();
        assert_eq!(child_ids, vector.grant.child_ids, "{}", vector.name);
        let scopes = grant.scopes().map(|scopes| scopes.iter().map(Scope::to_string).collect());
        assert_eq!(scopes, vector.grant.scopes, "{}", vector.name);

        let reached = |scope: &String| match scope.split_once('/') {
            None => grant.reaches_server(scope),
            Some((server, tool)) => grant.reaches_tool(server, tool),
        };
        assert!(vector.reaches.iter().all(reached), "{}", vector.name);
        assert!(!vector.does_not_reach.iter().any(reached), "{}", vector.name);
    }
}

#[test]
fn issuing_and_narrowing_give_the_texts_of_the_vectors() {
    let file: File<Accepted> = serde_json::from_str(ACCEPTED).unwrap();
    let app: AppId = file.ring.app_id.parse().unwrap();
    let mut compared_count = 0;
    for vector in file.vectors.iter().filter(|vector| !vector.by_hand) {
        let ring = file.ring.without(&file.ring.app_id, &[]);
        let slot: Slot = vector.slot.parse().unwrap();
        let id = ApiKeyId::from_bytes(unhex(&vector.key_id).try_into().unwrap());
        let (issued, narrowings) = vector.steps.split_first().unwrap();
        let mut key = ring.issuing_key(slot).issue(&app, id, &issued.terms()).unwrap();
        for narrowing in narrowings {
            let child = narrowing.child_id.as_ref().unwrap().parse().unwrap();
            let parent = Presented::parse(key.expose().as_bytes()).unwrap();
            key = parent.narrow(child, &narrowing.terms()).unwrap();
        }
        assert_eq!(key.expose(), vector.text, "{}", vector.name);
        compared_count += 1;
    }
    assert!(compared_count >= 29);
}

#[test]
fn every_forgery_is_refused_for_its_reason() {
    let file: File<Refused> = serde_json::from_str(REFUSED).unwrap();
    assert!(file.vectors.len() >= 129, "vectors are added and never taken away");
    for vector in &file.vectors {
        let text = match (&vector.text, &vector.text_hex) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(hex)) => unhex(hex),
            _ => panic!("{}: one text is needed", vector.name),
        };
        let ring = file.ring.without(&vector.app_id, &vector.revoked);
        let refusal = Presented::parse(&text)
            .and_then(|presented| ring.check(&presented, Timestamp::from_unix_ms(vector.now)))
            .expect_err(&vector.name);

        assert_eq!(refusal.as_str(), vector.refusal, "{}", vector.name);
        let why = match &refusal {
            Refusal::Malformed(why) => Some(why.as_str()),
            _ => None,
        };
        assert_eq!(why, vector.why.as_deref(), "{}", vector.name);
        let expired_at = match &refusal {
            Refusal::Expired { at } => Some(at.unix_ms()),
            _ => None,
        };
        assert_eq!(expired_at, vector.expired_at, "{}", vector.name);
    }
}

#[test]
fn every_reason_of_a_malformed_key_has_a_forgery() {
    let file: File<Refused> = serde_json::from_str(REFUSED).unwrap();
    for why in [
        Malformed::TooLong,
        Malformed::Prefix,
        Malformed::Checksum,
        Malformed::Base64,
        Malformed::BodyLength,
        Malformed::CaveatKind,
        Malformed::CaveatLength,
        Malformed::TooManyCaveats,
        Malformed::EmptyScope,
        Malformed::Scope,
        Malformed::ScopeOrder,
        Malformed::TooManyScopes,
    ] {
        let given = |vector: &Refused| vector.why.as_deref() == Some(why.as_str());
        assert!(file.vectors.iter().any(given), "no forgery is refused for {}", why.as_str());
    }
}

#[test]
fn the_page_of_the_format_works_through_a_vector_as_it_stands() {
    let page = include_str!("../../../../docs/key-format.md");
    let packed: String = page.split_whitespace().collect();
    let file: File<Accepted> = serde_json::from_str(ACCEPTED).unwrap();
    let vector = file.vectors.iter().find(|vector| vector.name == "narrowed to less time").unwrap();
    let worked = &vector.worked;
    assert!(page.contains(&vector.text));
    let ring = &file.ring;
    let inputs = [&ring.app_id, &ring.primary.id, &ring.primary.secret, &vector.key_id];
    let values = [&worked.derived_key].into_iter().chain(&worked.caveats).chain(&worked.tags);
    for value in inputs.into_iter().chain(values) {
        assert!(packed.contains(value.as_str()), "the page lacks {value}");
    }
    assert!(worked.body.starts_with(&format!("{}{}", ring.primary.id, vector.key_id)));
}
