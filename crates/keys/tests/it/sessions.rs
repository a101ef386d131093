use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::{
    AppId, Error, MAX_SESSION_ID_LEN, MasterKey, MasterKeys, Presented, SessionOwner, SessionSeals,
    SysRng,
};
use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng};
use serde::Deserialize;

use crate::support::{WHOLE, app, at, checksum, child, issue, parse, secondary, until, within};

const VECTORS: &str = include_str!("../vectors/sessions.json");
const ID: &[u8] = b"1868a90c-7e1d-4c5b-9d1f-0c8e7d1f0a11";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vector {
    master_key: String,
    app: String,
    server: String,
    owner: Option<Owner>,
    nonce: String,
    session_id: String,
    sealed: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Owner {
    access_key_id: String,
    key_id: String,
    caveats: String,
}

/// Draws these bytes and no others.
struct Fixed(Vec<u8>);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("bytes are drawn")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The owner of a key with these ids and caveats, whose tag nobody looks at.
fn owner_of(owner: &Owner) -> SessionOwner {
    let ids = [owner.access_key_id.as_str(), &owner.key_id, &owner.caveats].concat();
    let body = [unhex(&ids), vec![0; 32]].concat();
    let text = format!("kwk1_{}", URL_SAFE_NO_PAD.encode(body));
    let text = text.clone() + &checksum(&text);
    SessionOwner::api_key(&Presented::parse(text.as_bytes()).unwrap())
}

fn master() -> MasterKey {
    MasterKey::generate(&mut SysRng).unwrap()
}

fn seals() -> SessionSeals {
    MasterKeys::new(master(), []).session_seals()
}

fn owner() -> SessionOwner {
    SessionOwner::api_key(&issue(&WHOLE))
}

fn seal(seals: &SessionSeals) -> String {
    seals.seal(&mut SysRng, ID, &app(), "helpdesk", &owner()).unwrap()
}

fn open(seals: &SessionSeals, sealed: &str) -> Option<String> {
    seals.open(sealed.as_bytes(), &app(), "helpdesk", &owner())
}

#[test]
fn the_committed_session_ids_seal_and_open_as_they_did() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let master = MasterKey::parse(&vector.master_key).unwrap();
        let seals = MasterKeys::new(master, []).session_seals();
        let app: AppId = vector.app.parse().unwrap();
        let owner = vector.owner.as_ref().map_or(SessionOwner::ANYONE, owner_of);
        let opened = seals.open(vector.sealed.as_bytes(), &app, &vector.server, &owner);
        assert_eq!(opened.as_deref(), Some(vector.session_id.as_str()));
        let mut rng = Fixed(unhex(&vector.nonce));
        let id = vector.session_id.as_bytes();
        let sealed = seals.seal(&mut rng, id, &app, &vector.server, &owner).unwrap();
        assert_eq!(sealed, vector.sealed);
    }
}

#[test]
fn a_sealed_session_id_opens_for_its_owner_on_its_server_whatever_the_case_of_its_name() {
    let seals = seals();
    let sealed = seals.seal(&mut SysRng, ID, &app(), "HelpDesk", &owner()).unwrap();
    assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()));
    for server in ["helpdesk", "HELPDESK"] {
        let opened = seals.open(sealed.as_bytes(), &app(), server, &owner()).unwrap();
        assert_eq!(opened.as_bytes(), ID);
    }
}

