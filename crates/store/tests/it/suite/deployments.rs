use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use app::{App, Files};
use keys::permission::{Owner, Reader};
use keys::{AppId, Authorized, Caller, Clock, Role, Slot, SysRng};
use sqlx::{AnyConnection, Connection as _};
use store::{
    AccessKeysAfter, AppMaker, Claim, Cut, Deployed, Deployment, Error, KEPT_VERSIONS, Note,
    Operation, Replica, Store, Version,
};
use url::Url;

use crate::backups::{back_up, bytes, restore, sealed};
use crate::harness::{Fixture, host};

/// Makes apps, and counts them; refuses those with this route prefix.
#[derive(Default)]
struct Maker {
    made: AtomicUsize,
    refuses: Option<&'static str>,
}

impl AppMaker for Maker {
    fn make(&self, files: &Files, _: &Url) -> Result<App, Vec<String>> {
        self.made.fetch_add(1, Ordering::SeqCst);
        let app = App::from_files(files)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        match self.refuses {
            Some(prefix) if app.route_prefix() == prefix => Err(vec!["not here".to_owned()]),
            _ => Ok(app),
        }
    }
}

async fn serve(fixture: &Fixture, store: &Arc<Store>, maker: &Arc<Maker>) -> Arc<Replica> {
    try_to_serve(fixture, store, maker).await.unwrap()
}

async fn try_to_serve(
    fixture: &Fixture,
    store: &Arc<Store>,
    maker: &Arc<Maker>,
) -> store::Result<Arc<Replica>> {
    let clock: Arc<dyn Clock> = Arc::new(fixture.clock.clone());
    let maker: Arc<dyn AppMaker> = Arc::<Maker>::clone(maker);
    let base = "http://localhost:7071/tools".parse().unwrap();
    let replica = Replica::start_deployed(Arc::clone(store), clock, maker, base).await?;
    let keeping = Arc::clone(&replica);
    drop(tokio::spawn(keeping.hold(std::future::pending())));
    replica.admit().await.unwrap();
    Ok(replica)
}

fn by(app: AppId) -> Authorized<Owner> {
    Caller::new("ada", Role::Owner).require(app).unwrap()
}

fn reader(app: AppId) -> Authorized<Reader> {
    Caller::new("rob", Role::Reader).require(app).unwrap()
}

fn note(changed: &[&str]) -> Note {
    Note {
        operation: Operation::DeployApp,
        restores: None,
        authentication: Some("ApiKey".to_owned()),
        widens_authentication: false,
        changed: changed.iter().map(|&path| path.to_owned()).collect(),
    }
}

fn files(given: &[(&str, &str)]) -> Files {
    let mut files = Files::new();
    for (path, text) in given {
        files.insert(*path, *text).unwrap();
    }
    files
}

fn deployment(app: &str, given: &[(&str, &str)], replaces: Option<Version>) -> Deployment {
    Deployment {
        app: app.to_owned(),
        files: files(given),
        public_url: None,
        replaces,
        note: note(&["host.json"]),
    }
}

async fn deploy(
    fixture: &Fixture,
    app: AppId,
    name: &str,
    given: &[(&str, &str)],
    replaces: Option<Version>,
) -> Deployed {
    let deployment = deployment(name, given, replaces);
    fixture.store.deploy(&by(app), &deployment).await.unwrap()
}

fn new_app() -> AppId {
    AppId::generate(&mut SysRng).unwrap()
}

const SERVERS: &str = r#"{"mcpServers": [{"name": "desk", "tools": []}]}"#;

