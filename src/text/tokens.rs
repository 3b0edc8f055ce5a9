//! Tokens of what nobody has counted: four characters each, which is about right for English and code.

/// Characters of a token.
const CHARS: usize = 4;
/// What providers add around a message.
pub const PER_MESSAGE: u64 = 4;
/// An image of ordinary size, as `OpenAI` counts one in high detail.
pub const PER_IMAGE: u64 = 765;

/// Tokens of a text of so many characters.
pub fn of_chars(chars: usize) -> u64 {
    chars.div_ceil(CHARS) as u64
}
