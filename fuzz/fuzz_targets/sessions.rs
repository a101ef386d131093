//! Any bytes as a sealed session id, and any as a session id: nothing panics, nothing opens that
//! was not sealed, and what was sealed opens for its owner on its server and nowhere else.

#![no_main]

use std::sync::LazyLock;

use keys::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, MAX_SESSION_ID_LEN, MasterKey, MasterKeys, Presented,
    SessionOwner, SessionSeals, SysRng, Terms,
};
use libfuzzer_sys::fuzz_target;

static SEALS: LazyLock<SessionSeals> = LazyLock::new(|| {
    let master = || MasterKey::generate(&mut SysRng).expect("random bytes");
    MasterKeys::new(master(), [master()]).session_seals()
});

static OWNERS: LazyLock<[SessionOwner; 3]> = LazyLock::new(|| {
    let owner = |number| {
        let key = AccessKey::from_secret(AccessKeyId::from_bytes([1; 4]), [number; 32]);
        let terms = Terms { not_after: None, scopes: None };
        let id = ApiKeyId::from_bytes([number; 16]);
        let issued = key.issue(&AppId::from_bytes([7; 16]), id, &terms).expect("good terms");
        let presented = Presented::parse(issued.expose().as_bytes()).expect("what was issued");
        SessionOwner::api_key(&presented)
    };
    [SessionOwner::ANYONE, owner(1), owner(2)]
});

fuzz_target!(|data: &[u8]| {
    let app = AppId::from_bytes([7; 16]);
    let (server, rest) = data.split_at(data.len().min(4));
    let server = String::from_utf8_lossy(server);
    for owner in &*OWNERS {
        assert!(SEALS.open(rest, &app, &server, owner).is_none(), "nobody sealed this");
        let Ok(sealed) = SEALS.seal(&mut SysRng, rest, &app, &server, owner) else {
            let good = (1..=MAX_SESSION_ID_LEN).contains(&rest.len());
            assert!(!good || !rest.iter().all(u8::is_ascii_graphic), "a good id is sealed");
            continue;
        };
        for presenter in &*OWNERS {
            let opened = SEALS.open(sealed.as_bytes(), &app, &server, presenter);
            assert_eq!(opened.is_some(), presenter == owner);
            assert!(opened.is_none_or(|opened| opened.as_bytes() == rest));
        }
        let elsewhere = format!("{server}x");
        assert!(SEALS.open(sealed.as_bytes(), &app, &elsewhere, owner).is_none());
        let mut altered = sealed.into_bytes();
        let at = usize::from(rest.first().copied().unwrap_or(0)) % altered.len();
        altered[at] ^= 1 << (at % 7);
        assert!(SEALS.open(&altered, &app, &server, owner).is_none());
    }
});
