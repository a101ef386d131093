use lease::{ChangeId, Installer, Loaded, Revision, RevisionName, Settled};

fn name(revision: i64, change: &str) -> RevisionName {
    RevisionName { revision: Revision::new(revision), change: ChangeId::new(change) }
}

/// Installs it, and says whether it is of another history than what was there.
fn install(installer: &mut Installer, name: RevisionName) -> (bool, Settled) {
    let load = installer.begin();
    match installer.loaded(load, name) {
        Loaded::Install(installing) => {
            (installing.replaces_history(), installer.cut_done(installing))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newer_snapshot_replaces_an_older_one() {
    let mut installer = Installer::new();
    let (replaces, settled) = install(&mut installer, name(7, "a"));
    assert!(!replaces);
    assert_eq!(settled.name(), &name(7, "a"));
    assert!(!install(&mut installer, name(8, "b")).0);
    assert_eq!(installer.installed(), Some(&name(8, "b")));
}

#[test]
fn what_is_installed_and_cut_is_not_installed_again() {
    let mut installer = Installer::new();
    install(&mut installer, name(7, "a"));
    let load = installer.begin();
    let Loaded::Current(settled) = installer.loaded(load, name(7, "a")) else { panic!() };
    assert_eq!(settled.name(), &name(7, "a"));
}

#[test]
fn what_is_installed_and_not_cut_yet_is_not_settled_by_loading_it_again() {
    let mut installer = Installer::new();
    let load = installer.begin();
    let Loaded::Install(first) = installer.loaded(load, name(7, "a")) else { panic!() };
    let load = installer.begin();
    let Loaded::Install(second) = installer.loaded(load, name(7, "a")) else { panic!() };
    assert!(!second.replaces_history());
    installer.cut_done(first);
    installer.cut_done(second);
}

#[test]
fn a_load_that_was_begun_before_the_last_one_is_abandoned_whatever_its_number() {
    let mut installer = Installer::new();
    let early = installer.begin();
    let late = installer.begin();
    assert!(matches!(installer.loaded(late, name(7, "a")), Loaded::Install(_)));
    assert!(matches!(installer.loaded(early, name(9, "c")), Loaded::Abandoned));
    assert_eq!(installer.installed(), Some(&name(7, "a")));
}

#[test]
fn a_load_that_was_begun_anew_is_abandoned_before_the_new_one_comes() {
    let mut installer = Installer::new();
    let early = installer.begin();
    let late = installer.begin();
    assert!(matches!(installer.loaded(early, name(9, "c")), Loaded::Abandoned));
    assert!(matches!(installer.loaded(late, name(7, "a")), Loaded::Install(_)));
}

#[test]
fn a_lower_number_or_another_name_is_another_history() {
    let mut installer = Installer::new();
    install(&mut installer, name(9, "lost"));
    assert!(install(&mut installer, name(7, "new")).0);
    assert!(install(&mut installer, name(7, "newer")).0);
    assert!(!install(&mut installer, name(8, "next")).0);
}

#[test]
fn what_was_settled_before_is_installed_again_where_another_began_to_decide() {
    let mut installer = Installer::new();
    install(&mut installer, name(7, "a"));
    let load = installer.begin();
    assert!(matches!(installer.loaded(load, name(8, "b")), Loaded::Install(_)));
    let load = installer.begin();
    assert!(matches!(installer.loaded(load, name(7, "a")), Loaded::Install(_)));
}

#[test]
fn a_cut_that_is_done_late_does_not_settle_what_no_longer_decides() {
    let mut installer = Installer::new();
    let load = installer.begin();
    let Loaded::Install(early) = installer.loaded(load, name(7, "a")) else { panic!() };
    install(&mut installer, name(8, "b"));
    installer.cut_done(early);
    let load = installer.begin();
    assert!(matches!(installer.loaded(load, name(7, "a")), Loaded::Install(_)));
}
