//! What is paid for: the tokens of one answer, and the class of service they were made in.

use rust_decimal::Decimal;

/// Tokens of one answer, in `OpenAI`'s counting: cached and written tokens are parts of the prompt's, reasoning a part
/// of the completion's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The whole prompt.
    pub prompt_tokens: u64,
    /// The whole completion, hidden reasoning included.
    pub completion_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Prompt tokens written to the provider's cache, for any time.
    pub cache_write_tokens: u64,
    /// The part of [`cache_write_tokens`](Self::cache_write_tokens) that is kept for an hour, which costs more.
    pub cache_write_1h_tokens: u64,
    /// Completion tokens spent on hidden reasoning.
    pub reasoning_tokens: u64,
    /// Prompt tokens that are sound.
    pub prompt_audio_tokens: u64,
    /// Completion tokens that are sound.
    pub completion_audio_tokens: u64,
    /// The class of service the provider says it used.
    pub tier: ServiceTier,
    /// US dollars, where the provider itself says what the call cost (`usage.cost`): goes before any table.
    pub billed: Option<Decimal>,
}

impl Usage {
    /// More tokens than this are no count of an answer; sums of smaller ones stay within 64 bits.
    pub const MOST: u64 = (1 << 53) - 1;

    /// The same with no part larger than its whole, whatever a server told: else the parts would be paid for beside it.
    #[must_use]
    pub fn bounded(self) -> Self {
        let cached = self.cached_tokens.min(self.prompt_tokens);
        let written = self.cache_write_tokens.min(self.prompt_tokens - cached);
        Self {
            cached_tokens: cached,
            cache_write_tokens: written,
            cache_write_1h_tokens: self.cache_write_1h_tokens.min(written),
            reasoning_tokens: self.reasoning_tokens.min(self.completion_tokens),
            prompt_audio_tokens: self.prompt_audio_tokens.min(self.prompt_tokens),
            completion_audio_tokens: self.completion_audio_tokens.min(self.completion_tokens),
            ..self
        }
    }
}

/// The class of service, which some providers price apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ServiceTier {
    /// Ordinary calls (`default`, `standard`, `auto`; `scale` too).
    #[default]
    Standard,
    /// Asynchronous batches.
    Batch,
    /// Cheaper and slower.
    Flex,
    /// Dearer and served first (`priority`).
    Priority,
    /// Dearer and quicker (`OpenAI`'s service tier and `Anthropic`'s speed `fast`).
    Fast,
}

impl ServiceTier {
    /// The class a request or an answer names; an unknown one is `None`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            // Scale and reserved capacity are paid for in advance; what a token of it costs is in no table.
            "auto" | "default" | "standard" | "standard_only" | "on_demand" | "scale" => Self::Standard,
            "batch" => Self::Batch,
            "flex" => Self::Flex,
            "priority" => Self::Priority,
            "fast" => Self::Fast,
            _ => return None,
        })
    }

    /// Its name, as the price table and [`named`](Self::named) spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "default",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
        }
    }
}
