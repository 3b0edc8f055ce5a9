//! What a router says that names a rung instead of a win rate: rules, semantic routes, a classifier, users' own.

/// A router's word on one request. Names are the router's own; the ladder knows which rung they mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// The rung it goes to.
    pub rung: Option<String>,
    /// The model it goes to, which need not be on the ladder; goes before `rung`.
    pub model: Option<String>,
    /// No rung below this one.
    pub floor: Option<String>,
    /// No rung above this one.
    pub ceiling: Option<String>,
    /// With neither rung nor model: the router that is asked then, as in a model string, `router-local-0.3,0.7`.
    pub ask: Option<String>,
    /// What the request was taken for: a task, a route, a classifier's label.
    pub label: Option<String>,
    /// One sentence.
    pub reason: String,
    /// Names of the rules that fired, in their order.
    pub fired: Vec<String>,
    /// What was weighed, best first: routes with their similarities, labels with their probabilities.
    pub scores: Vec<(String, f64)>,
    /// What else the caller should know.
    pub notes: Vec<String>,
}