#[test]
fn a_sealed_session_id_opens_nowhere_else_and_for_nobody_else() {
    let seals = seals();
    let narrowed = parse(&issue(&WHOLE).narrow(child(1), &WHOLE).unwrap());
    let sibling = parse(&issue(&WHOLE).narrow(child(2), &WHOLE).unwrap());
    let id = crate::support::key_id();
    let owners = [
        SessionOwner::ANYONE,
        owner(),
        SessionOwner::api_key(&narrowed),
        SessionOwner::api_key(&sibling),
        SessionOwner::api_key(&issue(&until(at(1)))),
        SessionOwner::api_key(&issue(&until(at(2)))),
        SessionOwner::api_key(&issue(&within(&["helpdesk"]))),
        SessionOwner::api_key(&parse(&secondary().issue(&app(), id, &WHOLE).unwrap())),
    ];
    let elsewhere = AppId::from_bytes([8; 16]);
    for (number, holder) in owners.iter().enumerate() {
        let sealed = seals.seal(&mut SysRng, ID, &app(), "helpdesk", holder).unwrap();
        let open = |app: &AppId, server: &str, owner: &SessionOwner| {
            seals.open(sealed.as_bytes(), app, server, owner)
        };
        for (other, presenter) in owners.iter().enumerate() {
            let opened = open(&app(), "helpdesk", presenter);
            assert_eq!(opened.is_some(), number == other, "{number} opened by {other}");
        }
        assert_eq!(open(&elsewhere, "helpdesk", holder), None);
        for server in ["", "helpdes", "helpdesk2", "default", "helpdesk\0"] {
            assert_eq!(open(&app(), server, holder), None, "{server:?}");
        }
    }
}

#[test]
fn what_was_altered_cut_or_lengthened_does_not_open() {
    let seals = seals();
    let sealed = seal(&seals);
    assert!(open(&seals, &sealed).is_some());
    for at in 0..sealed.len() {
        let mut altered = sealed.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(open(&seals, &altered), None, "character {at}");
        assert_eq!(open(&seals, sealed.split_at(at).0), None, "cut to {at}");
    }
    let huge = "A".repeat(10_000_000);
    let wrong = [&format!("{sealed}A"), &format!("{sealed}="), &format!(" {sealed}"), &huge];
    for text in wrong.into_iter().map(String::as_str).chain(["", "*", "AAAA", "\u{e9}"]) {
        assert_eq!(open(&seals, text), None);
    }
}

#[test]
fn the_first_master_key_seals_session_ids_and_all_open_them() {
    let again = |master: &MasterKey| MasterKey::parse(master.expose()).unwrap();
    let (old, new) = (master(), master());
    let before = MasterKeys::new(again(&old), []).session_seals();
    let both = MasterKeys::new(again(&new), [again(&old)]).session_seals();
    let after = MasterKeys::new(new, []).session_seals();
    assert!(open(&both, &seal(&before)).is_some());
    assert!(open(&after, &seal(&both)).is_some());
    assert_eq!(open(&after, &seal(&before)), None);
    assert_eq!(open(&before, &seal(&both)), None);
}

#[test]
fn no_two_seals_of_one_session_id_are_alike() {
    let seals = seals();
    assert_ne!(seal(&seals), seal(&seals));
}

#[test]
fn only_what_mcp_takes_for_a_session_id_is_sealed_up_to_its_longest() {
    let seals = seals();
    let seal = |id: &[u8]| seals.seal(&mut SysRng, id, &app(), "helpdesk", &owner());
    let longest = "~".repeat(MAX_SESSION_ID_LEN);
    let sealed = seal(longest.as_bytes()).unwrap();
    assert_eq!(open(&seals, &sealed).unwrap(), longest);
    assert!(seal(b"!").is_ok());
    let too_long = "~".repeat(MAX_SESSION_ID_LEN + 1);
    for id in [&b""[..], b" ", b"a b", b"a\n", b"\x7f", "\u{e9}".as_bytes(), too_long.as_bytes()] {
        assert_eq!(seal(id).unwrap_err(), Error::SessionId);
    }
}

proptest! {
    #[test]
    fn any_bytes_open_to_nothing(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let seals = seals();
        prop_assert_eq!(seals.open(&bytes, &app(), "helpdesk", &owner()), None);
        let text = URL_SAFE_NO_PAD.encode(&bytes);
        prop_assert_eq!(seals.open(text.as_bytes(), &app(), "helpdesk", &owner()), None);
    }

    #[test]
    fn any_session_id_opens_to_itself(id in "[!-~]{1,1024}", server in "[a-zA-Z0-9_-]{1,80}") {
        let seals = seals();
        let sealed = seals.seal(&mut SysRng, id.as_bytes(), &app(), &server, &owner()).unwrap();
        let opened = seals.open(sealed.as_bytes(), &app(), &server, &owner());
        prop_assert_eq!(opened, Some(id));
    }
}
