//! The configuration, described: every key there is. [`super::check`] finds mistakes with it, [`super::schema`] publishes it.

use super::shape::{Field, Fields, Shape};
use crate::policy::notation::{BUDGET, BUDGET_WORDS, PERCENT, PERCENT_WORDS, RATE, RATE_WORDS};

const MOST_SECONDS: f64 = 86_400.0;

/// The whole file.
pub const TOP: Fields = Fields {
    what: "a mapping: the configuration of the server",
    open: false,
    fields: &[
        Field::new("host", Shape::Text, "Address to listen on. Default 127.0.0.1: this machine only."),
        Field::new("port", Shape::Whole(0, 65_535), "Port to listen on. Default 6060; 0 takes a free one."),
        Field::new(
            "tiers",
            Shape::Names(&MODEL, "two or more names with a model each, weakest first", 2),
            "The models that routers choose between, weakest first.",
        ),
        Field::new("strong_model", MODEL, "In place of `tiers`: the model for the hard prompts."),
        Field::new("weak_model", MODEL, "In place of `tiers`: the model for all others."),
        Field::new(
            "models",
            Shape::List(&NAMED_MODEL, "models", false),
            "Further models, which are asked for by name and never chosen by a router.",
        ),
        Field::new(
            "model_list",
            Shape::List(&Shape::Fields(&DEPLOYMENT), "deployments, as in LiteLLM's configuration", false),
            "Models as LiteLLM's proxy has them. What has no counterpart here is told of and left out.",
        ),
        Field::new("litellm_settings", Shape::Any, "LiteLLM's; told of and left out."),
        Field::new("router_settings", Shape::Any, "LiteLLM's; told of and left out."),
        Field::new("general_settings", Shape::Any, "LiteLLM's; told of and left out."),
        Field::new("environment_variables", Shape::Any, "LiteLLM's; told of and left out."),
        Field::new(
            "aliases",
            Shape::Names(&Shape::Text, "names and what they stand for", 0),
            "Other names of models and of router strings: `fast: router-local-0.7`.",
        ),
        Field::new(
            "routers",
            Shape::Names(
                &Shape::OrNothing(&Shape::Names(&Shape::Any, "arguments of the router", 0)),
                "names of routers with their arguments",
                0,
            ),
            "Routers to load, with their arguments, as in RouteLLM's configuration. Default: local and random.",
        ),
        Field::new(
            "imports",
            Shape::List(&Shape::Text, "names of Python modules", false),
            "Python modules that are imported first: those that enter routers of your own in ROUTER_CLS.",
        ),
        Field::new("calls", Shape::Fields(&CALLS), "How calls behave: the fields of a CallPolicy."),
        Field::new(
            "holdout",
            Shape::Share(PERCENT, PERCENT_WORDS),
            "Share of routed requests that go to the strongest model by lot, so that the saving is measured.",
        ),
        Field::new(
            "ledger",
            Shape::Secret,
            "Where calls are entered: a file (`ferroute.db`, `sqlite:...`) or `postgresql://...`, also as env:NAME or \
             file:PATH; `memory` keeps sums and the last 10,000 calls only. Default: ferroute.db beside this file.",
        ),
        Field::new(
            "store",
            Shape::OneOf(&["none", "features", "text"]),
            "What the ledger keeps of prompts: nothing, numbers that describe them, or their text. Default: features.",
        ),
        Field::new("keys", Shape::Fields(&KEYS), "Virtual keys of callers."),
        Field::new(
            "policies",
            Shape::List(&Shape::Fields(&POLICY), "policies", false),
            "Limits for keys, teams, models, or everybody together.",
        ),
        Field::new("server", Shape::Fields(&SERVER), "Limits of the server itself, and what browsers may do."),
        Field::new("telemetry", Shape::Fields(&TELEMETRY), "Metrics, traces and logs. None of them holds a prompt."),
    ],
};

const MODEL_WORDS: &str = "a model's name, or a mapping with `model`";

/// A model.
pub const MODEL: Shape = Shape::Either(&[Shape::Text, Shape::Fields(&ENDPOINT)], MODEL_WORDS);
const NAMED_MODEL: Shape = Shape::Either(&[Shape::Text, Shape::Fields(&NAMED_ENDPOINT)], MODEL_WORDS);

