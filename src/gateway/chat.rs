//! One completion over HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use http_body_util::BodyExt;

use super::app::Gateway;
use super::deciding::{Asked, Decided};
use super::failure;
use super::protocol::openai::OpenAi;
use super::protocol::{Inbound, Protocol};
use crate::engine::call;
use crate::engine::plan::Plan;
use crate::error::{Error, Kind, Result};
use crate::providers::ChatRequest;

pub(super) async fn openai(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    answer(&gateway, &OpenAi, request).await
}

async fn answer(gateway: &Gateway, protocol: &dyn Protocol, request: Request<Body>) -> Response<Body> {
    match completed(gateway, protocol, request).await {
        Ok(response) => response,
        Err(error) => failure::response(protocol, &error),
    }
}

async fn completed(gateway: &Gateway, protocol: &dyn Protocol, request: Request<Body>) -> Result<Response<Body>> {
    let body = request.into_body().collect().await.map_err(|_| Error::value("the body could not be read"))?;
    let Inbound { body, model, extras, mut reply, .. } = protocol.read(body.to_bytes())?;
    let setup = gateway.setup();
    let request = Arc::new(ChatRequest::new(body));
    let meant = setup.models.meant(&model).to_owned();
    let decided = match setup.models.find(&meant) {
        Some(target) => Decided::by_name(Arc::clone(target), model),
        None if meant.starts_with("router") => {
            let asked = Asked { model: meant, request: Arc::clone(&request), extras: extras.clone() };
            setup.deciding.decide(&asked).await?
        }
        None => return Err(Error::new(Kind::Name, format!("there is no model {meant:?}"))),
    };
    let plan = Plan { routed: decided.routed(&extras), ..decided.target.plan.clone() };
    let answered = call::chat(gateway.http(), plan, request).await?;
    let body: Bytes = reply.whole(answered.answer.body)?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
