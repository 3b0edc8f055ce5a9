//! A model as policies see it, and what names it.

/// A model that a decision may go to.
#[derive(Debug, Clone, Copy)]
pub struct Rung<'a> {
    /// Its name, as the ledger and the caller know it.
    pub model: &'a str,
    /// The rung's name.
    pub tier: Option<&'a str>,
    /// Whether it can serve the request, and the router's word allows it.
    pub open: bool,
}

impl Rung<'_> {
    /// Whether a rule means it, by the name of the model or of the rung.
    pub(super) fn is(&self, name: &str) -> bool {
        is_model(name, self.model) || self.tier == Some(name)
    }
}

/// Whether an entry is this model; one without a provider stands for the model of any.
pub(super) fn is_model(entry: &str, model: &str) -> bool {
    entry == model || !entry.contains('/') && model.rsplit('/').next() == Some(entry)
}
