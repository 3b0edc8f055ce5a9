//! The names that traces use, in one place: those of the OpenTelemetry semantic conventions, version 1.37.0, and our own
//! beside them. `gen_ai.*` is still in development there: when it changes, this file does, and [`SCHEMA`] says which one
//! holds.

/// Tells a collector which version the names are of.
pub const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// `chat`, `embeddings`.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Who was called, by [`provider`]'s names.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The model that was chosen.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Tokens of the prompt, those from a cache included.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the answer, hidden reasoning included.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// The caller's session.
pub const CONVERSATION: &str = "gen_ai.conversation.id";

/// `POST`.
pub const METHOD: &str = "http.request.method";
/// The path's pattern.
pub const ROUTE: &str = "http.route";
/// Status of our answer.
pub const STATUS: &str = "http.response.status_code";
/// The kind of failure.
pub const ERROR: &str = "error.type";
/// Host of the provider.
pub const ADDRESS: &str = "server.address";

/// Our id of the request.
pub const REQUEST_ID: &str = "ferroute.request.id";
/// `openai`, `anthropic`, `responses`.
pub const PROTOCOL: &str = "ferroute.protocol";
/// Public id of the caller's key.
pub const KEY: &str = "ferroute.key.id";
/// The caller's team.
pub const TEAM: &str = "ferroute.team";
/// The router that chose.
pub const ROUTER: &str = "ferroute.router";
/// Its win rate.
pub const WIN_RATE: &str = "ferroute.win_rate";
/// The threshold it was held against.
pub const THRESHOLD: &str = "ferroute.threshold";
/// The rung.
pub const TIER: &str = "ferroute.tier";
/// Sent to the strong model by lot.
pub const HOLDOUT: &str = "ferroute.holdout";
/// US dollars.
pub const COST: &str = "ferroute.cost_usd";
/// US dollars saved against the baseline, estimated.
pub const SAVED: &str = "ferroute.saved_usd";
/// Requests sent.
pub const ATTEMPTS: &str = "ferroute.attempts";
/// Seconds until the first content.
pub const FIRST_CONTENT: &str = "ferroute.first_content_s";
/// The caller left before the end.
pub const CANCELLED: &str = "ferroute.cancelled";
/// Seconds that we added.
pub const OVERHEAD: &str = "ferroute.overhead_s";

/// What the conventions call a provider that has another name with us.
pub fn provider(ours: &str) -> &str {
    match ours {
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "gemini" | "google" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}
