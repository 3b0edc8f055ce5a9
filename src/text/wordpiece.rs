//! BERT's uncased `WordPiece`, with the ids of the `tokenizers` crate for every string.
//!
//! ASCII takes one pass over the bytes and allocates nothing. A stretch between two ASCII blanks that holds anything
//! else goes through the normaliser: control characters out, CJK ideographs apart, NFD, accents off, lower case.
//! Cutting there is exact, since a blank ends a word and no normalisation step looks across it.
//! No special tokens are added, and none is recognised in the text.

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

use super::vocabulary::{PieceHash, Vocabulary};

/// Words with more characters than this are unknown as a whole, as in BERT.
const MAX_WORD_CHARS: usize = 100;
const MAX_WORD_BYTES: usize = 4 * MAX_WORD_CHARS;

/// What to do with a byte: below [`FIRST_LETTER`] one of these codes, otherwise the byte to add to the word.
const DROP: u8 = 0;
const BLANK: u8 = 1;
const PUNCTUATION: u8 = 2;
const OTHER: u8 = 3;
const FIRST_LETTER: u8 = 4;

const ACTION: [u8; 256] = {
    let mut action = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        let ascii = byte as u8;
        action[byte] = match ascii {
            b' ' | b'\t' | b'\n' | b'\r' => BLANK,
            _ if ascii.is_ascii_control() => DROP,
            _ if ascii.is_ascii_punctuation() => PUNCTUATION,
            _ => ascii.to_ascii_lowercase(),
        };
        byte += 1;
    }
    action
};

/// A tokenizer over a vocabulary.
#[derive(Debug, Clone)]
pub struct WordPiece<'a> {
    vocabulary: Vocabulary<'a>,
    unknown: u16,
    punctuation: [u16; 128],
}

impl<'a> WordPiece<'a> {
    /// A tokenizer that answers `unknown` for a word it cannot spell.
    pub fn new(vocabulary: Vocabulary<'a>, unknown: u16) -> Self {
        let mut punctuation = [unknown; 128];
        for (byte, id) in punctuation.iter_mut().enumerate() {
            let mut buffer = [0; 4];
            let text = char::from(byte as u8).encode_utf8(&mut buffer);
            *id = vocabulary.id(text).unwrap_or(unknown);
        }
        Self { vocabulary, unknown, punctuation }
    }

