use keys::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, ChildId, Grant, KeyRing, Presented, Scope, Scopes,
    Slot, Terms, Timestamp,
};
use proptest::prelude::*;

use crate::support::{app, checksum, key_id, parse, primary, ring, secondary};

const SERVERS: [&str; 4] = ["default", "helpdesk", "orders", "a-b"];
const TOOLS: [&str; 4] = ["x", "y", "X", "x/y"];

fn scope() -> impl Strategy<Value = Scope> {
    let tool = prop::option::of(prop::sample::select(&TOOLS[..]));
    (prop::sample::select(&SERVERS[..]), tool).prop_map(|(server, tool)| {
        let text = tool.map_or_else(|| server.to_owned(), |tool| format!("{server}/{tool}"));
        Scope::parse(&text).unwrap()
    })
}

fn terms() -> impl Strategy<Value = Terms> {
    let not_after = prop::option::of((0_i64..1000).prop_map(Timestamp::from_unix_ms));
    let scopes = prop::option::of(prop::collection::vec(scope(), 1..6));
    (not_after, scopes).prop_map(|(not_after, scopes)| Terms {
        not_after,
        scopes: scopes.map(|scopes| Scopes::new(scopes).unwrap()),
    })
}

/// An issue and narrowings of it, few enough for 16 caveats.
fn history() -> impl Strategy<Value = (Terms, Vec<(ChildId, Terms)>)> {
    let child = any::<[u8; 16]>().prop_map(ChildId::from_bytes);
    (terms(), prop::collection::vec((child, terms()), 0..4))
}

fn texts_along((issued, narrowings): &(Terms, Vec<(ChildId, Terms)>)) -> Vec<String> {
    let key = primary().issue(&app(), key_id(), issued).unwrap();
    let mut texts = vec![key.expose().to_owned()];
    let mut last = parse(&key);
    for (child, terms) in narrowings {
        let narrowed = last.narrow(*child, terms).unwrap();
        texts.push(narrowed.expose().to_owned());
        last = parse(&narrowed);
    }
    texts
}

/// Every server and tool that the strategies speak of, and one that they do not.
fn reached(grant: &Grant) -> Vec<(String, bool)> {
    let mut reached = Vec::new();
    for server in SERVERS.iter().chain(&["elsewhere"]) {
        reached.push((format!("server {server}"), grant.reaches_server(server)));
        reached.push((format!("whole {server}"), grant.whole_server(server)));
        for tool in TOOLS.iter().chain(&["z"]) {
            reached.push((format!("{server}/{tool}"), grant.reaches_tool(server, tool)));
        }
    }
    reached
}

fn check(text: &str, ms: i64) -> Option<Grant> {
    let presented = Presented::parse(text.as_bytes()).unwrap();
    ring().check(&presented, Timestamp::from_unix_ms(ms)).ok()
}

