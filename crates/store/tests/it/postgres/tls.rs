//! TLS to the database, as `sslmode` says.

use std::path::Path;
use std::sync::Arc;

use keys::{ManualClock, MasterKey, SysRng};
use pg_harness::{Cluster, Database};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use store::{DatabaseAddress, PostgresSettings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::harness::{START, connect};

/// A server that does TLS as PostgreSQL does, as `localhost`, in front of one that has only a socket.
struct Front {
    port: u16,
    dir: TempDir,
}

impl Front {
    async fn of(database: &Database<'static>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = database.socket();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move {
                    // The request for TLS: its length and a number that no version has.
                    let mut request = [0; 8];
                    client.read_exact(&mut request).await?;
                    assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
                    client.write_all(b"S").await?;
                    let mut client = acceptor.accept(client).await?;
                    let mut server = UnixStream::connect(socket).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { port, dir }
    }

    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).display().to_string()
    }
}

async fn connects(database: &Database<'static>, at: &str, more: &str) -> Result<(), String> {
    let own = database.url();
    let (name, _) = own.trim_start_matches("postgres:///").split_once('?').unwrap();
    let url = format!("postgres://keyward@{at}/{name}?{more}");
    open(&url).await
}

async fn open(url: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let master = MasterKey::generate(&mut SysRng).unwrap().expose().to_owned();
    let settings = PostgresSettings::new(DatabaseAddress::parse(url).unwrap());
    let path: &Path = dir.path();
    match connect(&settings, path, &master, &ManualClock::at(START)).await {
        Ok(store) => {
            store.close().await;
            Ok(())
        }
        Err(error) => Err(format!("{error:?}")),
    }
}

#[tokio::test]
async fn a_server_must_prove_who_it_is_exactly_where_the_mode_says_so() {
    let database = Cluster::shared().database();
    let front = Front::of(&database).await;
    let (by_name, by_number) =
        (format!("localhost:{}", front.port), format!("127.0.0.1:{}", front.port));
    let authority = format!("&sslrootcert={}", front.path("ca.pem"));
    for mode in ["prefer", "require"] {
        connects(&database, &by_number, &format!("sslmode={mode}")).await.unwrap();
    }
    // Nothing said is prefer.
    connects(&database, &by_name, "").await.unwrap();
    let full = format!("sslmode=verify-full{authority}");
    connects(&database, &by_name, &full).await.unwrap();
    assert!(connects(&database, &by_number, &full).await.is_err(), "another name");
    connects(&database, &by_number, &format!("sslmode=verify-ca{authority}")).await.unwrap();
    for mode in ["verify-ca", "verify-full"] {
        let unknown = connects(&database, &by_name, &format!("sslmode={mode}")).await;
        assert!(unknown.is_err(), "an authority that nobody knows, {mode}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_the_mode_needs_it() {
    let database = Cluster::shared().database();
    open(&format!("{}&sslmode=prefer", database.url())).await.unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let refused = open(&format!("{}&sslmode={mode}", database.url())).await.unwrap_err();
        assert!(refused.contains("does not support TLS"), "{mode}: {refused}");
    }
}
