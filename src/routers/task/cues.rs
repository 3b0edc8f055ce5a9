//! What in a prompt speaks for a task: its instruction's words, alone and in pairs, and the shape of the rest.
//!
//! The instruction stands in the first line, outside quotes and before a colon, or in the last line. What lies between
//! is material to work on: its words are counted apart, so that an article about a poem is still summarised.

use std::cell::RefCell;

use crate::text::featuriser::Featuriser;
use crate::text::lexical::{self, Counts};
use crate::text::table::DIM;
use crate::text::vocabulary::Vocabulary;

use super::words::{FILLERS, GROUPS};

/// Numbers beside the words: three embeddings, the lexical features, the shape.
pub(super) const DENSE: usize = 3 * DIM + lexical::COUNT + SHAPE;
/// Numbers about the shape, as [`Reading::shape`] orders them.
const SHAPE: usize = 12;

/// Of a longer first line only so much is read...
const FIRST_BYTES: usize = 1024;
/// ...and of the lines after it.
const MATERIAL_BYTES: usize = 1024;
/// A last line longer than this is material.
const LAST_BYTES: usize = 240;
/// Words of each part that count.
const FIRST_WORDS: usize = 56;
const LAST_WORDS: usize = 24;
const MATERIAL_WORDS: usize = 64;
/// Words of the embedding of how the request begins.
const OPENING: usize = 8;
/// A colon after so few words does not end the instruction ("Translate: ...").
const WORDS_BEFORE_COLON: usize = 4;

/// Which list of words an entry is of; each has its own weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum List {
    /// A word of the instruction.
    Word = 1,
    /// Two words of it in a row.
    Pair = 2,
    /// Two words in a row when fillers are left out.
    Joined = 3,
    /// Its first word that is no filler.
    Lead = 4,
    /// That word and the next.
    LeadPair = 5,
    /// A word of the last line, where that is not the first.
    LastWord = 6,
    /// Two words in a row there.
    LastPair = 7,
    /// A word of the material.
    Material = 8,
    /// The first word of all.
    First = 9,
    /// The first two.
    FirstPair = 10,
}

impl List {
    fn key(self, a: u32, b: u32) -> u32 {
        mix(mix(self as u32 ^ 0x9E37_79B9, a), b)
    }
}

fn mix(hash: u32, value: u32) -> u32 {
    let mixed = (hash ^ value).wrapping_mul(0x85EB_CA6B);
    (mixed ^ (mixed >> 15)).wrapping_mul(0xC2B2_AE35) ^ (mixed >> 13)
}

/// Words of the vocabulary and of [`GROUPS`], told apart by 32 bits.
#[derive(Debug)]
pub(super) struct Lexicon {
    /// Group, filler or number of each word that is one piece; 0 for none.
    pieces: Box<[u32]>,
    continuation: Box<[bool]>,
    /// The same for spelled words, by their hash, sorted.
    spelled: Vec<(u32, u32)>,
}

/// What [`Lexicon::pieces`] says of a filler...
const FILLER: u32 = 1;
/// ...and of a number; groups follow.
const NUMBER: u32 = 2;
const FIRST_GROUP: u32 = 3;

/// A word of the prompt.
#[derive(Debug, Clone, Copy)]
struct Word {
    /// Its group's number, or its own hash.
    id: u32,
    /// Its own hash.
    own: u32,
    filler: bool,
}

impl Lexicon {
    pub(super) fn new(featuriser: &Featuriser<'_>) -> Self {
        let tokenizer = featuriser.table().tokenizer();
        let vocabulary: &Vocabulary<'_> = tokenizer.vocabulary();
        let mut pieces = vec![0; vocabulary.len()].into_boxed_slice();
        let mut continuation = vec![false; vocabulary.len()].into_boxed_slice();
        for piece in vocabulary.pieces() {
            let id = usize::from(piece.id);
            continuation[id] = piece.continuation;
            if piece.text.bytes().all(|b| b.is_ascii_digit()) {
                pieces[id] = NUMBER;
            }
        }
        let mut spelled = Vec::new();
        let groups = (FIRST_GROUP..).zip(GROUPS.lines().filter(|line| !line.is_empty()));
        let mut ids = Vec::new();
        for (meaning, words) in groups.chain([(FILLER, FILLERS)]) {
            for word in words.split_whitespace() {
                ids.clear();
                tokenizer.encode(word, &mut ids);
                match ids[..] {
                    [id] => pieces[usize::from(id)] = meaning,
                    _ => spelled.push((hash(&ids), meaning)),
                }
            }
        }
        spelled.sort_by_key(|&(hash, _)| hash);
        Self { pieces, continuation, spelled }
    }

