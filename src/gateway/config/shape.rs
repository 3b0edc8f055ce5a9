//! What a part of the configuration may look like: one description, from which mistakes are found and the published
//! schema is written, so that the two cannot say different things.

/// An address: no password, no query, either of which may be a secret.
pub const ADDRESS: &str = r"^(env:[A-Za-z_][A-Za-z0-9_]*|https?://[^\s?#@]+)$";

/// What may stand at a place.
#[derive(Debug)]
pub enum Shape {
    /// Whatever it is; others know.
    Any,
    /// A text that is not empty.
    Text,
    /// A text that is never shown: a secret, or where to find one.
    Secret,
    /// True or false.
    Flag,
    /// `on` or `off`; true and false mean the same.
    Switch,
    /// A whole number within bounds.
    Whole(u64, u64),
    /// A number within bounds.
    Number(f64, f64),
    /// Seconds above 0, or nothing: no limit.
    Seconds,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A text that the expression matches, and what that is in words.
    Form(&'static str, &'static str),
    /// A text as [`Shape::Form`], or a number from 0 to 1.
    Share(&'static str, &'static str),
    /// The address of a server, or `env:NAME`.
    Address,
    /// A list; what an item is in words, and whether there has to be one.
    List(&'static Shape, &'static str, bool),
    /// A mapping from names that are free to choose; what it is in words, and how many there have to be.
    Names(&'static Shape, &'static str, usize),
    /// A mapping with known keys.
    Fields(&'static Fields),
    /// One of several, told apart by their kind (text, number, list, mapping); what that is in words.
    Either(&'static [Shape], &'static str),
    /// The shape, or nothing.
    OrNothing(&'static Shape),
}

/// A mapping with known keys.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the names of the file and the wire")]
pub struct Fields {
    /// What it is, in words.
    pub what: &'static str,
    /// Its keys.
    pub fields: &'static [Field],
    /// Whether others are let pass: the file is of another program, too.
    pub open: bool,
}

/// A key.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether it has to be there.
    pub needed: bool,
    /// One or two sentences, for the schema and the table in the documentation.
    pub doc: &'static str,
}

impl Field {
    /// A key that may be left out.
    pub const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, shape, needed: false, doc }
    }

    /// A key that has to be there.
    pub const fn needed(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, shape, needed: true, doc }
    }
}

impl Shape {
    /// What is expected, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Secret => "a text, such as env:NAME or file:/run/secrets/name".to_owned(),
            Self::Address => "a URL such as https://host/v1, without password and query, or env:NAME".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Switch => "on or off".to_owned(),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Number(least, most) if *most == f64::MAX => format!("a number of at least {least}"),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Seconds => "a number of seconds above 0, or null for no limit".to_owned(),
            Self::OneOf(words) => match words {
                [one] => (*one).to_owned(),
                [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
                [] => String::new(),
            },
            Self::Form(_, words) | Self::Share(_, words) | Self::Either(_, words) | Self::Names(_, words, _) => {
                (*words).to_owned()
            }
            Self::List(_, words, _) => format!("a list of {words}"),
            Self::Fields(fields) => fields.what.to_owned(),
            Self::OrNothing(shape) => shape.words(),
        }
    }
}
