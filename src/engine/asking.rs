//! What of a request tells whether its user asks again what was asked before.

use std::sync::Arc;

use serde::Deserialize;

use crate::ledger::Asked;
use crate::ledger::recall::{self, exchange};
use crate::providers::{ChatRequest, Text};
use crate::text::again::{LONGEST, nearly_same};
use crate::text::view::{Role, View};

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Conversation<'a> {
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Message<'a> {
    role: Text<'a>,
    content: Text<'a>,
}

/// What the next request of the conversation, or of the session, is held against.
///
/// A turn counts as new only where it is the last message: while tools run, the same turn is sent again and again.
pub(super) fn asked(request: &ChatRequest, answer: Option<u64>, in_session: bool) -> Asked {
    let Ok(read) = serde_json::from_slice::<Conversation<'_>>(request.bytes()) else { return Asked::default() };
    if read.messages.iter().any(|message| message.content.is_list()) {
        let Ok(object) = request.object() else { return Asked::default() };
        let view = View::of_body(object);
        return of_turns(view.turns.iter().map(|turn| (turn.role, turn.text.as_str())), answer, in_session);
    }
    let turns = read.messages.iter().map(|message| {
        (Role::named(message.role.get().unwrap_or_default()), message.content.get().unwrap_or_default())
    });
    of_turns(turns, answer, in_session)
}

fn of_turns<'a>(turns: impl Iterator<Item = (Role, &'a str)>, answer: Option<u64>, in_session: bool) -> Asked {
    let (mut before, mut last, mut said, mut is_new) = (None, None, "", false);
    for (role, text) in turns {
        is_new = role == Role::User;
        match role {
            Role::User => (before, last) = (last.map(|turn| (turn, said)), Some(text)),
            Role::Assistant => said = text,
            Role::System | Role::Tool => {}
        }
    }
    let Some(turn) = last else { return Asked::default() };
    let again = before.filter(|(earlier, _)| is_new && nearly_same(earlier, turn));
    Asked {
        exchange: answer.map(|answer| exchange(turn, answer)),
        again: again.map(|(earlier, answer)| exchange(earlier, recall::answer(answer))),
        turn: (in_session && is_new && turn.len() <= LONGEST).then(|| Arc::from(turn)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TURN: &str = "What is the capital of Australia?";

    fn of(messages: &Value, answer: &str) -> Asked {
        asked(&ChatRequest::new(json!({"messages": messages}).to_string()), Some(recall::answer(answer)), true)
    }

    #[test]
    fn the_next_request_knows_the_exchange_of_this_one() {
        let first =
            of(&json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": TURN}]), "Sydney");
        assert_eq!((first.again, first.turn.as_deref()), (None, Some(TURN)));
        let history = json!([{"role": "user", "content": TURN}, {"role": "assistant", "content": "Sydney "},
                             {"role": "user", "content": "No, what is the capital of Australia?"}]);
        assert_eq!(of(&history, "Canberra").again, first.exchange);
        // In parts, too.
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": TURN}]},
                           {"role": "assistant", "content": "Sydney"}, {"role": "user", "content": TURN}]);
        assert_eq!(of(&parts, "Canberra").again, first.exchange);
        let other = json!([{"role": "user", "content": TURN}, {"role": "assistant", "content": "Sydney"},
                           {"role": "user", "content": "Thanks! And of New Zealand?"}]);
        assert_eq!(of(&other, "").again, None);
    }

    #[test]
    fn a_turn_that_is_sent_again_with_a_tools_result_is_not_asked_again() {
        let call = json!([{"role": "user", "content": TURN}, {"role": "assistant", "content": null, "tool_calls": []},
                          {"role": "tool", "content": "42"}]);
        let asked = of(&call, "Canberra");
        assert_eq!((asked.again, asked.turn.as_deref()), (None, None));
        assert_eq!(asked.exchange, Some(exchange(TURN, recall::answer("Canberra"))));
    }

    #[test]
    fn what_is_no_conversation_says_nothing() {
        for body in ["[]", "{}", r#"{"messages":7}"#, r#"{"messages":[]}"#, "\u{0}"] {
            let asked = asked(&ChatRequest::new(body.to_owned()), Some(7), true);
            assert_eq!((asked.exchange, asked.again, asked.turn), (None, None, None), "{body}");
        }
    }
}
