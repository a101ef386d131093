use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use keys::permission::Owner;

use super::call::Call;
use crate::Manage;
use crate::error::Result;

pub(super) async fn back_up_store(manage: Arc<Manage>, mut call: Call<()>) -> Result<Response> {
    call.require_of_all::<Owner>()?;
    call.members(&[]).await?;
    let mut response = Response::new(Body::from_stream(manage.back_up(call.caller).await?));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(response)
}
