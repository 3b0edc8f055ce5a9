//! Who the providers are: prefix, base URL, key variables. Data only; [`super::prefix`] reads it.
//!
//! Spellings follow what `LiteLLM` accepts, since `RouteLLM` users pass such names through. State: 2026-11-24.

use super::Dialect;

/// How far this version goes with a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Called in its [`Provider::dialect`].
    Spoken,
    /// Its own dialect is not built; says what to do instead.
    Later(&'static str),
    /// The public service no longer exists.
    Closed,
}

/// One provider.
#[derive(Debug)]
pub struct Provider {
    /// Prefixes before the first `/`; the first one is its name.
    pub names: &'static [&'static str],
    /// Base URL; `None` when only the caller can know it.
    pub base: Option<&'static str>,
    /// The protocol it speaks.
    pub dialect: Dialect,
    /// Variables that may hold the key, in the order they are tried.
    pub keys: &'static [&'static str],
    /// Variables that may hold a token in place of a key, sent as `Authorization: Bearer`.
    pub tokens: &'static [&'static str],
    /// Variables that may hold another base URL, in order.
    pub bases: &'static [&'static str],
    /// Whether it answers without a key (local servers).
    pub keyless: bool,
    /// Put before a model id that has no slash.
    pub id_prefix: &'static str,
    /// How far this version goes.
    pub support: Support,
    /// Bare model names that start so belong to it.
    pub bare: &'static [&'static str],
}

const PLAIN: Provider = Provider {
    names: &[],
    base: None,
    dialect: Dialect::OpenAi,
    keys: &[],
    tokens: &[],
    bases: &[],
    keyless: false,
    id_prefix: "",
    support: Support::Spoken,
    bare: &[],
};

const fn hosted(
    names: &'static [&'static str],
    base: &'static str,
    keys: &'static [&'static str],
    bases: &'static [&'static str],
) -> Provider {
    Provider { names, base: Some(base), keys, bases, ..PLAIN }
}

const fn own_server(
    names: &'static [&'static str],
    keys: &'static [&'static str],
    bases: &'static [&'static str],
) -> Provider {
    Provider { names, keys, bases, keyless: true, ..PLAIN }
}

/// `OpenAI` itself, and what a name without a known prefix at an `api_base` is taken for: its key is sent there, as
/// the `openai` client does and `RouteLLM` users with a proxy rely on; its organization and project are not.
pub const OPENAI: &Provider = &PROVIDERS[0];