proptest! {
    #[test]
    fn what_is_issued_is_granted(
        terms in terms(),
        app in any::<[u8; 16]>(),
        id in any::<[u8; 16]>(),
        (access_key_id, secret) in any::<([u8; 4], [u8; 32])>(),
    ) {
        let (app, id) = (AppId::from_bytes(app), ApiKeyId::from_bytes(id));
        let access_key =
            || AccessKey::from_secret(AccessKeyId::from_bytes(access_key_id), secret);
        let key = parse(&access_key().issue(&app, id, &terms).unwrap());
        let now = terms.not_after.unwrap_or(Timestamp::from_unix_ms(i64::MAX));
        let ring = KeyRing::new(app, secondary(), access_key(), []);
        let grant = ring.check(&key, now).unwrap();
        prop_assert_eq!(grant.slot(), Slot::Secondary);
        prop_assert_eq!(grant.key_id(), id);
        prop_assert_eq!(grant.not_after(), terms.not_after);
        prop_assert_eq!(grant.scopes().cloned(), terms.scopes.map(Into::into));
    }

    #[test]
    fn narrowing_never_widens(history in history(), ms in -1_i64..1001) {
        let texts = texts_along(&history);
        for pair in texts.windows(2) {
            let Some(narrowed) = check(&pair[1], ms) else { continue };
            let parent = check(&pair[0], ms).expect("a parent is valid while its child is");
            for (child, parent) in reached(&narrowed).iter().zip(reached(&parent)) {
                prop_assert!(parent.1 || !child.1, "{} is reached by the child alone", child.0);
            }
        }
    }

    #[test]
    fn a_key_reaches_what_every_one_of_its_terms_reaches(history in history()) {
        let text = texts_along(&history).pop().unwrap();
        let grant = check(&text, 0).unwrap();
        let all: Vec<&Terms> =
            [&history.0].into_iter().chain(history.1.iter().map(|(_, terms)| terms)).collect();
        let earliest = all.iter().filter_map(|terms| terms.not_after).min();
        prop_assert_eq!(grant.not_after(), earliest);
        for server in SERVERS {
            for tool in TOOLS {
                let by_all = all.iter().all(|terms| {
                    terms.scopes.as_ref().is_none_or(|scopes| scopes.reaches_tool(server, tool))
                });
                prop_assert_eq!(grant.reaches_tool(server, tool), by_all, "{}/{}", server, tool);
            }
        }
    }

    #[test]
    fn any_one_character_altered_is_refused(
        history in history(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let text = texts_along(&history).pop().unwrap();
        let mut altered = text.into_bytes();
        let at = at.index(altered.len());
        prop_assume!(altered[at] != to);
        altered[at] = to;
        prop_assert!(Presented::parse(&altered).is_err());
    }

    /// Two texts that parse are two keys, also where they differ in bits that base64 could ignore.
    #[test]
    fn a_key_has_one_text(history in history()) {
        let text = texts_along(&history).pop().unwrap();
        let (encoded, _check) = text.split_at(text.len() - 6);
        let (all_but_last, _last) = encoded.split_at(encoded.len() - 1);
        let whole = Terms { not_after: None, scopes: None };
        let mut keys = std::collections::BTreeSet::new();
        let mut parsed_count = 0;
        for last in (0..=0x7f_u8).map(char::from) {
            let variant = checked(&format!("{all_but_last}{last}"));
            if let Ok(presented) = Presented::parse(variant.as_bytes()) {
                parsed_count += 1;
                let narrowed = presented.narrow(ChildId::from_bytes([0; 16]), &whole).unwrap();
                keys.insert(narrowed.expose().to_owned());
            }
        }
        prop_assert!(parsed_count >= 4);
        prop_assert_eq!(keys.len(), parsed_count);
        for suffix in ["=", "==", "\n", " "] {
            let padded = checked(&format!("{encoded}{suffix}"));
            prop_assert!(Presented::parse(padded.as_bytes()).is_err());
        }
    }

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..1100)) {
        prop_assert!(Presented::parse(&bytes).is_err(), "2^-32 would be no accident");
    }

    /// Bodies with the right frame around them, so that the parser of caveats is reached.
    #[test]
    fn any_body_parses_to_its_own_text_or_is_refused(
        body in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..4], 0..200),
    ) {
        let text = framed(&body);
        if let Ok(presented) = Presented::parse(text.as_bytes()) {
            prop_assert!(presented.child_ids().len() <= keys::MAX_CAVEATS);
            prop_assert!(ring().check(&presented, Timestamp::from_unix_ms(0)).is_err());
        }
    }

    /// Caveats of the right kinds and lengths with any values.
    #[test]
    fn any_caveats_parse_or_are_refused(
        caveats in prop::collection::vec((0_u8..5, prop::collection::vec(any::<u8>(), 0..20)), 0..18),
    ) {
        let mut body = vec![1; 20];
        for (kind, value) in &caveats {
            body.push(*kind);
            body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(value);
        }
        body.extend([0; 32]);
        if let Ok(presented) = Presented::parse(framed(&body).as_bytes()) {
            prop_assert!(caveats.len() <= keys::MAX_CAVEATS);
            prop_assert!(caveats.iter().all(|(kind, _)| (1..=3).contains(kind)));
            prop_assert_eq!(
                presented.scopes().is_some(),
                caveats.iter().any(|(kind, _)| *kind == 2)
            );
        }
    }
}

fn framed(body: &[u8]) -> String {
    use base64::Engine as _;
    let mut text = "kwk1_".to_owned();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_string(body, &mut text);
    checked(&text)
}

fn checked(text: &str) -> String {
    text.to_owned() + &checksum(text)
}
