use std::sync::Arc;

use axum::response::Response;

use super::call::Call;
use super::rendering::{self, ServerListJson, ServerUrlJson};
use super::wanted::{PROPERTIES, wanted};
use crate::Manage;
use crate::error::Result;
use crate::ops::Purpose;

pub(super) async fn list_mcp_server_url(manage: Arc<Manage>, mut call: Call) -> Result<Response> {
    let purpose = purpose(&call)?;
    let wanted = wanted(call.members(PROPERTIES).await?.as_ref())?;
    let url = manage.server_url(&purpose, &call.app, wanted).await?;
    rendering::json(&ServerUrlJson::from(&url))
}

pub(super) async fn list_mcp_servers(manage: Arc<Manage>, mut call: Call) -> Result<Response> {
    let purpose = purpose(&call)?;
    let wanted = wanted(call.members(PROPERTIES).await?.as_ref())?;
    let list = manage.servers(&purpose, &call.app, wanted).await?;
    rendering::json(&ServerListJson::from(&list))
}

fn purpose(call: &Call) -> Result<Purpose> {
    Ok(match call.query.flag("getApikey")? {
        false => Purpose::Look(call.require()?),
        true => Purpose::Issue(call.require()?),
    })
}