/// Every provider; `openai` first.
pub const PROVIDERS: &[Provider] = &[
    Provider {
        bare: &["gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-", "ft:"],
        ..hosted(&["openai"], "https://api.openai.com/v1", &["OPENAI_API_KEY"], &["OPENAI_BASE_URL", "OPENAI_API_BASE"])
    },
    Provider {
        dialect: Dialect::Anthropic,
        tokens: &["ANTHROPIC_AUTH_TOKEN"],
        bare: &["claude-"],
        ..hosted(
            &["anthropic"],
            "https://api.anthropic.com",
            &["ANTHROPIC_API_KEY"],
            &["ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"],
        )
    },
    Provider {
        dialect: Dialect::Gemini,
        bare: &["gemini-"],
        ..hosted(
            &["gemini"],
            "https://generativelanguage.googleapis.com",
            &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            &["GEMINI_API_BASE"],
        )
    },
    Provider {
        names: &["vertex_ai"],
        support: Support::Later(
            "Google's tokens are not fetched by this version: use `gemini/` with a key of Google AI Studio, an \
             OpenAI-compatible gateway through `api_base`, or `backend=\"litellm\"`",
        ),
        ..PLAIN
    },
    Provider {
        names: &["bedrock"],
        support: Support::Later(
            "AWS signatures and its binary streams are not spoken by this version: use the maker's own service \
             (`anthropic/`), an OpenAI-compatible gateway through `api_base`, or `backend=\"litellm\"`",
        ),
        ..PLAIN
    },
    Provider {
        names: &["azure"],
        dialect: Dialect::Azure,
        keys: &["AZURE_API_KEY", "AZURE_OPENAI_API_KEY"],
        tokens: &["AZURE_AD_TOKEN"],
        bases: &["AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"],
        ..PLAIN
    },
    Provider {
        names: &["azure_ai"],
        dialect: Dialect::Azure,
        keys: &["AZURE_AI_API_KEY"],
        tokens: &["AZURE_AD_TOKEN"],
        bases: &["AZURE_AI_API_BASE"],
        ..PLAIN
    },
    Provider {
        bare: &["command-"],
        ..hosted(
            &["cohere", "cohere_chat"],
            "https://api.cohere.com/compatibility/v1",
            &["COHERE_API_KEY", "CO_API_KEY"],
            &[],
        )
    },
    Provider {
        keyless: true,
        ..hosted(
            &["ollama", "ollama_chat"],
            "http://localhost:11434/v1",
            &["OLLAMA_API_KEY"],
            &["OLLAMA_API_BASE", "OLLAMA_HOST"],
        )
    },
    hosted(&["groq"], "https://api.groq.com/openai/v1", &["GROQ_API_KEY"], &["GROQ_API_BASE"]),
    hosted(
        &["together_ai", "together"],
        "https://api.together.ai/v1",
        &["TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_TOKEN"],
        &["TOGETHER_AI_API_BASE"],
    ),
    Provider {
        bare: &["mistral-", "codestral-", "ministral-", "magistral-", "devstral-"],
        ..hosted(&["mistral"], "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"], &["MISTRAL_API_BASE"])
    },
    hosted(&["codestral"], "https://codestral.mistral.ai/v1", &["CODESTRAL_API_KEY"], &[]),
    Provider {
        bare: &["deepseek-"],
        ..hosted(&["deepseek"], "https://api.deepseek.com/v1", &["DEEPSEEK_API_KEY"], &["DEEPSEEK_API_BASE"])
    },
    Provider { bare: &["grok-"], ..hosted(&["xai"], "https://api.x.ai/v1", &["XAI_API_KEY"], &["XAI_API_BASE"]) },
    Provider {
        id_prefix: "accounts/fireworks/models/",
        ..hosted(
            &["fireworks_ai"],
            "https://api.fireworks.ai/inference/v1",
            &["FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"],
            &["FIREWORKS_API_BASE"],
        )
    },
    hosted(
        &["openrouter"],
        "https://openrouter.ai/api/v1",
        &["OPENROUTER_API_KEY", "OR_API_KEY"],
        &["OPENROUTER_API_BASE"],
    ),
    Provider {
        bare: &["sonar"],
        ..hosted(
            &["perplexity"],
            "https://api.perplexity.ai",
            &["PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"],
            &["PERPLEXITY_API_BASE"],
        )
    },
    hosted(&["cerebras"], "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"], &["CEREBRAS_API_BASE"]),
    hosted(&["deepinfra"], "https://api.deepinfra.com/v1/openai", &["DEEPINFRA_API_KEY"], &[]),
    own_server(&["hosted_vllm"], &["HOSTED_VLLM_API_KEY"], &["HOSTED_VLLM_API_BASE"]),
    own_server(&["lm_studio"], &["LM_STUDIO_API_KEY"], &["LM_STUDIO_API_BASE"]),
    Provider { keyless: true, ..hosted(&["llamafile"], "http://127.0.0.1:8080/v1", &[], &["LLAMAFILE_API_BASE"]) },
    hosted(&["nvidia_nim"], "https://integrate.api.nvidia.com/v1", &["NVIDIA_NIM_API_KEY"], &[]),
    hosted(&["sambanova"], "https://api.sambanova.ai/v1", &["SAMBANOVA_API_KEY"], &[]),
    hosted(&["baseten"], "https://inference.baseten.co/v1", &["BASETEN_API_KEY"], &[]),
    hosted(&["moonshot"], "https://api.moonshot.ai/v1", &["MOONSHOT_API_KEY"], &[]),
    hosted(&["dashscope"], "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", &["DASHSCOPE_API_KEY"], &[]),
    hosted(&["zai"], "https://api.z.ai/api/paas/v4", &["ZAI_API_KEY"], &[]),
    hosted(&["minimax"], "https://api.minimax.io/v1", &["MINIMAX_API_KEY"], &[]),
    hosted(&["meta"], "https://api.meta.ai/v1", &["META_API_KEY"], &[]),
    hosted(&["meta_llama"], "https://api.llama.com/compat/v1", &["LLAMA_API_KEY"], &[]),
    hosted(&["novita"], "https://api.novita.ai/v3/openai", &["NOVITA_API_KEY"], &[]),
    hosted(&["nebius"], "https://api.studio.nebius.ai/v1", &["NEBIUS_API_KEY"], &[]),
    hosted(&["hyperbolic"], "https://api.hyperbolic.xyz/v1", &["HYPERBOLIC_API_KEY"], &[]),
    hosted(&["huggingface"], "https://router.huggingface.co/v1", &["HF_TOKEN", "HUGGINGFACE_API_KEY"], &[]),
    hosted(&["github"], "https://models.inference.ai.azure.com", &["GITHUB_API_KEY"], &[]),
    hosted(&["vercel_ai_gateway"], "https://ai-gateway.vercel.sh/v1", &["VERCEL_AI_GATEWAY_API_KEY"], &[]),
    own_server(&["litellm_proxy"], &["LITELLM_PROXY_API_KEY"], &["LITELLM_PROXY_API_BASE"]),
    Provider {
        support: Support::Closed,
        ..hosted(&["anyscale"], "https://api.endpoints.anyscale.com/v1", &["ANYSCALE_API_KEY"], &["ANYSCALE_API_BASE"])
    },
    own_server(&["custom_openai", "openai_like"], &[], &[]),
];
