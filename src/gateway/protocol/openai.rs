//! `OpenAI`'s Chat Completions: the shape inside, so nothing is changed.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;

use super::{Inbound, Protocol, Reply};
use crate::error::{Error, Kind, Result};
use crate::gateway::deciding::Extras;

/// The protocol.
pub struct OpenAi;

#[derive(Deserialize)]
struct Head {
    model: String,
    #[serde(default)]
    stream: Option<bool>,
}

impl Protocol for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn read(&self, body: Bytes) -> Result<Inbound> {
        let head: Head =
            serde_json::from_slice(&body).map_err(|error| Error::value(format!("the request body: {error}")))?;
        let stream = head.stream.unwrap_or(false);
        Ok(Inbound {
            body,
            model: head.model,
            stream,
            extras: Extras::default(),
            explain: false,
            reply: Box::new(Plain),
        })
    }

    fn failure(&self, status: u16, error: &Error) -> Bytes {
        let kind = if status < 500 { "invalid_request_error" } else { "api_error" };
        let code = error.why_denied().map(|denied| denied.code);
        let body = json!({"error": {"message": error.message(), "type": kind, "param": null, "code": code}});
        let mut body = body;
        if error.kind() == Kind::Routing {
            // `RouteLLM`'s own keys, beside what every client of `OpenAI`'s reads.
            body["object"] = "error".into();
            body["message"] = error.message().into();
        }
        body.to_string().into()
    }
}

/// The answer as it is.
struct Plain;

impl Reply for Plain {
    fn whole(&mut self, answer: Bytes) -> Result<Bytes> {
        Ok(answer)
    }

    fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\n\n");
    }

    fn end(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn broken(&mut self, error: &Error, out: &mut BytesMut) {
        let body = OpenAi.failure(error.http_status(), error);
        self.chunk(&body, out);
    }
}