    /// The first word of `ids`, and how many pieces it has.
    fn word(&self, ids: &[u16]) -> Option<(Word, usize)> {
        let first = *ids.first()?;
        let continues = |id: &u16| self.continuation.get(usize::from(*id)).copied().unwrap_or(false);
        let length = 1 + ids[1..].iter().take_while(|id| continues(id)).count();
        let own = hash(&ids[..length]);
        let meaning = if length == 1 || self.pieces.get(usize::from(first)) == Some(&NUMBER) {
            self.pieces.get(usize::from(first)).copied().unwrap_or(0)
        } else {
            self.spelled.binary_search_by_key(&own, |&(hash, _)| hash).map_or(0, |at| self.spelled[at].1)
        };
        let id = if meaning > FILLER { meaning } else { own };
        Some((Word { id, own, filler: meaning == FILLER }, length))
    }
}

fn hash(pieces: &[u16]) -> u32 {
    pieces.iter().fold(0x1234_5677, |hash, &piece| mix(hash, u32::from(piece)))
}

/// What of a text is which part.
#[derive(Debug, Clone, Copy, Default)]
struct Parts<'a> {
    first: &'a str,
    material: &'a str,
    last: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let text = text.trim();
        let mut end = text.find('\n').unwrap_or(text.len());
        if text[..end].split_whitespace().take(3).count() < 3 {
            let next = end + text[end..].bytes().take_while(u8::is_ascii_whitespace).count();
            end = text[next..].find('\n').map_or(text.len(), |n| next + n);
        }
        let (line, rest) = text.split_at(end);
        if rest.is_empty() {
            if line.len() <= FIRST_BYTES {
                return Self { first: line, ..Self::default() };
            }
            let (first, rest) = line.split_at(line.floor_char_boundary(FIRST_BYTES));
            return Self {
                first,
                material: "",
                last: &rest[rest.ceil_char_boundary(rest.len().saturating_sub(LAST_BYTES / 2))..],
            };
        }
        let first = &line[..line.floor_char_boundary(FIRST_BYTES)];
        let rest = rest.trim_start();
        let begin = rest.rfind('\n').map_or(0, |n| n + 1);
        let (material, last) = if rest.len() - begin <= LAST_BYTES { rest.split_at(begin) } else { (rest, "") };
        Self { first, material: &material[..material.floor_char_boundary(MATERIAL_BYTES)], last: last.trim() }
    }
}

/// Splits a line into what instructs and what is quoted or follows a colon.
fn instruction_and_quotes<'a>(line: &'a str, mut take: impl FnMut(&'a str, bool)) {
    let mut start = 0;
    let mut quote: Option<char> = None;
    let mut words = 0;
    let mut before = ' ';
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = at + c.len_utf8();
        let after = chars.peek().map_or(' ', |&(_, c)| c);
        match quote {
            Some(close) if c == close => {
                take(&line[start..at], true);
                (start, quote) = (next, None);
            }
            Some(_) => {}
            None => {
                let opens = match c {
                    '"' | '`' if !before.is_alphanumeric() => Some(c),
                    '\u{201c}' | '\u{201e}' => Some('\u{201d}'),
                    '\u{ab}' => Some('\u{bb}'),
                    _ => None,
                };
                if opens.is_some() {
                    take(&line[start..at], false);
                    (start, quote) = (next, opens);
                } else if c == ':' && after.is_whitespace() && words + 1 >= WORDS_BEFORE_COLON {
                    take(&line[start..next], false);
                    take(&line[next..], true);
                    return;
                } else if c.is_whitespace() && !before.is_whitespace() {
                    words += 1;
                }
            }
        }
        before = c;
    }
    take(&line[start..], quote.is_some());
}

/// Buffers of a thread.
#[derive(Default)]
struct Buffers {
    ids: Vec<u16>,
    instruction: Vec<u16>,
    material: Vec<u16>,
    words: Vec<Word>,
}