#[tokio::test]
async fn what_is_deployed_is_served_once_it_is_in_force_and_made_once() {
    let fixture = super::fixture().await;
    let maker = Arc::new(Maker::default());
    let replica = serve(&fixture, &fixture.store, &maker).await;
    assert!(
        replica.snapshot().unwrap().apps().is_empty(),
        "an app without a version is not served"
    );

    let host = host("ApiKey");
    let first = [("host.json", host.as_str())];
    let other = new_app();
    replica
        .in_force(&deploy(&fixture, fixture.app, "helpdesk", &first, None).await.change)
        .await
        .unwrap();
    let made = deploy(&fixture, other, "Billing", &first, None).await;
    replica.in_force(&made.change).await.unwrap();
    let snapshot = replica.snapshot().unwrap();
    let served: Vec<_> =
        snapshot.apps().iter().map(|app| (app.name.as_str(), app.public_url.as_str())).collect();
    assert_eq!(
        served,
        [
            ("billing", "http://localhost:7071/tools/billing"),
            ("helpdesk", "http://localhost:7071/tools/helpdesk"),
        ]
    );
    assert_eq!(snapshot.app("BILLING").unwrap().version, Some(Version::new(1)));
    // It has its two access keys from its first moment on.
    assert_eq!(fixture.store.list_access_keys(&reader(other)).await.unwrap().len(), 2);

    replica.in_force(&fixture.regenerate(Slot::Primary).await).await.unwrap();
    assert_eq!(maker.made.load(Ordering::SeqCst), 2, "what is unchanged is not made again");
    let second = [("host.json", host.as_str()), ("mcpservers.json", SERVERS)];
    let second = deploy(&fixture, other, "billing", &second, Some(made.version)).await;
    replica.in_force(&second.change).await.unwrap();
    assert_eq!(maker.made.load(Ordering::SeqCst), 3);
    let snapshot = replica.snapshot().unwrap();
    assert!(snapshot.app("billing").unwrap().app.server("desk").is_some());
    assert_eq!(snapshot.app("billing").unwrap().version, Some(Version::new(2)));
}

#[tokio::test]
async fn a_deployment_ends_what_it_no_longer_allows() {
    let fixture = super::fixture().await;
    let replica = serve(&fixture, &fixture.store, &Arc::default()).await;
    let host = host("Anonymous");
    let given = [("host.json", host.as_str()), ("mcpservers.json", SERVERS)];
    let deployed = deploy(&fixture, fixture.app, "helpdesk", &given, None).await;
    replica.in_force(&deployed.change).await.unwrap();
    let open = |server: &str| {
        let claim = Claim { server: server.to_owned(), ..fixture.claim(None) };
        replica.open(claim, tokio_util::sync::CancellationToken::new())
    };
    let (gone, stays) = (open("desk"), open("default"));
    assert_eq!((gone.trusted(), stays.trusted()), (Ok(()), Ok(())));
    let given = [("host.json", host.as_str())];
    let deployed = deploy(&fixture, fixture.app, "helpdesk", &given, Some(deployed.version)).await;
    let leave = async {
        gone.cut().await;
        drop(gone);
    };
    let (_, in_force) = tokio::join!(leave, replica.in_force(&deployed.change));
    in_force.unwrap();
    let gone = open("desk");
    assert_eq!(
        replica.snapshot().unwrap().judge(&fixture.claim(None), fixture.clock.now()),
        Ok(())
    );
    let claim = Claim { server: "desk".to_owned(), ..fixture.claim(None) };
    let judged = replica.snapshot().unwrap().judge(&claim, fixture.clock.now());
    assert_eq!(judged, Err(Cut::ServerGone));
    assert_eq!(stays.trusted(), Ok(()));
    drop(gone);
}

#[tokio::test]
async fn a_deployment_that_was_made_from_another_version_is_refused() {
    let fixture = super::fixture().await;
    let host = host("ApiKey");
    let given = [("host.json", host.as_str())];
    let first = deploy(&fixture, fixture.app, "helpdesk", &given, None).await.version;
    deploy(&fixture, fixture.app, "helpdesk", &given, Some(first)).await;
    let before = fixture.regenerate(Slot::Primary).await.revision();
    for (app, name, replaces) in [
        (fixture.app, "helpdesk", None),
        (fixture.app, "helpdesk", Some(first)),
        (new_app(), "helpdesk", Some(Version::new(2))),
        (new_app(), "HelpDesk", None),
        (new_app(), "other", Some(first)),
    ] {
        let refused = fixture.store.deploy(&by(app), &deployment(name, &given, replaces)).await;
        assert!(matches!(refused, Err(Error::Overtaken)), "{name} {replaces:?}");
    }
    let after = fixture.regenerate(Slot::Primary).await.revision();
    assert_eq!(after.get(), before.get() + 1, "what is refused changes nothing");
    assert_eq!(fixture.store.find_app("other").await.unwrap(), None);
    assert_eq!(fixture.store.find_app("oth\0er").await.unwrap(), None);
    assert_eq!(fixture.store.find_app("HELPDESK").await.unwrap(), Some(fixture.app));
}