const fn at_model(index: usize) -> Field {
    match index {
        0 => Field::needed("model", Shape::Text, "The provider's name of it, such as openai/gpt-5.5."),
        1 => Field::new("api_base", Shape::Address, "Base URL, where it is not the provider's own."),
        2 => Field::new(
            "api_key",
            Shape::Secret,
            "Key: env:NAME or file:PATH, which keep it out of this file. Default: the provider's own variable.",
        ),
        3 => Field::new("api_version", Shape::Text, "Version of the protocol, for Azure and Anthropic."),
        4 => Field::new("base_model", Shape::Text, "The model behind a name that says nothing, for its price."),
        5 => Field::new("organization", Shape::Text, "OpenAI's organization."),
        6 => Field::new("extra_headers", Shape::Names(&Shape::Secret, "names and texts", 0), "Headers to add."),
        _ => Field::new("extra_query", Shape::Names(&Shape::Secret, "names and texts", 0), "Parameters of the URL."),
    }
}

const ENDPOINT: Fields = Fields {
    what: "a mapping with `model`",
    open: false,
    fields: &[at_model(0), at_model(1), at_model(2), at_model(3), at_model(4), at_model(5), at_model(6), at_model(7)],
};

const NAMED_ENDPOINT: Fields = Fields {
    what: "a mapping with `model`",
    open: false,
    fields: &[
        Field::new("name", Shape::Text, "What callers ask for. Default: the model's own name."),
        at_model(0),
        at_model(1),
        at_model(2),
        at_model(3),
        at_model(4),
        at_model(5),
        at_model(6),
        at_model(7),
    ],
};

/// An entry of `LiteLLM`'s list; what else may be there is looked at in [`super::litellm`].
const DEPLOYMENT: Fields = Fields {
    what: "a mapping with `model_name` and `litellm_params`",
    open: true,
    fields: &[
        Field::needed("model_name", Shape::Text, "What callers ask for; several of one name stand in for each other."),
        Field::needed(
            "litellm_params",
            Shape::Names(&Shape::Any, "a mapping with `model`", 0),
            "model, api_base, api_key, api_version, organization, rpm and tpm are taken over.",
        ),
        Field::new("model_info", Shape::Any, "`base_model` is taken over."),
    ],
};

const CALLS: Fields = Fields {
    what: "a mapping of how calls behave",
    open: false,
    fields: &[
        Field::new("connect_timeout", Shape::Seconds, "Until a connection stands. Default 5."),
        Field::new("first_byte_timeout", Shape::Seconds, "Until the first byte of an answer. Default 600."),
        Field::new("between_chunks_timeout", Shape::Seconds, "The longest silence of a stream. Default 600."),
        Field::new("timeout", Shape::Seconds, "One attempt in all, of what is not streamed. Default 600."),
        Field::new("deadline", Shape::Seconds, "All attempts and fallbacks together. Default: none."),
        Field::new("max_retries", Shape::Whole(0, 100), "How often a failed attempt is repeated. Default 2."),
        Field::new("retries", Shape::Whole(0, 100), "The same under the name that CallPolicy has."),
        Field::new(
            "fallbacks",
            Shape::Either(
                &[
                    Shape::Text,
                    Shape::List(&MODEL, "models", false),
                    Shape::Names(&Shape::List(&MODEL, "models", false), "models with a list for each", 0),
                ],
                "a list of models, or a mapping from a model to such a list",
            ),
            "What is asked when a model has failed for good; a mapping has a list for each model, `*` for all others.",
        ),
        Field::new("failures_before_cooldown", Shape::Whole(1, 1000), "Failures in a row until it rests. Default 3."),
        Field::new("cooldown", Shape::Number(0.0, MOST_SECONDS), "How long it rests, in seconds. Default 30."),
        Field::new("hedge", Shape::Flag, "A second request where the first is slow to begin. Default: false."),
        Field::new(
            "on_router_error",
            Shape::Text,
            "When a router fails: raise, a rung (weak, strong or its name), or another router. Default: raise.",
        ),
        Field::new("strict", Shape::Flag, "Parameters that a model does not take are errors. Default: false."),
        Field::new("view", Shape::OneOf(&["last", "first", "user_turns"]), "What is routed on. Default: last."),
        Field::new("join_short_turns", Shape::Flag, "Scores \"go on\" with the turns before it. Default: false."),
        Field::new("sticky", Shape::Flag, "A conversation stays on its model while its cache pays. Default: false."),
        Field::new("max_latency_ms", Shape::Number(1.0, 86_400_000.0), "Slower models are skipped. Default: none."),
        Field::new(
            "escalate_on",
            Shape::List(
                &Shape::OneOf(&[
                    "empty",
                    "refusal",
                    "truncated",
                    "invalid_json",
                    "invalid_schema",
                    "bad_tool_arguments",
                ]),
                "signs",
                false,
            ),
            "Signs of a failed answer at which the next rung is asked.",
        ),
    ],
};