/// Reads a text: each entry of its lists goes to `take`; returned are the numbers beside them. `None` where there is no
/// word, or where the text begins in a script whose words are not known here.
pub(super) fn read(
    featuriser: &Featuriser<'_>,
    lexicon: &Lexicon,
    text: &str,
    mut take: impl FnMut(u32),
) -> Option<[f32; DENSE]> {
    thread_local! {
        static BUFFERS: RefCell<Buffers> = RefCell::default();
    }
    let letter = text.chars().take(FIRST_BYTES).find(|c| c.is_alphanumeric())?;
    if u32::from(letter) > 0x24F {
        return None;
    }
    BUFFERS.with_borrow_mut(|buffers| {
        let Buffers { ids, instruction, material, words } = buffers;
        let tokenizer = featuriser.table().tokenizer();
        let parts = Parts::of(text);
        let mut counts = Counts::default();
        instruction.clear();
        material.clear();
        words.clear();
        let mut quoted = 0;

        instruction_and_quotes(parts.first, |part, is_quoted| {
            if is_quoted {
                quoted += part.len();
                tokenizer.encode(part, material);
            } else {
                tokenizer.encode(part, instruction);
            }
        });
        let in_first = material.len();
        tokenizer.encode(parts.material, material);
        for part in [parts.first, parts.material, parts.last] {
            counts.read_text(part);
        }

        // The instruction; of a long one the beginning and the end.
        let mut rest = &instruction[..];
        while let Some((word, length)) = lexicon.word(rest) {
            words.push(word);
            rest = &rest[length..];
        }
        if words.len() > FIRST_WORDS + LAST_WORDS {
            words.drain(FIRST_WORDS..words.len() - LAST_WORDS);
        }
        let spelled = words.len();
        emit_instruction(words, &mut take);

        // The last line.
        ids.clear();
        tokenizer.encode(parts.last, ids);
        words.clear();
        let mut rest = &ids[..];
        while let Some((word, length)) = lexicon.word(rest).filter(|_| words.len() < LAST_WORDS) {
            words.push(word);
            rest = &rest[length..];
        }
        for word in &*words {
            take(List::LastWord.key(word.id, 0));
        }
        for pair in words.windows(2) {
            take(List::LastPair.key(pair[0].id, pair[1].id));
        }

        // The material.
        let mut rest = &material[..];
        let mut taken = 0;
        while let Some((word, length)) = lexicon.word(rest).filter(|_| taken < MATERIAL_WORDS) {
            take(List::Material.key(word.id, 0));
            rest = &rest[length..];
            taken += 1;
        }

        counts.read_ids(instruction, featuriser.lexicon());
        let mut dense = [0.0; DENSE];
        let table = featuriser.table();
        let opening = &instruction[..instruction.len().min(OPENING)];
        let rows = [table.embed(instruction), table.embed(opening), table.embed(ids)];
        for (to, row) in dense.chunks_exact_mut(DIM).zip(rows) {
            to.copy_from_slice(&row);
        }
        dense[3 * DIM..][..lexical::COUNT].copy_from_slice(&counts.features(text.len()));
        let flag = |is: bool| f32::from(u8::from(is));
        let log = |n: usize| ((1.0 + n as f64).ln()) as f32;
        dense[3 * DIM + lexical::COUNT..].copy_from_slice(&[
            flag(parts.first.trim_end().ends_with('?')),
            flag(parts.first.trim_end().ends_with(':')),
            flag(in_first > 0),
            flag(!parts.last.is_empty()),
            flag(!parts.material.trim().is_empty()),
            flag(text.contains("```")),
            log(spelled),
            log(material.len()),
            log(quoted),
            flag(spelled <= 3),
            flag(parts.last.trim_end().ends_with('?')),
            flag(parts.material.trim_start().starts_with(['{', '[', '<', '|'])),
        ]);
        Some(dense)
    })
}

fn emit_instruction(words: &mut Vec<Word>, take: &mut impl FnMut(u32)) {
    for word in &*words {
        take(List::Word.key(word.id, 0));
        if word.own != word.id {
            take(List::Word.key(word.own, 0));
        }
    }
    for pair in words.windows(2) {
        take(List::Pair.key(pair[0].id, pair[1].id));
    }
    if let Some(first) = words.first() {
        take(List::First.key(first.id, 0));
    }
    if let [first, second, ..] = words[..] {
        take(List::FirstPair.key(first.id, second.id));
    }
    words.retain(|word| !word.filler);
    for pair in words.windows(2) {
        take(List::Joined.key(pair[0].id, pair[1].id));
    }
    if let Some(first) = words.first() {
        take(List::Lead.key(first.id, 0));
    }
    if let [first, second, ..] = words[..] {
        take(List::LeadPair.key(first.id, second.id));
    }
}
