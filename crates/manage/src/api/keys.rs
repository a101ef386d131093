use std::sync::Arc;

use axum::response::Response;
use keys::permission::{Owner, Reader};

use super::body::invalid;
use super::call::Call;
use super::rendering::{self, AccessKeyJson, ApiKeyJson, Empty, ListJson};
use super::wanted;
use crate::error::{Error, Quoted, Result, holds_secret};
use crate::{Manage, limits};

pub(super) async fn regenerate_mcp_server_access_key(
    manage: Arc<Manage>,
    mut call: Call,
) -> Result<Response> {
    let by = call.require::<Owner>()?;
    let members = call.members(&["keyType"]).await?;
    let slot = wanted::slot(required(members.as_ref(), "keyType", "primary or secondary")?)?;
    manage.regenerate(by, slot).await?;
    rendering::json(&Empty {})
}

pub(super) async fn revoke_mcp_api_key(manage: Arc<Manage>, mut call: Call) -> Result<Response> {
    let by = call.require::<Owner>()?;
    let members = call.members(&["id"]).await?;
    let given = required(members.as_ref(), "id", "the id of an API key")?;
    let id = given.parse().map_err(|_| invalid(no_id(given)))?;
    manage.revoke(by, &call.require::<Reader>()?, id).await?;
    rendering::json(&Empty {})
}

pub(super) async fn list_mcp_access_keys(manage: Arc<Manage>, mut call: Call) -> Result<Response> {
    let by = call.require::<Reader>()?;
    call.members(&[]).await?;
    let rows = manage.access_keys(&by).await?;
    rendering::json(&ListJson::all(rows.iter().map(AccessKeyJson::from)))
}

pub(super) async fn list_mcp_api_keys(manage: Arc<Manage>, mut call: Call) -> Result<Response> {
    let by = call.require::<Reader>()?;
    let rows = call.query.parsed("top", "a number from 1 to 1000", |text| {
        text.parse().ok().filter(|rows| (1..=limits::MAX_PAGE_ROWS).contains(rows))
    })?;
    let after =
        call.query.parsed("skipToken", "what a nextLink has there", |text| text.parse().ok())?;
    call.members(&[]).await?;
    let page = manage.api_keys(&by, after, rows.unwrap_or(limits::PAGE_ROWS)).await?;
    let next = page.next.and_then(|next| next_link(&call, &next.to_string()));
    rendering::json(&ListJson::page(page.rows.iter().map(ApiKeyJson::from), next))
}

fn next_link(call: &Call, next: &str) -> Option<String> {
    let mut url = call.url.clone()?;
    url.set_query(Some(&call.query.with("$skipToken", next)));
    Some(url.into())
}

fn required<'a>(
    members: Option<&'a super::body::Members>,
    name: &str,
    expected: &str,
) -> Result<&'a str> {
    let value = members.map(|members| members.string(name)).transpose()?.flatten();
    value.ok_or_else(|| {
        let missing = format!("The body must be a JSON object with {name}: {expected}.");
        Error::InvalidRequestContent(missing)
    })
}

fn no_id(given: &str) -> String {
    if holds_secret(given) {
        return "id holds the secret itself: give the key's id, which listMcpApiKeys lists and \
                `keyward key inspect` reads from a key."
            .to_owned();
    }
    format!(
        "id is {}: expected the id of an API key, a UUID with hyphens; or CHILD_ID or \
         KEY_ID/CHILD_ID, 32 hexadecimal digits, for one that was narrowed.",
        Quoted(given)
    )
}
