//! Keys over HTTP, for who has the admin key: `POST /admin/keys` makes one, `GET` lists them, `DELETE /admin/keys/{id}` ends one at
//! once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::body;
use super::protocol::openai::OpenAi;
use super::refusing::refuse;
use super::state::Gateway;
use crate::error::{Denied, Error, Kind, Result};
use crate::policy::Keys;
use crate::policy::keys::{NewKey, Shown};

/// `POST /admin/keys`.
pub(super) async fn create(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let work = async {
        let (head, sent) = request.into_parts();
        let keys = keys(&gateway, &head.headers)?;
        let sent = body::whole(&head.headers, sent, &gateway.setup().server).await?;
        let new = NewKey::read(&sent)?;
        let (secret, shown) = blocking(move || keys.create(new)).await?;
        audit(&gateway, "key_created", &shown);
        let mut object = object(&shown);
        // The one time that it is seen.
        object.insert("key".to_owned(), secret.into());
        Ok(answer(StatusCode::CREATED, &Value::Object(object)))
    };
    told(work.await)
}

/// `GET /admin/keys`.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response<Body> {
    let work = async {
        let keys = keys(&gateway, &headers)?;
        let all = blocking(move || keys.list()).await?;
        let data: Vec<Value> = all.iter().map(|shown| Value::Object(object(shown))).collect();
        Ok(answer(StatusCode::OK, &json!({"object": "list", "data": data})))
    };
    told(work.await)
}

/// `GET /admin/keys/{id}`.
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let work = async {
        let keys = keys(&gateway, &headers)?;
        let shown = blocking(move || keys.show(&id)).await?;
        Ok(answer(StatusCode::OK, &Value::Object(object(&shown))))
    };
    told(work.await)
}

/// `DELETE /admin/keys/{id}`.
pub(super) async fn revoke(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let work = async {
        let keys = keys(&gateway, &headers)?;
        let shown = blocking(move || keys.revoke(&id)).await?;
        audit(&gateway, "key_revoked", &shown);
        Ok(answer(StatusCode::OK, &Value::Object(object(&shown))))
    };
    told(work.await)
}

/// The keys, for who may change them.
fn keys(gateway: &Gateway, headers: &HeaderMap) -> Result<Arc<Keys>> {
    let setup = gateway.setup();
    setup.auth.admin(headers)?;
    let keys = setup.auth.keys().cloned();
    keys.ok_or_else(|| Error::new(Kind::Unsupported, "this server keeps no keys: say `keys: {required: true}`"))
}

/// A line of the log on what has become of a key: which one and whose it is, never its secret.
fn audit(gateway: &Gateway, event: &str, shown: &Shown) {
    if let Some(seeing) = gateway.seeing() {
        seeing.audit(event, &shown.id, &shown.name, shown.team.as_deref());
    }
}

/// Off the server's threads, since the database is waited for.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::new(Kind::Io, "the keys could not be asked")))
}

fn object(shown: &Shown) -> Map<String, Value> {
    let mut object = match serde_json::to_value(shown) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    object.insert("object".to_owned(), "key".into());
    object
}

fn answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn told(result: Result<Response<Body>>) -> Response<Body> {
    result.unwrap_or_else(|error| {
        let error = match error.kind() {
            Kind::Name => {
                let unknown = Denied { status: 404, code: "key_not_found", retry_after: None };
                Error::denied(error.why_denied().cloned().unwrap_or(unknown), error.message())
            }
            _ => error,
        };
        refuse(&OpenAi, &error)
    })
}
