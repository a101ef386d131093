//! Secrets leave through `expose` alone, and not many places call it.

use std::fmt::{Binary, Debug, Display, LowerHex, UpperHex};
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use keys::{
    AccessKey, ApiKey, MasterKey, MasterKeys, OperatorToken, Presented, SessionOwner, SessionSeals,
    Slot, SysRng,
};
use serde::Serialize;

use crate::support::{WHOLE, app, issue, key_id, primary, ring};

/// Who may call `expose`, by the beginning of the path below `crates/`, and why. Add what needs
/// it, as narrowly as it goes.
const MAY_EXPOSE: &[(&str, &str)] = &[
    ("keys/src/", "defines it"),
    ("checker/src/", "asks with issued keys, as their holders do"),
    ("keys/benches/", "measures checking the texts"),
    ("keyward/src/", "prints an issued key or the operator token, writes their files"),
    ("manage/src/", "answers with an issued key"),
    ("store/src/", "writes a new master key's file"),
];

/// Tells what a type implements: an inherent constant is preferred to the trait's.
struct Probe<T>(PhantomData<T>);

trait Lacks {
    const DISPLAY: bool = false;
    const SERIALIZE: bool = false;
    const CLONE: bool = false;
    const LOWER_HEX: bool = false;
    const UPPER_HEX: bool = false;
    const BINARY: bool = false;
    const BYTES: bool = false;
    const TEXT: bool = false;
}

impl<T> Lacks for Probe<T> {}

impl<T: Display> Probe<T> {
    const DISPLAY: bool = true;
}

impl<T: Serialize> Probe<T> {
    const SERIALIZE: bool = true;
}

impl<T: Clone> Probe<T> {
    const CLONE: bool = true;
}

impl<T: LowerHex> Probe<T> {
    const LOWER_HEX: bool = true;
}

impl<T: UpperHex> Probe<T> {
    const UPPER_HEX: bool = true;
}

impl<T: Binary> Probe<T> {
    const BINARY: bool = true;
}

impl<T: AsRef<[u8]>> Probe<T> {
    const BYTES: bool = true;
}

impl<T: AsRef<str>> Probe<T> {
    const TEXT: bool = true;
}

macro_rules! ways_out {
    ($type:ty) => {
        [
            Probe::<$type>::DISPLAY,
            Probe::<$type>::SERIALIZE,
            Probe::<$type>::CLONE,
            Probe::<$type>::LOWER_HEX,
            Probe::<$type>::UPPER_HEX,
            Probe::<$type>::BINARY,
            Probe::<$type>::BYTES,
            Probe::<$type>::TEXT,
        ]
    };
}

macro_rules! assert_closed {
    ($($secret:ty),*) => {
        $(assert_eq!(ways_out!($secret), [false; 8], "{} lets it out", stringify!($secret));)*
    };
}

#[test]
fn no_secret_has_another_way_out_than_expose() {
    assert_eq!(ways_out!(u32), [true, true, true, true, true, true, false, false]);
    assert_eq!(ways_out!(String), [true, true, true, false, false, false, true, true]);
    assert_closed!(
        ApiKey,
        AccessKey,
        MasterKey,
        MasterKeys,
        OperatorToken,
        Presented,
        SessionSeals
    );
}

#[test]
fn debug_output_holds_no_secret() {
    fn debug(value: &dyn Debug) -> String {
        format!("{value:?} {value:#?}")
    }
    let key = primary().issue(&app(), key_id(), &WHOLE).unwrap();
    let master = MasterKey::generate(&mut SysRng).unwrap();
    let token = OperatorToken::generate(&mut SysRng).unwrap();
    assert_eq!(format!("{key:?}"), "ApiKey(..)");
    assert_eq!(format!("{token:?}"), "OperatorToken(..)");
    assert_eq!(format!("{:?}", primary()), "AccessKey(01010101)");

    let masters = MasterKeys::new(MasterKey::parse(master.expose()).unwrap(), []);
    let all = [
        debug(&key),
        debug(&issue(&WHOLE)),
        debug(&ring()),
        debug(&ring().issuing_key(Slot::Primary)),
        debug(&master),
        debug(&masters),
        debug(&masters.session_seals()),
        debug(&SessionOwner::api_key(&issue(&WHOLE))),
        debug(&token),
    ]
    .concat();
    let tail = |text: &str| text.split_at(text.len() - 40).1.to_owned();
    for secret in [tail(key.expose()), tail(master.expose()), tail(token.expose())] {
        assert!(!all.contains(&secret));
    }
    // The primary access key's secret is 32 times 11.
    assert!(!all.contains("11, 11") && !all.contains("0b0b0b"), "{all}");
}

#[test]
fn errors_do_not_repeat_a_secret() {
    let token = OperatorToken::generate(&mut SysRng).unwrap();
    let (cut, _rest) = token.expose().split_at(50);
    let inner = cut.get(10..20).unwrap();
    for error in [MasterKey::parse(cut).unwrap_err(), OperatorToken::parse(cut).unwrap_err()] {
        assert!(!format!("{error} {error:?}").contains(inner));
    }
    let refusal = Presented::parse(cut.as_bytes()).unwrap_err();
    assert!(!format!("{refusal} {refusal:?}").contains(inner));
}

#[test]
fn only_listed_places_call_expose() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut callers = Vec::new();
    for file in rust_files(crates) {
        let path = file.strip_prefix(crates).unwrap().to_str().unwrap().replace('\\', "/");
        // Tests make their own keys and have to send them.
        if path.contains("/tests/") || path.ends_with("/tests.rs") {
            continue;
        }
        if fs::read_to_string(&file).unwrap().lines().any(calls_expose) {
            callers.push(path);
        }
    }
    assert!(callers.contains(&"keys/benches/check.rs".to_owned()), "the search finds callers");
    let strangers: Vec<&String> = callers
        .iter()
        .filter(|path| !MAY_EXPOSE.iter().any(|(allowed, _why)| path.starts_with(allowed)))
        .collect();
    assert!(strangers.is_empty(), "not in MAY_EXPOSE: {strangers:?}");
}

fn calls_expose(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    [".expose()", "::expose)", "::expose(", "::expose,", ".expose_secret("]
        .iter()
        .any(|call| code.contains(call))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
