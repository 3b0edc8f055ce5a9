//! Bodies of the fuzz targets: whatever a caller sends and whatever a model answers, in each of the protocols, it is read or
//! refused, and answered in the caller's shape. Never a panic.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::protocol::anthropic::{self, Anthropic};
use super::protocol::openai::OpenAi;
use super::protocol::responses::Responses;
use super::protocol::{Inbound, Protocol};
use crate::error::{Answer, Error, Kind};

/// What a caller of `OpenAI`'s protocol sends.
///
/// # Panics
/// When something does not hold.
pub fn openai(data: &[u8]) {
    body(&OpenAi, data);
}

/// What a caller of `Anthropic`'s protocol sends.
///
/// # Panics
/// When something does not hold.
pub fn anthropic(data: &[u8]) {
    body(&Anthropic, data);
    let _ = anthropic::count_tokens(data);
}

/// What a caller of Responses sends.
///
/// # Panics
/// When something does not hold.
pub fn responses(data: &[u8]) {
    body(&Responses, data);
}

fn body(protocol: &dyn Protocol, data: &[u8]) {
    let sent = Bytes::copy_from_slice(data);
    match protocol.read(sent.clone()) {
        Ok(Inbound { body, model, mut reply, .. }) => {
            assert!(!model.is_empty() || !matches!(protocol.name(), "openai"), "a model is named");
            // Deeper JSON, and numbers no machine holds, are passed by unread in the protocol that changes nothing.
            if let Ok(read) = serde_json::from_slice::<Value>(&body) {
                assert!(read["messages"].as_array().is_some_and(|list| !list.is_empty()), "there is a message");
                assert!(read.get("ferroute").is_none(), "what is said beside the request does not go on");
            } else {
                assert!(protocol.name() == "openai", "what is written anew is JSON");
            }
            // The same bytes as an answer, whole and in lines: a caller's answers are as odd as his requests.
            let _ = reply.whole(sent.clone());
            let mut out = BytesMut::new();
            for line in data.split(|&byte| byte == b'\n') {
                reply.chunk(line, &mut out);
            }
            reply.end(&mut out);
            reply.broken(&Error::new(Kind::Timeout, "late"), &mut out);
            assert!(out.ends_with(b"\n\n"), "events end with an empty line");
        }
        Err(error) => {
            assert!((400..500).contains(&error.http_status()), "the caller is to blame: {error}");
            told(protocol, &error);
        }
    }
    // And as a provider's error.
    let answer = Answer { status: 500, headers: Vec::new(), body: sent };
    told(protocol, &Error::status("the provider has failed", answer));
}

fn told(protocol: &dyn Protocol, error: &Error) {
    let told: Value = serde_json::from_slice(&protocol.failure(error.http_status(), error)).unwrap_or_default();
    assert!(told["error"]["message"].is_string() && told["error"]["type"].is_string(), "an error is told in its shape");
}
