//! What conditions ask about a request, each found out when it is first asked for and only once.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::words::Words;
use crate::error::Result;
use crate::routers::task;
use crate::text::language;
use crate::text::view::{Role, View};

/// Which text words and patterns are looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The user's last message.
    #[default]
    Last,
    /// All of the user's messages.
    User,
    /// All messages.
    Conversation,
}

impl Scope {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Last, Self::User, Self::Conversation];
    /// Their names, likewise.
    pub const NAMES: [&str; 3] = ["last", "user", "conversation"];

    /// The scope of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|index| Self::ALL[index])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// The kind of task of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Its name; `None` where nobody says and the guess is unsure.
    pub name: Option<&'static str>,
    /// The caller said so.
    pub given: bool,
}

/// A request, as conditions see it.
pub struct Facts<'a> {
    view: &'a View,
    words: &'a [Words; 3],
    texts: [OnceCell<Cow<'a, str>>; 3],
    found: [OnceCell<Vec<Option<&'a str>>>; 3],
    tokens: OnceCell<u64>,
    task: OnceCell<Task>,
    language: OnceCell<Option<&'static str>>,
}

impl<'a> Facts<'a> {
    /// Nothing is found out yet.
    pub fn new(view: &'a View, words: &'a [Words; 3]) -> Self {
        Self {
            view,
            words,
            texts: Default::default(),
            found: Default::default(),
            tokens: OnceCell::new(),
            task: OnceCell::new(),
            language: OnceCell::new(),
        }
    }

    /// The request.
    pub fn view(&self) -> &'a View {
        self.view
    }

    /// The text of a scope.
    pub fn text(&self, scope: Scope) -> &str {
        self.texts[scope as usize].get_or_init(|| text(self.view, scope))
    }

    /// The phrase of a list of words that is in its text, if one is.
    pub fn word(&self, scope: Scope, list: usize) -> Option<&'a str> {
        let words = &self.words[scope as usize];
        let found = self.found[scope as usize].get_or_init(|| words.find(self.text(scope)));
        found.get(list).copied().flatten()
    }

    /// Tokens of the prompt, as an estimate.
    pub fn prompt_tokens(&self) -> u64 {
        *self.tokens.get_or_init(|| self.view.prompt_tokens())
    }

    /// The task the caller gives, else the guess.
    pub fn task(&self) -> Result<Task> {
        if let Some(task) = self.task.get() {
            return Ok(*task);
        }
        let task = match given(self.view) {
            Given::Task(name) => Task { name, given: true },
            Given::Nothing | Given::Unknown(_) => {
                let guess = task::guess(self.text(Scope::Last))?;
                Task { name: guess.map(|guess| guess.task), given: false }
            }
        };
        Ok(*self.task.get_or_init(|| task))
    }

    /// The task, where it costs nothing to say.
    pub fn known_task(&self) -> Option<&'static str> {
        match self.task.get() {
            Some(task) => task.name,
            None => match given(self.view) {
                Given::Task(name) => name,
                Given::Nothing | Given::Unknown(_) => None,
            },
        }
    }

    /// The caller's task, if nobody knows it.
    pub fn unknown_task(&self) -> Option<&'a str> {
        match given(self.view) {
            Given::Unknown(name) => Some(name),
            _ => None,
        }
    }

    /// The language of the user's last message, where it is sure.
    pub fn language(&self) -> Option<&'static str> {
        *self.language.get_or_init(|| language::language(self.text(Scope::Last)))
    }
}

/// What the caller says of the task.
enum Given<'a> {
    Nothing,
    /// A known one, or `none`.
    Task(Option<&'static str>),
    Unknown(&'a str),
}

fn given(view: &View) -> Given<'_> {
    match view.task.as_deref().map(str::trim) {
        None | Some("") => Given::Nothing,
        Some("none") => Given::Task(None),
        Some(name) => task::canonical(name).map_or(Given::Unknown(name), |name| Given::Task(Some(name))),
    }
}

fn text(view: &View, scope: Scope) -> Cow<'_, str> {
    let of_user = |role: Role| role == Role::User;
    match scope {
        Scope::Last => {
            let last = view.turns.iter().rev().find(|turn| of_user(turn.role));
            Cow::Borrowed(last.map_or_else(|| view.text(), |turn| &turn.text))
        }
        Scope::User | Scope::Conversation => {
            let all = scope == Scope::Conversation;
            let mut texts = view.turns.iter().filter(|turn| all || of_user(turn.role)).map(|turn| turn.text.as_str());
            match (texts.next(), texts.next()) {
                (None, _) => Cow::Borrowed(""),
                (Some(only), None) => Cow::Borrowed(only),
                (Some(first), Some(second)) => {
                    let mut joined = format!("{first}\n{second}");
                    for text in texts {
                        joined.push('\n');
                        joined.push_str(text);
                    }
                    Cow::Owned(joined)
                }
            }
        }
    }
}
