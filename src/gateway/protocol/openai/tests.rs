use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::{Answer, Denied};

fn read(body: &str) -> Result<Inbound> {
    OpenAi.read(Bytes::copy_from_slice(body.as_bytes()))
}

fn refused(body: &str) -> (String, Option<String>) {
    let Err(error) = read(body) else { panic!("{body} was not refused") };
    assert_eq!(error.http_status(), 400);
    (error.message().to_owned(), failing::param(&error).map(str::to_owned))
}

const GOOD: &str = r#"{"model":"router-local-0.5","messages":[{"role":"user","content":"hi"}],"x":[1.50,{"y":null}]}"#;

#[test]
fn the_bytes_go_on_as_they_are() {
    let inbound = read(GOOD).unwrap();
    assert_eq!(inbound.body, GOOD);
    assert_eq!((inbound.model.as_str(), inbound.stream, inbound.explain), ("router-local-0.5", false, false));
    let twice = r#"{"model":"a","model":"b","messages":[{"role":"user"}],"stream":true}"#;
    // Readers after us may take the first one, or the last.
    assert!(read(twice).is_err());
}

#[test]
fn the_reserved_object_and_nulls_are_taken_out() {
    let body = r#"{"model":"m", "stop": null,"messages":[{"role":"user","content":null}],"ferroute":{"session":"s","explain":true},"n":1}"#;
    let inbound = read(body).unwrap();
    assert_eq!(inbound.body, r#"{"model":"m","messages":[{"role":"user","content":null}],"n":1}"#);
    assert_eq!((inbound.extras.session.as_deref(), inbound.explain), (Some("s"), true));
    assert!(!read(r#"{"model":"m","messages":[{"role":"u"}],"stream":null}"#).unwrap().stream);
    // An escaped name is the same name.
    let hidden = r#"{"model":"m","messages":[{"role":"u"}],"ferrout\u0065":{"tags":["t"]}}"#;
    let inbound = read(hidden).unwrap();
    assert_eq!(inbound.extras.tags.len(), 1);
    assert!(!String::from_utf8_lossy(&inbound.body).contains("tags"));
}

#[test]
fn half_characters_are_no_reason_to_refuse() {
    let inbound = read(r#"{"model":"m","messages":[{"role":"user","content":"cut \ud83e"}]}"#).unwrap();
    let body: Value = serde_json::from_slice(&inbound.body).unwrap();
    assert_eq!(body["messages"][0]["content"], "cut \u{fffd}");
}

#[test]
fn what_is_wrong_is_told_by_its_name() {
    for (body, named) in [
        (r#"{"messages":[{"role":"user"}]}"#, Some("model")),
        (r#"{"model":null,"messages":[{"role":"user"}]}"#, Some("model")),
        (r#"{"model":["m"],"messages":[{"role":"user"}]}"#, Some("model")),
        (r#"{"model":"","messages":[{"role":"user"}]}"#, Some("model")),
        (r#"{"model":"m"}"#, Some("messages")),
        (r#"{"model":"m","messages":"secret"}"#, Some("messages")),
        (r#"{"model":"m","messages":[]}"#, Some("messages")),
        (r#"{"model":"m","messages":{"role":"user"}}"#, Some("messages")),
        (r#"{"model":"m","messages":null}"#, Some("messages")),
        (r#"{"model":"m","messages":[{"role":"user"},"secret"]}"#, Some("messages[1]")),
        (r#"{"model":"m","messages":[{"content":"hi"}]}"#, Some("messages[0]")),
        (r#"{"model":"m","messages":[{"role":3}]}"#, Some("messages[0]")),
        (r#"{"model":"m","messages":[[]]}"#, Some("messages[0]")),
        (r#"{"model":"m","messages":[{"role":"user"}],"stream":"yes"}"#, Some("stream")),
        (r#"{"model":"m","messages":[{"role":"user"}],"ferroute":{"x":1}}"#, Some("ferroute")),
        ("", None),
        ("[]", None),
        (r#""a secret prompt""#, None),
        (r#"{"model":"m","messages":[{"role":"user"}]"#, None),
        (r#"{"model":"m","messages":[{"role":"user"}],"t":tru}"#, None),
        (r#"{"model":"m","messages":[{"role":"user"}]} {}"#, None),
    ] {
        let (message, param) = refused(body);
        assert_eq!(param.as_deref(), named, "{body}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    assert!(OpenAi.read(Bytes::from_static(b"{\"model\":\"m\xff\"}")).is_err());
}

fn failure(error: &Error) -> Value {
    serde_json::from_slice(&OpenAi.failure(error.http_status(), error)).unwrap()
}

#[test]
fn errors_are_told_as_openai_tells_them() {
    let named = failure(&bad("messages", "no"));
    assert_eq!(
        named,
        json!({"error": {"message": "no", "param": "messages", "code": null, "type": "invalid_request_error"}})
    );
    let routing = failure(&Error::new(Kind::Routing, "Invalid router x."));
    assert_eq!((&routing["object"], &routing["message"]), (&json!("error"), &json!("Invalid router x.")));
    assert_eq!(routing["error"]["type"], "invalid_request_error");
    let denied =
        |status, code| failure(&Error::denied(Denied { status, code, retry_after: None }, "no"))["error"].clone();
    assert_eq!(denied(429, "budget_exceeded")["type"], "insufficient_quota");
    assert_eq!(
        (&denied(429, "rate_limit_exceeded")["type"], &denied(401, "invalid_api_key")["code"]),
        (&json!("rate_limit_error"), &json!("invalid_api_key"))
    );
    let inside = failure(&Error::new(Kind::Io, "/home/someone/prices.json is gone"));
    assert!(!inside.to_string().contains("someone"), "what is wrong inside is for the log");
}

#[test]
fn a_provider_is_heard() {
    let upstream = |body: &str| {
        let answer = Answer { status: 404, headers: Vec::new(), body: Bytes::copy_from_slice(body.as_bytes()) };
        failure(&Error::status("openai answered with status 404: gone", answer))["error"].clone()
    };
    let own = upstream(r#"{"error":{"message":"no such model","type":"t","param":"model","code":"model_not_found"}}"#);
    assert_eq!(own, json!({"message": "no such model", "type": "t", "param": "model", "code": "model_not_found"}));
    let other = upstream(r#"{"type":"error","error":{"type":"not_found_error","message":"no such model"}}"#);
    assert_eq!(other, json!({"type": "not_found_error", "message": "no such model", "param": null, "code": null}));
    for body in ["", "<html>", r#"{"error":"gone"}"#, r#"{"error":{"code":1}}"#, "[]"] {
        assert_eq!(upstream(body)["message"], "openai answered with status 404: gone", "{body}");
    }
}

#[test]
fn streams_have_openais_framing() {
    let mut out = BytesMut::new();
    Plain.chunk(b"{}", &mut out);
    Plain.broken(&Error::new(Kind::Timeout, "too late"), &mut out);
    Plain.end(&mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let lines: Vec<&str> = text.split("\n\n").collect();
    assert_eq!((lines[0], lines[2]), ("data: {}", "data: [DONE]"));
    let broken: Value = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(broken["error"]["code"], "provider_timeout");
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(text in "[\\[{\":,a-e0-9.\\\\}\\] -]{0,60}") {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"x":{text}}}"#);
        let fine = serde_json::from_str::<Value>(&body).is_ok();
        if let Ok(inbound) = read(&body) {
            let read: Value = serde_json::from_slice(&inbound.body).unwrap_or_default();
            prop_assert!(read.is_object() || !fine, "{body}");
        } else {
            prop_assert!(!fine, "{body}");
        }
    }
}
