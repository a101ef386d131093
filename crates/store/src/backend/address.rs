use std::fmt;

use sqlx::any::AnyConnectOptions;
use url::Url;

use crate::{Error, Result};

/// What an address may say besides user, host, port and database; the driver would only log the rest.
const PARAMETERS: [&str; 9] =
    ["host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert", "sslcert", "sslkey"];

/// What a password is called among the parameters, where it is never taken and always hidden.
const PASSWORD: &str = "password";

/// How the connection may be secured. The driver takes `allow` for `disable`, so it is none of them.
const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// Where a PostgreSQL database is reached, and as whom. It shows no password.
#[derive(Clone)]
pub struct DatabaseAddress(Url);

impl DatabaseAddress {
    /// Reads `postgres://USER@HOST:PORT/DATABASE?sslmode=…`, with a password or without.
    ///
    /// # Errors
    /// A text that says what is wrong, and repeats nothing that could be a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| {
            format!(
                "is no URL: {error}; expected postgres://USER@HOST/DATABASE, with %23 for a # in a \
                 password, %2F for a / and %40 for an @; or, for a Unix socket, \
                 postgres:///DATABASE?user=USER&host=/run/postgresql"
            )
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("is for no database that Keyward knows: expected postgres://".to_owned());
        }
        if !text.contains("://") {
            return Err(
                "has no // after its scheme: expected postgres://USER@HOST/DATABASE".to_owned()
            );
        }
        for (name, value) in url.query_pairs() {
            if name == "user" && value.contains(':') {
                return Err("has a colon in its user: a password does not belong there, but after the \
                            user, as in postgres://USER:PASSWORD@HOST/DATABASE, or into a file of its own"
                    .to_owned());
            }
            if name == PASSWORD {
                return Err(
                    "has the password among its parameters: write it after the user, as in \
                            postgres://USER:PASSWORD@HOST/DATABASE, or into a file of its own"
                        .to_owned(),
                );
            }
            if !PARAMETERS.contains(&&*name) {
                let name = name.escape_debug();
                let all = PARAMETERS.join(", ");
                return Err(format!("has the parameter {name}; expected one of {all}"));
            }
            if name == "sslmode" && !SSL_MODES.contains(&&*value) {
                return Err(format!(
                    "has no sslmode that is known: expected one of {}",
                    SSL_MODES.join(", ")
                ));
            }
        }
        if url.fragment().is_some() {
            return Err("has a #: write %23 where it belongs to the password".to_owned());
        }
        let address = Self(url);
        // The driver has the last word: a certificate's file is read only when it connects.
        address.options().map_err(|error| error.to_string())?;
        Ok(address)
    }

    /// Whether it has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.password().is_some() || self.0.query_pairs().any(|(name, _)| name == PASSWORD)
    }

    /// The same address with this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        // An address without a host has no place for one.
        if self.0.set_password(Some(password)).is_err() {
            self.0.query_pairs_mut().append_pair(PASSWORD, password);
        }
        self
    }

    /// Whether the server proves who it is before anything is told to it, or is on this machine.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        let value = |name: &str| {
            self.0.query_pairs().find(|(one, _)| one == name).map(|(_, value)| value.into_owned())
        };
        if value("sslmode").is_some_and(|mode| mode == "verify-full" || mode == "verify-ca") {
            return true;
        }
        let in_url = self.0.host_str().filter(|host| !host.is_empty()).map(str::to_owned);
        let host = value("hostaddr").or_else(|| value("host")).or(in_url);
        host.is_none_or(|host| {
            let host = host.trim_matches(['[', ']']);
            host.starts_with('/')
                || host.to_ascii_lowercase().starts_with("%2f")
                || host == "localhost"
                || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }

    /// The whole address, for the driver alone.
    pub(super) fn expose(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn options(&self) -> Result<AnyConnectOptions> {
        sqlx::any::install_default_drivers();
        let mut url = self.0.clone();
        // A name for who looks at the server's list of sessions.
        url.query_pairs_mut().append_pair("application_name", "keyward");
        // Checked here as the driver would when it connects; its words have no password in them.
        url.as_str()
            .parse::<sqlx::postgres::PgConnectOptions>()
            .map_err(|error| Error::Address(error.to_string()))?;
        url.as_str().parse().map_err(|error: sqlx::Error| Error::Address(error.to_string()))
    }
}

/// The address without its password.
impl fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: &str = "REDACTED";
        let mut url = self.0.clone();
        if url.password().is_some() {
            // A URL that has a password has a place for one.
            url.set_password(Some(SHOWN)).unwrap_or_default();
        }
        if url.query_pairs().any(|(name, _)| name == PASSWORD) {
            let shown =
                |(name, value)| if name == PASSWORD { (name, SHOWN.into()) } else { (name, value) };
            url.query_pairs_mut().clear().extend_pairs(self.0.query_pairs().map(shown));
        }
        url.fmt(f)
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_text_of_an_address() {
        let with = DatabaseAddress::parse("postgres://ada:s3cret@db.example.com/keyward").unwrap();
        let given = DatabaseAddress::parse("postgres://ada@db.example.com/keyward").unwrap();
        let given = given.with_password("s3cret/#?@");
        let without_host =
            DatabaseAddress::parse("postgres:///keyward?user=ada&host=db.example.com").unwrap();
        let without_host = without_host.with_password("s3cret&=#");
        for address in [with, given, without_host] {
            assert!(address.has_password());
            for text in [address.to_string(), format!("{address:?}")] {
                assert!(!text.contains("s3cret") && text.contains("ada"), "{text}");
            }
            let settings = super::super::PostgresSettings::new(address);
            assert!(!format!("{settings:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_what_could_be_secret() {
        for (text, words) in [
            ("s3cret", "is no URL"),
            ("postgres://ada:s3cret@db:99999/x", "is no URL"),
            ("mysql://ada:s3cret@db/x", "expected postgres://"),
            ("postgres://ada@db/x?password=s3cret", "among its parameters"),
            ("postgres://ada@db/x?pasword=s3cret", "the parameter pasword"),
            ("postgres:/ada:s3cret@db/x", "no // after"),
            ("postgres:///x?user=ada:s3cret", "a colon in its user"),
            ("postgres://ada:s3cret@db/x?sslmode=allow", "no sslmode that is known"),
            ("postgres://ada:half#s3cret@db/x", "%23"),
            ("postgres://ada@/x?host=/run/postgresql", "///DATABASE?user=USER&host=/run/"),
        ] {
            let why = DatabaseAddress::parse(text).unwrap_err();
            assert!(why.contains(words) && !why.contains("s3cret"), "{text}: {why}");
        }
    }

    #[test]
    fn only_a_server_that_is_near_or_proves_who_it_is_is_trusted() {
        for (text, is) in [
            ("postgres:///keyward?user=ada&host=/run/postgresql", true),
            ("postgres://ada@%2Fvar%2Frun%2Fpostgresql/keyward", true),
            ("postgres://ada@localhost/keyward", true),
            ("postgres://ada@[::1]/keyward", true),
            ("postgres://ada@127.0.0.1:5433/keyward", true),
            ("postgres://ada@db.example.com/keyward", false),
            ("postgres://ada@db.example.com/keyward?sslmode=require", false),
            ("postgres://ada@db.example.com/keyward?sslmode=verify-full", true),
            ("postgres://ada@localhost/keyward?host=db.example.com", false),
        ] {
            assert_eq!(DatabaseAddress::parse(text).unwrap().is_trusted(), is, "{text}");
        }
    }
}
