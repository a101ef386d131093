use std::borrow::Cow;
use std::sync::Arc;

use keys::Timestamp;
use percent_encoding::percent_decode_str;
use store::{AppState, Snapshot};

use super::query::Query;
use super::{OPERATIONS, Operation};
use crate::Settings;
use crate::error::{Error, Result};

/// Where every operation stands, under either base.
const MANAGEMENT: [&str; 5] = ["runtime", "webhooks", "workflow", "api", "management"];

/// The operations that stand at the site itself as well, where the portal calls them.
const AT_SITE: [&str; 1] = ["deployWorkflowArtifacts"];

/// What a path says.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) operation: &'static Operation,
    site: Option<Site>,
}

/// What a path of Azure Resource Manager says besides.
#[derive(Debug)]
struct Site {
    subscription: String,
    resource_group: String,
    app: String,
}

/// Reads a path. Its fixed segments and the operation compare without regard to case, after percent
/// decoding; nothing else is normalised, neither doubled slashes nor dots.
pub(super) fn parse(path: &str) -> Option<Address> {
    let segments: Vec<Cow<'_, str>> = path
        .strip_prefix('/')?
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8().ok())
        .collect::<Option<_>>()?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let (site, rest) = match segments.as_slice() {
        [a, subscription, b, resource_group, c, d, e, app, rest @ ..]
            if same(
                &[a, b, c, d, e],
                &["subscriptions", "resourceGroups", "providers", "Microsoft.Web", "sites"],
            ) =>
        {
            let site = Site {
                subscription: (*subscription).to_owned(),
                resource_group: (*resource_group).to_owned(),
                app: (*app).to_owned(),
            };
            (Some(site), rest)
        }
        rest => (None, rest),
    };
    let (name, under) = rest.split_last()?;
    let operation = OPERATIONS.iter().find(|one| one.name.eq_ignore_ascii_case(name))?;
    let is_there = match (&site, under) {
        (Some(_), []) => AT_SITE.contains(&operation.name),
        (Some(_), [host, under @ ..]) => {
            host.eq_ignore_ascii_case("hostruntime") && same(under, &MANAGEMENT)
        }
        (None, under) => same(under, &MANAGEMENT),
    };
    is_there.then_some(Address { operation, site })
}

fn same(segments: &[&str], expected: &[&str]) -> bool {
    segments.len() == expected.len()
        && segments.iter().zip(expected).all(|(one, other)| one.eq_ignore_ascii_case(other))
}

impl Address {
    /// Finds the app, after everything else that the path and the query say of where it is.
    pub(super) fn app(
        &self,
        query: &Query,
        settings: &Settings,
        snapshot: &Snapshot,
    ) -> Result<Arc<AppState>> {
        match &self.site {
            Some(_) => app_by_name(self.site_app(query, settings)?, snapshot),
            None => app_by_query(query, snapshot),
        }
    }

    /// Gives the name of the app, which may not be there.
    pub(super) fn app_name(
        &self,
        query: &Query,
        settings: &Settings,
        snapshot: &Snapshot,
    ) -> Result<String> {
        match (&self.site, query.one("app")?) {
            (Some(_), _) => self.site_app(query, settings).map(str::to_owned),
            (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => app_by_query(query, snapshot).map(|app| app.name.clone()),
        }
    }

    /// Checks the app that is named, if one is.
    pub(super) fn check_app(
        &self,
        query: &Query,
        settings: &Settings,
        snapshot: &Snapshot,
    ) -> Result<()> {
        if self.site.is_none() && query.one("app")?.is_none() {
            return Ok(());
        }
        self.app(query, settings, snapshot).map(drop)
    }

    fn site_app(&self, query: &Query, settings: &Settings) -> Result<&str> {
        let Some(site) = &self.site else { return Err(Error::AppNotFound(String::new())) };
        check_api_version(query)?;
        if !accepts(settings.subscription.as_deref(), &site.subscription) {
            return Err(Error::SubscriptionNotFound(site.subscription.clone()));
        }
        if !accepts(settings.resource_group.as_deref(), &site.resource_group) {
            return Err(Error::ResourceGroupNotFound(site.resource_group.clone()));
        }
        Ok(&site.app)
    }
}

fn accepts(configured: Option<&str>, given: &str) -> bool {
    configured.is_none_or(|configured| configured.eq_ignore_ascii_case(given))
}

fn app_by_name(name: &str, snapshot: &Snapshot) -> Result<Arc<AppState>> {
    snapshot.app(name).cloned().ok_or_else(|| Error::AppNotFound(name.to_owned()))
}

fn app_by_query(query: &Query, snapshot: &Snapshot) -> Result<Arc<AppState>> {
    match (query.one("app")?, snapshot.apps()) {
        (Some(name), _) => app_by_name(name, snapshot),
        (None, [only]) => Ok(Arc::clone(only)),
        (None, []) => Err(Error::AppNotFound(String::new())),
        (None, apps) => Err(Error::AppNotNamed(apps.iter().map(|app| app.name.clone()).collect())),
    }
}

/// Any date will do: clients send the version that they were written against.
fn check_api_version(query: &Query) -> Result<()> {
    let given = query.one("api-version")?.unwrap_or_default();
    if given.is_empty() {
        return Err(Error::MissingApiVersion);
    }
    let date = match given.split_at_checked(10) {
        Some((date, rest)) if rest.is_empty() || rest.eq_ignore_ascii_case("-preview") => date,
        _ => return Err(Error::InvalidApiVersion(given.to_owned())),
    };
    Timestamp::parse_rfc3339(&format!("{date}T00:00:00Z"))
        .map(drop)
        .map_err(|_| Error::InvalidApiVersion(given.to_owned()))
}