    /// The pieces behind the ids.
    pub fn vocabulary(&self) -> &Vocabulary<'a> {
        &self.vocabulary
    }

    /// Adds the ids of `text` to `ids`.
    pub fn encode(&self, text: &str, ids: &mut Vec<u16>) {
        let bytes = text.as_bytes();
        let mut word = Word::new();
        // The present stretch between blanks: where it began, in the text and in `ids`.
        let (mut stretch, mut stretch_ids) = (0, ids.len());
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match ACTION[usize::from(byte)] {
                letter @ FIRST_LETTER.. => word.push_ascii(letter),
                PUNCTUATION => {
                    self.spell(&mut word, ids);
                    ids.push(self.punctuation[usize::from(byte & 127)]);
                }
                BLANK => {
                    self.spell(&mut word, ids);
                    (stretch, stretch_ids) = (at + 1, ids.len());
                }
                DROP => {}
                _ => {
                    // Not ASCII: what was read of this stretch is forgotten, all of it takes the other way.
                    ids.truncate(stretch_ids);
                    word.clear();
                    at = bytes[at..]
                        .iter()
                        .position(|b| ACTION[usize::from(*b)] == BLANK)
                        .map_or(bytes.len(), |n| at + n);
                    self.encode_slowly(&text[stretch..at], ids);
                    (stretch, stretch_ids) = (at, ids.len());
                    continue;
                }
            }
            at += 1;
        }
        self.spell(&mut word, ids);
    }

    /// The same by the normaliser alone, for any text: what [`encode`](Self::encode) is compared with.
    pub fn encode_slowly(&self, text: &str, ids: &mut Vec<u16>) {
        let mut word = Word::new();
        let normalised = text
            .chars()
            .filter(|&c| !is_dropped(c))
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .flat_map(|c| if is_cjk(c) { [Some(' '), Some(c), Some(' ')] } else { [Some(c), None, None] })
            .flatten()
            .nfd()
            .map(|(c, _)| c)
            .filter(|&c| c.is_ascii() || !c.is_mark_nonspacing())
            .flat_map(char::to_lowercase);
        for c in normalised {
            if c.is_whitespace() {
                self.spell(&mut word, ids);
            } else if c.is_ascii_punctuation() || (!c.is_ascii() && c.is_punctuation()) {
                self.spell(&mut word, ids);
                word.push(c);
                self.spell(&mut word, ids);
            } else {
                word.push(c);
            }
        }
        self.spell(&mut word, ids);
    }

    /// Whether both ways give the same ids: the body of the fuzz target.
    pub fn paths_agree(&self, text: &str) -> bool {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        self.encode(text, &mut fast);
        self.encode_slowly(text, &mut slow);
        fast == slow
    }

    /// Adds the pieces of `word`, longest match first, and empties it.
    #[inline]
    fn spell(&self, word: &mut Word, ids: &mut Vec<u16>) {
        if word.chars == 0 {
            return;
        }
        if word.chars > MAX_WORD_CHARS {
            ids.push(self.unknown);
        } else if let Some(id) = self.vocabulary.find(word.hash, word.text(), false) {
            ids.push(id); // most words are a piece of their own
        } else {
            self.spell_in_pieces(word.text(), ids);
        }
        word.clear();
    }

    fn spell_in_pieces(&self, word: &[u8], ids: &mut Vec<u16>) {
        let before = ids.len();
        let mut rest = word;
        while !rest.is_empty() {
            let continuation = rest.len() < word.len();
            if let Some((id, length)) = self.longest_piece(rest, continuation) {
                ids.push(id);
                rest = &rest[length..];
            } else {
                ids.truncate(before);
                ids.push(self.unknown);
                return;
            }
        }
    }

    /// The longest piece that `text` begins with. A cut inside a character cannot match, as pieces are whole UTF-8.
    fn longest_piece(&self, text: &[u8], continuation: bool) -> Option<(u16, usize)> {
        let text = &text[..text.len().min(self.vocabulary.longest())];
        let mut hash = if continuation { PieceHash::CONTINUATION } else { PieceHash::WORD };
        let mut hashes = [hash; 128]; // a record's length has seven bits
        for (&byte, slot) in text.iter().zip(&mut hashes) {
            hash = hash.push(byte);
            *slot = hash;
        }
        (1..=text.len())
            .rev()
            .find_map(|length| Some((self.vocabulary.find(hashes[length - 1], &text[..length], continuation)?, length)))
    }
}

/// The word being read: lower-case text, its hash, its length in characters.
struct Word {
    bytes: [u8; MAX_WORD_BYTES],
    length: usize,
    chars: usize,
    hash: PieceHash,
}

impl Word {
    fn new() -> Self {
        Self { bytes: [0; MAX_WORD_BYTES], length: 0, chars: 0, hash: PieceHash::WORD }
    }

    fn clear(&mut self) {
        (self.length, self.chars, self.hash) = (0, 0, PieceHash::WORD);
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    fn push_ascii(&mut self, byte: u8) {
        // A word that does not fit has more than 100 characters: only their number counts then.
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
            self.hash = self.hash.push(byte);
        }
        self.chars += 1;
    }

    fn push(&mut self, c: char) {
        let mut buffer = [0; 4];
        for &byte in c.encode_utf8(&mut buffer).as_bytes() {
            self.push_ascii(byte);
        }
        self.chars -= c.len_utf8() - 1;
    }
}

/// Characters the normaliser removes: NUL, U+FFFD, and the categories Cc, Cf, Co but for tab and line ends.
fn is_dropped(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{fffd}' => true,
        _ if c.is_ascii() => c.is_ascii_control(),
        _ => c.is_other(),
    }
}

/// Ideographs, which become words of their own. The blocks are BERT's: not kana, not Hangul.
fn is_cjk(c: char) -> bool {
    matches!(
        u32::from(c),
        0x3400..=0x4DBF
            | 0x4E00..=0x9FFF
            | 0xF900..=0xFAFF
            | 0x2_0000..=0x2_A6DF
            | 0x2_A700..=0x2_B73F
            | 0x2_B740..=0x2_B81F
            | 0x2_B920..=0x2_CEAF
            | 0x2_F800..=0x2_FA1F
    )
}