#[tokio::test]
async fn nothing_of_a_file_can_be_read_in_the_database() {
    const SECRET: &str = "s3cret-of-an-upstream";
    let fixture = super::fixture().await;
    let settings = format!(r#"{{"Values": {{"TOKEN": "{SECRET}"}}}}"#);
    let host = host("ApiKey");
    let given = [("host.json", host.as_str()), ("local.settings.json", settings.as_str())];
    let version = deploy(&fixture, fixture.app, "helpdesk", &given, None).await.version;
    let mut connection = AnyConnection::connect(&fixture.url()).await.unwrap();
    let (sealed, note): (Vec<u8>, String) = sqlx::query_as("SELECT sealed, note FROM deployments")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let (detail, action): (String, String) =
        sqlx::query_as("SELECT detail, action FROM audit_events WHERE subject = '1'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    for text in [String::from_utf8_lossy(&sealed).as_ref(), &note, &detail] {
        assert!(!text.contains(SECRET) && !text.contains("TOKEN"));
    }
    assert_eq!(action, "deployApp");
    assert!(detail.contains(r#""changed":["host.json"]"#), "{detail}");
    let kept = fixture.store.deployed_files(&by(fixture.app), "helpdesk", version).await.unwrap();
    assert_eq!(kept, files(&given));
    // Sealed for one place.
    sqlx::query("UPDATE deployments SET version = 2").execute(&mut connection).await.unwrap();
    let moved = fixture.store.deployed_files(&by(fixture.app), "helpdesk", Version::new(2)).await;
    assert!(matches!(moved, Err(Error::Undeployable { .. })), "{moved:?}");
}

#[tokio::test]
async fn the_newest_versions_are_kept_and_listed() {
    let fixture = super::fixture().await;
    let host = host("ApiKey");
    let given = [("host.json", host.as_str())];
    let mut current = None;
    for _ in 0..KEPT_VERSIONS + 2 {
        let deployed = deploy(&fixture, fixture.app, "helpdesk", &given, current).await;
        current = Some(deployed.version);
    }
    let rows = fixture.store.list_deployments(&reader(fixture.app)).await.unwrap();
    let versions: Vec<i64> = rows.iter().map(|row| row.version.get()).collect();
    assert_eq!(versions, (3..=KEPT_VERSIONS + 2).rev().collect::<Vec<_>>());
    assert_eq!(rows.iter().filter(|row| row.is_current).count(), 1);
    assert!(
        rows[0].is_current && rows[0].deployed_by == "ada" && rows[0].note == note(&["host.json"])
    );
    let gone = fixture.store.deployed_files(&by(fixture.app), "helpdesk", Version::new(2)).await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn an_app_keeps_its_url_until_it_is_given_another() {
    let fixture = super::fixture().await;
    let replica = serve(&fixture, &fixture.store, &Arc::default()).await;
    let host = host("ApiKey");
    let mut next = deployment("helpdesk", &[("host.json", host.as_str())], None);
    let mut urls = Vec::new();
    for url in [Some("https://a.example.com/"), None, Some("https://b.example.com/x")] {
        next.public_url = url.map(|url| url.parse().unwrap());
        let deployed = fixture.store.deploy(&by(fixture.app), &next).await.unwrap();
        next.replaces = Some(deployed.version);
        replica.in_force(&deployed.change).await.unwrap();
        urls.push(replica.snapshot().unwrap().apps()[0].public_url.to_string());
    }
    assert_eq!(
        urls,
        ["https://a.example.com/", "https://a.example.com/", "https://b.example.com/x"]
    );
}

#[tokio::test]
async fn two_apps_that_are_given_one_url_at_once_do_not_both_get_it() {
    let fixture = super::fixture().await;
    let host = host("ApiKey");
    let give = |name: &'static str, url: &str| {
        let mut wanted = deployment(name, &[("host.json", host.as_str())], None);
        wanted.public_url = Some(url.parse().unwrap());
        let store = Arc::clone(&fixture.store);
        async move { store.deploy(&by(new_app()), &wanted).await }
    };
    let (one, other) = tokio::join!(
        give("one", "https://a.example.com/x"),
        give("other", "https://a.example.com/x/")
    );
    assert!(
        matches!((&one, &other), (Ok(_), Err(Error::Overtaken)) | (Err(Error::Overtaken), Ok(_))),
        "{one:?} {other:?}"
    );
}

#[tokio::test]
async fn a_replica_that_cannot_serve_what_is_deployed_does_not_start() {
    let fixture = super::fixture().await;
    let given = [("host.json", r#"{"extensions": {"http": {"routePrefix": "new"}}}"#)];
    deploy(&fixture, fixture.app, "helpdesk", &given, None).await;
    let maker = Arc::new(Maker { refuses: Some("new"), ..Maker::default() });
    let refused = try_to_serve(&fixture, &fixture.store, &maker).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "version 1 of the app helpdesk cannot be served here: not here"
    );
}

#[tokio::test]
async fn an_app_is_not_served_from_a_folder_and_deployed() {
    let fixture = super::fixture().await;
    let host = host("ApiKey");
    let given = [("host.json", host.as_str())];
    let replica = fixture.replica(&given).await;
    let deployed = deploy(&fixture, fixture.app, "helpdesk", &given, None).await;
    // The replica that serves the folder admits nothing from then on, and nobody waits for it for ever.
    replica.in_force(&deployed.change).await.unwrap();
    assert!(replica.snapshot().is_err());
    let clock: Arc<dyn Clock> = Arc::new(fixture.clock.clone());
    let served = store::ServedApp {
        id: fixture.app,
        name: "helpdesk".to_owned(),
        public_url: "http://localhost:7071".parse().unwrap(),
        app: crate::harness::app(&given),
    };
    let refused = Replica::start(Arc::clone(&fixture.store), clock, vec![served]).await;
    assert!(matches!(refused, Err(Error::TwoSources(name)) if name == "helpdesk"));
}

#[tokio::test]
async fn versions_come_back_from_a_backup_with_the_one_that_was_in_force() {
    let fixture = super::fixture().await;
    let (first, second) = (host("ApiKey"), host("OAuth2"));
    for given in [&first, &second] {
        let replaces = fixture.store.list_deployments(&reader(fixture.app)).await.unwrap();
        let replaces = replaces.first().map(|row| row.version);
        deploy(&fixture, fixture.app, "helpdesk", &[("host.json", given)], replaces).await;
    }
    let lines = back_up(&fixture.store).await;
    let blank = super::blank(&fixture).await;
    let after = AccessKeysAfter::Regenerated;
    // The row of the version that is in force is the last one of its table.
    let last = lines.iter().rposition(|line| line.contains("\"note\"")).unwrap() + 2;
    let without = [&lines[..last], &lines[last + 1..lines.len() - 1]].concat();
    let refused = restore(&blank, &sealed(&without), after).await;
    let Err(Error::Backup(fault)) = &refused else { panic!("{refused:?}") };
    assert!(fault.to_string().contains("version 2 of the app \"helpdesk\" is in force"), "{fault}");

    restore(&blank, &bytes(&lines), after).await.unwrap();
    let rows = blank.store.list_deployments(&reader(blank.app)).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.version.get(), row.is_current)).collect();
    assert_eq!(told, [(2, true), (1, false)]);
    for (row, given) in rows.iter().zip([&second, &first]) {
        let files = blank.store.deployed_files(&by(blank.app), "helpdesk", row.version).await;
        assert_eq!(files.unwrap().get("host.json"), Some(given.as_bytes()));
    }
}

#[tokio::test]
async fn a_deployment_into_a_folder_is_recorded_once_and_counts_as_a_change() {
    let fixture = super::fixture().await;
    let before = fixture.regenerate(Slot::Primary).await.revision();
    let note = note(&["host.json"]);
    for _ in 0..2 {
        let recorded = fixture.store.record_deployment(&by(fixture.app), "an-id", &note).await;
        assert_eq!(recorded.unwrap().revision().get(), before.get() + 1);
    }
    let mut connection = AnyConnection::connect(&fixture.url()).await.unwrap();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT caller, detail FROM audit_events WHERE action = 'deployApp'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].0 == "ada" && rows[0].1.contains("host.json"), "{rows:?}");
}
