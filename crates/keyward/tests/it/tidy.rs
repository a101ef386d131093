//! Rules about the shape of the code that neither the compiler nor Clippy can state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on inside the workspace. Adding a line here is a design decision: it
/// belongs in a commit of its own, with the reason in docs/decisions.
const ALLOWED: &[(&str, &[&str])] = &[
    ("keys", &[]),
    ("flow", &[]),
    ("app", &["flow"]),
    ("store", &["keys", "app", "flow"]),
    ("gateway", &["keys", "flow", "app", "store"]),
    ("manage", &["keys", "flow", "app", "store"]),
    ("keyward", &["keys", "flow", "app", "store", "gateway", "manage"]),
];

/// Crates that must stay pure: no runtime, no sockets, no database.
const PURE: &[&str] = &["keys", "flow", "app"];
const IMPURE: &[&str] =
    &["async-std", "axum", "hyper", "mio", "notify", "reqwest", "rmcp", "smol", "sqlx", "tokio"];

/// Licences that may be linked into the binary.
const LICENCES: &[&str] = &[
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
];

/// What must not come in by whatever way: rustls is enough, and builds without a system library.
const UNWANTED: &[&str] = &["openssl", "openssl-sys", "native-tls"];

/// Linked in two versions, because two dependencies have not moved together: sqlx is a version of
/// RustCrypto behind (base64, digest and what is below it), proc macros one of syn.
const DUPLICATES: &[&str] = &[
    "base64", "block-buffer", "cpufeatures", "crypto-common", "digest", "getrandom", "hashbrown",
    "sha2", "syn",
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
    let metadata = Metadata::read();
    for name in PURE {
        let reached = metadata.reached_from(name);
        for impure in IMPURE {
            assert!(!reached.contains(*impure), "{name} is pure, and reaches {impure}");
        }
    }
}

#[test]
fn every_linked_package_has_a_licence_that_we_may_use() {
    let metadata = Metadata::read();
    for package in metadata.linked() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(may_use(licence), "{} has the licence {licence}", package["name"]);
    }
}

#[test]
fn nothing_unwanted_is_linked_and_nothing_twice_without_a_reason() {
    let metadata = Metadata::read();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata.linked() {
        let name = package["name"].as_str().unwrap();
        assert!(!UNWANTED.contains(&name), "{name} is not wanted");
        versions.entry(name).or_default().insert(package["version"].as_str().unwrap());
    }
    let twice: Vec<&str> =
        versions.iter().filter(|(_, all)| all.len() > 1).map(|(name, _)| *name).collect();
    let unexplained: Vec<_> = twice.iter().filter(|name| !DUPLICATES.contains(name)).collect();
    assert!(unexplained.is_empty(), "in two versions: {unexplained:?}");
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

/// What cargo says of the dependencies of this platform.
struct Metadata {
    packages: BTreeMap<String, Value>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Metadata {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let packages = metadata["packages"].as_array().unwrap();
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
        Self {
            packages: packages.iter().map(|package| (id(package), package.clone())).collect(),
            edges: nodes.iter().map(|node| (id(node), normal_dependencies(node))).collect(),
        }
    }

    /// The packages that end up in the binary.
    fn linked(&self) -> Vec<&Value> {
        self.reach("keyward").into_iter().map(|id| &self.packages[&id]).collect()
    }

    fn reached_from(&self, name: &str) -> BTreeSet<&str> {
        self.reach(name).iter().map(|id| self.packages[id]["name"].as_str().unwrap()).collect()
    }

    fn reach(&self, name: &str) -> BTreeSet<String> {
        let own = self.packages.iter().find(|(_, package)| {
            package["name"] == name && package["source"].is_null()
        });
        let mut reached = BTreeSet::new();
        let mut next = vec![own.unwrap().0.clone()];
        while let Some(id) = next.pop() {
            if reached.insert(id.clone()) {
                next.extend(self.edges[&id].iter().cloned());
            }
        }
        reached
    }
}

fn normal_dependencies(node: &Value) -> Vec<String> {
    let is_normal = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
    };
    let all = node["deps"].as_array().unwrap().iter();
    all.filter(is_normal).map(|dependency| dependency["pkg"].as_str().unwrap().to_owned()).collect()
}