const KEYS: Fields = Fields {
    what: "a mapping with `required` and `admin`",
    open: false,
    fields: &[
        Field::new("required", Shape::Flag, "Whether callers need a key (`ferroute keys create`). Default: false."),
        Field::new(
            "admin",
            Shape::Secret,
            "The key for everything under /admin and for the page: env:NAME, file:PATH.",
        ),
    ],
};

const POLICY: Fields = Fields {
    what: "a mapping of whom it is for and what holds for them",
    open: false,
    fields: &[
        Field::new("key", Shape::Text, "Whom it is for: a key's id or name."),
        Field::new("team", Shape::Text, "Whom it is for: a team, all its keys together."),
        Field::new("model", Shape::Text, "Calls of this model alone count: its name, or that of its tier."),
        Field::new("budget", Shape::Form(BUDGET, BUDGET_WORDS), "Dollars a day or month, by UTC's calendar: 5/day."),
        Field::new("share", Shape::Fields(&SHARE), "At most this part of any 1,000 decisions goes to a model."),
        Field::new("requests", Shape::Form(RATE, RATE_WORDS), "Requests a second, minute, hour or day."),
        Field::new("tokens", Shape::Form(RATE, RATE_WORDS), "Tokens of prompts and answers, likewise."),
        Field::new("concurrency", Shape::Whole(1, 1_000_000), "Requests at the same time."),
        Field::new(
            "models",
            Shape::List(&Shape::Text, "names of models, tiers, aliases and routers (router-local)", true),
            "What may be asked for, and nothing else. A router's name stands for all its thresholds.",
        ),
        Field::new(
            "at_limit",
            Shape::OneOf(&["refuse", "downgrade"]),
            "Refuse (429), or go to the next weaker rung within its limits. Default: refuse.",
        ),
        Field::new(
            "clamp",
            Shape::Switch,
            "Off: a request without an output limit is refused under a budget, instead of being given one.",
        ),
    ],
};

const SHARE: Fields = Fields {
    what: "a mapping with `model` and `most`",
    open: false,
    fields: &[
        Field::needed("model", Shape::Text, "The model that is capped: its name, or that of its tier."),
        Field::needed("most", Shape::Share(PERCENT, PERCENT_WORDS), "At most this share: 20%, or 0.2."),
    ],
};

const SERVER: Fields = Fields {
    what: "a mapping of the server's limits",
    open: false,
    fields: &[
        Field::new(
            "cors",
            Shape::List(
                &Shape::Form(r"^(\*|https?://[^/\s]+)$", "an origin, such as https://app.example"),
                "origins, such as https://app.example",
                false,
            ),
            "Web pages that may call it from a browser. Default: none.",
        ),
        Field::new("max_body_mb", Shape::Number(0.001, 1024.0), "The longest body, in MB. Default 20."),
        Field::new("max_connections", Shape::Whole(1, 1_000_000), "Connections at the same time. Default 1024."),
        Field::new("header_timeout_s", Shape::Number(0.1, MOST_SECONDS), "For a request's head. Default 10."),
        Field::new("body_timeout_s", Shape::Number(0.1, MOST_SECONDS), "For its body. Default 60."),
        Field::new("idle_timeout_s", Shape::Number(0.1, MOST_SECONDS), "For a connection at rest. Default 75."),
        Field::new("write_timeout_s", Shape::Number(0.1, MOST_SECONDS), "For a caller who does not read. Default 60."),
        Field::new("drain_s", Shape::Number(0.0, MOST_SECONDS), "For what runs when it is told to stop. Default 30."),
        Field::new(
            "hosts",
            Shape::List(&Shape::Text, "host names", false),
            "Names it may be called by without a key, beside localhost.",
        ),
        Field::new("workers", Shape::Whole(0, 1024), "Threads that serve; 0, the default: one for each core."),
        Field::new("page", Shape::Flag, "Serves the page /ui. Default: true."),
        Field::new(
            "allow_public_without_key",
            Shape::Flag,
            "Listens on other addresses than this machine's though no key is required. Default: false.",
        ),
    ],
};

const TELEMETRY: Fields = Fields {
    what: "a mapping with `metrics`, `otlp` and `logs`",
    open: false,
    fields: &[
        Field::new("metrics", Shape::Flag, "Serves /metrics for Prometheus. Default: true."),
        Field::new("otlp", Shape::Address, "Where OpenTelemetry traces are sent, over HTTP."),
        Field::new("otlp_headers", Shape::Names(&Shape::Secret, "names and texts", 0), "Headers to send with them."),
        Field::new("sample", Shape::Share(PERCENT, PERCENT_WORDS), "Part of the traces that is sent. Default: all."),
        Field::new("logs", Shape::OneOf(&["text", "json", "off"]), "Lines on standard error. Default: text."),
    ],
};
