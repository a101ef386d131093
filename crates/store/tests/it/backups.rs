//! Taking backups and restoring them, as tests need it; and files that are no backups.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::{Caller, MasterKey, MasterKeys, Role, Slot, SysRng};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{AccessKeysAfter, Backup, BackupFault, Error, Restored, Store};
use tokio::sync::mpsc;

use crate::harness::Fixture;

pub(crate) fn owner() -> Caller {
    Caller::new("ada", Role::Owner)
}

/// Takes a backup, as its lines.
pub(crate) async fn back_up(store: &Store) -> Vec<String> {
    let (to, mut chunks) = mpsc::channel(1);
    let by = owner();
    let gather = async {
        let mut all = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            all.extend(chunk);
        }
        all
    };
    let send = async move { store.back_up(&by, &to).await };
    let (sent, all) = tokio::join!(send, gather);
    sent.unwrap();
    String::from_utf8(all).unwrap().lines().map(str::to_owned).collect()
}

/// The bytes of these lines, with a last line that fits them.
pub(crate) fn sealed(lines: &[String]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let rows = lines.iter().filter(|line| line.starts_with('[')).count();
    bytes.extend(format!("{}\n", json!({ "rows": rows, "sha256": sha256 })).into_bytes());
    bytes
}

pub(crate) fn bytes(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// Restores a backup into a store under the same master key.
pub(crate) async fn restore(
    into: &Fixture,
    bytes: &[u8],
    after: AccessKeysAfter,
) -> store::Result<Restored> {
    let mut backup = Backup::read(Cursor::new(bytes), Some(&into.masters()))?;
    into.store.restore(&owner(), &mut backup, after).await
}

fn fault(bytes: &[u8]) -> String {
    match Backup::read(Cursor::new(bytes), None) {
        Err(Error::Backup(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn some() -> (Fixture, Vec<String>) {
    let fixture = Fixture::embedded().await;
    fixture.issue(Slot::Primary).await;
    fixture.issue(Slot::Secondary).await;
    fixture.regenerate(Slot::Primary).await;
    let lines = back_up(&fixture.store).await;
    (fixture, lines)
}

/// The place of the first row of a table.
fn row_of(lines: &[String], table: &str) -> usize {
    lines.iter().position(|line| line.starts_with(&format!("{{\"table\":\"{table}\""))).unwrap() + 1
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_told_from_one_that_is_no_backup() {
    let (_fixture, lines) = some().await;
    let whole = bytes(&lines);
    let checked = Backup::read(Cursor::new(&whole), None).unwrap();
    assert_eq!((checked.summary().apps, checked.summary().revision), (1, 2));
    for (bytes, words) in [
        (&b""[..], "it is empty"),
        (&b"\x1f\x8b\x08\0\0"[..], "no backup"),
        (&b"SQLite format 3\0"[..], "no backup"),
        (&b"{}\n"[..], "no backup"),
        (&b"[1]\n"[..], "no backup"),
        (&b"\n"[..], "no backup"),
        (&b"{\"keywardBackup\":2,\"more\":1}\n"[..], "version 2"),
        (&b"{\"keywardBackup\":1}\n"[..], "line 1: missing field"),
    ] {
        assert!(fault(bytes).contains(words), "{words}: {}", fault(bytes));
    }
    for end in 1..whole.len() {
        let fault = fault(&whole[..end]);
        // What is left of the last line may be a whole JSON value, and is no line all the same.
        assert!(fault.contains("cut off"), "of {end} bytes: {fault}");
    }
}

#[tokio::test]
async fn a_file_that_was_altered_is_refused_wherever_it_was() {
    let (_fixture, lines) = some().await;
    let whole = bytes(&lines);
    // Every byte but those of the last line's own form, which only says less if it is altered.
    for place in 0..whole.len() {
        let mut altered = whole.clone();
        altered[place] ^= 1;
        assert!(Backup::read(Cursor::new(&altered), None).is_err(), "the byte {place}");
    }
    let more = [&whole[..], b"\n"].concat();
    assert!(fault(&more).contains("after its last line"));
}

#[tokio::test]
async fn a_backup_that_does_not_hold_together_is_refused_with_the_line() {
    let (_fixture, lines) = some().await;
    let change = |at: usize, change: &dyn Fn(&mut Value)| {
        let mut lines = lines[..lines.len() - 1].to_vec();
        let mut value: Value = serde_json::from_str(&lines[at]).unwrap();
        change(&mut value);
        lines[at] = value.to_string();
        fault(&sealed(&lines))
    };
    let (app, key) = (row_of(&lines, "apps"), row_of(&lines, "access_keys"));
    let (issued, event) = (row_of(&lines, "api_keys"), row_of(&lines, "audit_events"));
    let other = STANDARD.encode([7; 16]);
    let at = |line: usize| format!("line {}: ", line + 1);
    let all = [
        (change(key, &|row| row[0] = json!(other)), at(key), "refers to no row of apps"),
        (change(issued, &|row| row[2] = json!("AAAAAA==")), at(issued), "no row of access_keys"),
        (change(event, &|row| row[1] = json!(other)), at(event), "refers to no row of apps"),
        (change(app, &|row| row[2] = json!("now")), at(app), "created_at is not what it can be"),
        (change(0, &|head| head["revision"] = json!(i64::MAX)), at(0), "the revision 9223"),
        (change(0, &|head| head["revision"] = json!(-1)), at(0), "the revision -1 is not"),
        (change(app, &|row| row[3] = json!(i64::MAX)), at(app), "deployed_version is not what"),
        (change(app, &|row| row[2] = json!(i64::MIN)), at(app), "created_at is not what it can be"),
        (change(key, &|row| row[6] = json!(-1)), at(key), "revision is not what it can be"),
        (
            change(app, &|row| row[1] = json!("a/\0\u{1b}[31m")),
            at(app),
            "\"a/\\0\\u{1b}[31m\" is no",
        ),
        (change(app, &|row| row[1] = json!("a".repeat(61))), at(app), "expected 1 to 60 letters"),
        (change(app, &|row| row[1] = json!(null)), at(app), "name is not what it can be"),
        (change(app, &|row| row[0] = json!("not base64!")), at(app), "id is not what it can be"),
        (change(app, &|row| drop(row.as_array_mut().unwrap().pop())), at(app), "a row of 3 values"),
        (
            change(app - 1, &|line| line["table"] = json!("runs")),
            at(app - 1),
            "the table \"runs\" is of a newer",
        ),
        (
            change(app - 1, &|line| line["columns"][2] = json!("colour")),
            at(app - 1),
            "the column \"colour\"",
        ),
        (
            change(app - 1, &|line| line["columns"][0] = json!("name")),
            at(app - 1),
            "the columns of apps",
        ),
    ];
    for (fault, line, words) in &all {
        assert!(fault.starts_with(line) && fault.contains(words), "{words}: {fault}");
    }
    let again = |at: usize| {
        let mut lines = lines[..lines.len() - 1].to_vec();
        lines.insert(at, lines[at].clone());
        fault(&sealed(&lines))
    };
    assert!(again(app).contains("comes too late, or again"), "{}", again(app));
    assert!(again(app - 1).contains("comes too late, or again"), "{}", again(app - 1));
    let mut without = lines[..lines.len() - 1].to_vec();
    without.retain(|line| !line.contains("\"secondary\","));
    assert!(!fault(&sealed(&without)).is_empty());
    let mut none = lines[..=app].to_vec();
    assert!(fault(&sealed(&none)).contains("has no primary access key"));
    none.truncate(1);
    assert_eq!(Backup::read(Cursor::new(sealed(&none)), None).unwrap().summary().apps, 0);
}

#[tokio::test]
async fn a_backup_under_another_master_key_is_refused_before_anything_is_written() {
    let (_fixture, lines) = some().await;
    let others = MasterKeys::new(MasterKey::generate(&mut SysRng).unwrap(), []);
    match Backup::read(Cursor::new(bytes(&lines)), Some(&others)) {
        Err(Error::Sealed { app, source: keys::Error::MasterKeyMissing { .. }, .. }) => {
            assert_eq!(app, "helpdesk");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_secret_is_not_taken_for_one_under_another_master_key() {
    let (fixture, lines) = some().await;
    let mut altered = lines.clone();
    let is_sealed = |line: &String| {
        let row: Option<Vec<Value>> = serde_json::from_str(line).ok();
        row.is_some_and(|row| row.len() == 8 && row[3].is_string())
    };
    let (row_at, at) = (lines.iter().position(is_sealed).unwrap(), 3);
    let mut row: Vec<Value> = serde_json::from_str(&lines[row_at]).unwrap();
    let mut bytes_of = STANDARD.decode(row[at].as_str().unwrap()).unwrap();
    for place in 0..bytes_of.len() {
        bytes_of[place] ^= 1;
        row[at] = json!(STANDARD.encode(&bytes_of));
        altered[row_at] = json!(row).to_string();
        bytes_of[place] ^= 1;
        match Backup::read(Cursor::new(bytes(&altered)), Some(&fixture.masters())) {
            Err(Error::Backup(BackupFault::Damaged(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    // Where the damage shows in a line, that is told.
    let all = bytes(&lines);
    let text = String::from_utf8(all).unwrap().replacen("\"access_keys\"", "\"access_keyr\"", 1);
    let fault = fault(text.as_bytes());
    assert!(fault.starts_with("it is damaged: line "), "{fault}");
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_checked_leaves_the_store_empty() {
    let (fixture, lines) = some().await;
    let blank = fixture.blank_embedded().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup");
    std::fs::write(&path, bytes(&lines)).unwrap();
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let mut backup = Backup::read(file, Some(&fixture.masters())).unwrap();
    // Whole, and another one.
    std::fs::write(&path, bytes(&back_up(&fixture.store).await)).unwrap();
    let restored = blank.store.restore(&owner(), &mut backup, AccessKeysAfter::Regenerated).await;
    assert!(matches!(restored, Err(Error::Backup(BackupFault::Damaged(_)))), "{restored:?}");
    restore(&blank, &bytes(&lines), AccessKeysAfter::Regenerated).await.unwrap();
}
