//! Rules about the shape of the code that neither the compiler nor Clippy can state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on inside the workspace. Adding a line here is a design decision: it
/// belongs in a commit of its own, with the reason in docs/decisions.
const ALLOWED: &[(&str, &[&str])] = &[
    ("keys", &[]),
    ("lease", &[]),
    ("flow", &[]),
    ("app", &["flow"]),
    ("store", &["keys", "lease", "app", "flow"]),
    ("gateway", &["keys", "flow", "app", "store"]),
    ("manage", &["keys", "flow", "app", "store"]),
    ("pg-harness", &[]),
    ("checker", &["keys", "pg-harness"]),
    ("keyward", &["keys", "flow", "app", "store", "gateway", "manage"]),
];

/// Crates that must stay pure: no runtime, no sockets, no database.
const PURE: &[&str] = &["keys", "lease", "flow", "app"];
const IMPURE: &[&str] =
    &["async-std", "axum", "hyper", "mio", "notify", "reqwest", "rmcp", "smol", "sqlx", "tokio"];

/// Licences that may be linked into the binary.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What must not come in by whatever way: rustls is enough, and builds without a system library.
const UNWANTED: &[&str] = &["openssl", "openssl-sys", "native-tls"];

/// In two versions, because two dependencies have not moved together: sqlx is a version of
/// `RustCrypto` behind (base64, digest and what is below it), some proc macros one of syn.
const DUPLICATES: &[&str] = &[
    "base64",
    "block-buffer",
    "cpufeatures",
    "crypto-common",
    "digest",
    "getrandom",
    "hashbrown",
    "sha2",
    "syn",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifest(name: &str) -> toml::Table {
    let path = root().join("crates").join(name).join("Cargo.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

#[test]
fn every_crate_is_in_the_list() {
    let listed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there.iter().map(String::as_str).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn dependencies_point_one_way() {
    let names: Vec<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in ALLOWED {
        let manifest = manifest(name);
        for dependency in manifest["dependencies"].as_table().unwrap().keys() {
            let is_edge = names.contains(&dependency.as_str());
            assert!(
                !is_edge || allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
        let inherits = manifest["lints"]["workspace"].as_bool();
        assert_eq!(inherits, Some(true), "{name} takes the workspace's lints");
    }
}

#[test]
fn pure_crates_reach_nothing_impure_by_any_way() {
    for name in PURE {
        for Package { name: reached, .. } in packages(name) {
            assert!(!IMPURE.contains(&reached.as_str()), "{name} is pure, and reaches {reached}");
        }
    }
}

#[test]
fn every_linked_package_has_a_licence_that_we_may_use() {
    for Package { name, licence, .. } in packages("keyward") {
        assert!(may_use(&licence), "{name} has the licence {licence:?}");
    }
}

#[test]
fn nothing_unwanted_is_linked_and_nothing_twice_without_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Package { name, version, .. } in packages("keyward") {
        assert!(!UNWANTED.contains(&name.as_str()), "{name} is not wanted");
        versions.entry(name).or_default().insert(version);
    }
    let twice: Vec<&str> = versions
        .iter()
        .filter(|(name, all)| all.len() > 1 && !DUPLICATES.contains(&name.as_str()))
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(twice.is_empty(), "in two versions: {twice:?}");
}

#[test]
fn rules_are_broken_in_no_build_that_does_not_ask_for_it() {
    for (name, _) in ALLOWED {
        for Package { name: reached, features, .. } in packages(name) {
            assert!(!features.contains("broken"), "{name} is built with {reached}'s {features}");
        }
    }
}

/// An expression of SPDX: `AND` binds its parts, `OR` gives a choice.
fn may_use(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ");
    licence.split(" OR ").any(|choice| {
        choice.split(" AND ").all(|part| {
            let name = part.trim_matches(['(', ')', ' ']);
            LICENCES.contains(&name)
        })
    })
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
    features: String,
}

/// What a crate of ours is built from on Linux, itself included. `cargo tree` and not `cargo
/// metadata`: only the former leaves out what no feature has switched on.
fn packages(of: &str) -> BTreeSet<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", of, "--edges", "normal", "--prefix", "none", "--no-dedupe"])
        .args(["--format", "{p}|{l}|{f}", "--target", "x86_64-unknown-linux-gnu"])
        .args(["--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<Package> = text.lines().map(package).collect();
    assert!(packages.iter().any(|package| package.name == of));
    packages
}

/// Reads `name v1.2.3 (more)|licence|feature,feature`.
fn package(line: &str) -> Package {
    let mut parts = line.split('|');
    let mut part = || parts.next().unwrap();
    let mut words = part().split(' ');
    let mut word = || words.next().unwrap().to_owned();
    let (name, version) = (word(), word());
    Package { name, version, licence: part().to_owned(), features: part().to_owned() }
}
