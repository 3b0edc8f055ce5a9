//! What in a prompt speaks for a task: its instruction's words, alone and in pairs, and the shape of the rest.
//!
//! Of the place where the instruction is looked for ([`parts`](super::parts)), what is quoted or follows a colon is
//! material to work on, and so is the rest of the text. Few of its words count, and apart, so that an article about a poem
//! is still summarised, however long it is.

use std::cell::RefCell;

use crate::text::featuriser::Featuriser;
use crate::text::lexical::{self, Counts};
use crate::text::table::DIM;
use crate::text::vocabulary::Vocabulary;

use super::parts::{Place, Reading};
use super::words::{FILLERS, GROUPS};

/// Numbers beside the words: two embeddings, the lexical features, the shape.
pub(super) const DENSE: usize = 2 * DIM + lexical::COUNT + SHAPE;
/// Numbers about the shape, as [`read`] orders them.
const SHAPE: usize = 20;

/// Words of an instruction that count: of a longer one the first and the last.
const FIRST_WORDS: usize = 56;
const LAST_WORDS: usize = 24;
/// Words of the material that count, and the pieces they are looked for in.
const MATERIAL_WORDS: usize = 16;
const MATERIAL_PIECES: usize = 64;
/// Words of the embedding of how the request begins.
const OPENING: usize = 8;
/// A colon after so few words does not end the instruction ("Translate: ...").
const WORDS_BEFORE_COLON: usize = 4;
/// ...unless so many bytes follow.
const LONG_AFTER_COLON: usize = 120;
/// Of so many words...
const MANY_WORDS: u32 = 8;
/// ...so many must differ, one in this number, or nobody has said anything.
const ONE_IN: u32 = 4;
/// A longer text without a space is no request.
const LONGEST_WORD: usize = 32;

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
    /// A word of the material.
    Material = 6,
    /// The first word of all.
    First = 7,
    /// The first two.
    FirstPair = 8,
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

/// Splits what may be an instruction, with so much material after it, into what instructs and what is quoted or follows
/// a colon.
fn instruction_and_quotes<'a>(line: &'a str, material: usize, mut take: impl FnMut(&'a str, bool)) {
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
                } else if c == ':'
                    && after.is_whitespace()
                    && (words + 1 >= WORDS_BEFORE_COLON || line.len() - next + material > LONG_AFTER_COLON)
                {
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
    instruction: Vec<u16>,
    material: Vec<u16>,
    words: Vec<Word>,
}

/// A cue of a reading.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cue {
    /// Of the instruction.
    Instruction(u32),
    /// Of the material; these come last and are few.
    Material(u32),
}

/// Reads a text in one way: each cue goes to `take`; returned are the numbers beside them. `None` where no instruction can
/// be: without a word, in a script whose words are not known here, and where a few words come again and again.
pub(super) fn read(
    featuriser: &Featuriser<'_>,
    lexicon: &Lexicon,
    reading: Reading<'_>,
    mut take: impl FnMut(Cue),
) -> Option<[f32; DENSE]> {
    thread_local! {
        static BUFFERS: RefCell<Buffers> = RefCell::default();
    }
    let letter = reading.instruction.chars().find(|c| c.is_alphanumeric())?;
    if u32::from(letter) > 0x24F {
        return None;
    }
    if reading.instruction.len() > LONGEST_WORD && !reading.instruction.contains(char::is_whitespace) {
        return None;
    }
    BUFFERS.with_borrow_mut(|buffers| {
        let Buffers { instruction, material, words } = buffers;
        let tokenizer = featuriser.table().tokenizer();
        let mut counts = Counts::default();
        let mut symbols = Symbols::default();
        instruction.clear();
        material.clear();
        words.clear();
        let mut quoted = 0;
        let after = if reading.place == Place::First { reading.material.len() } else { 0 };
        instruction_and_quotes(reading.instruction, after, |part, is_quoted| {
            if is_quoted {
                quoted += part.len();
                symbols.read(part);
                tokenizer.encode(part, material);
            } else {
                counts.read_text(part);
                tokenizer.encode(part, instruction);
            }
        });
        let mut begins = reading.material.trim_start();
        symbols.read(begins);
        if material.len() < MATERIAL_PIECES {
            let end = begins.floor_char_boundary(6 * MATERIAL_PIECES);
            begins = &begins[..end];
            tokenizer.encode(begins, material);
        }

        let mut rest = &instruction[..];
        while let Some((word, length)) = lexicon.word(rest) {
            words.push(word);
            rest = &rest[length..];
        }
        if words.is_empty() || says_nothing(words) {
            return None;
        }
        if words.len() > FIRST_WORDS + LAST_WORDS {
            words.drain(FIRST_WORDS..words.len() - LAST_WORDS);
        }
        let spelled = words.len();
        emit_instruction(words, &mut |key| take(Cue::Instruction(key)));

        let mut rest = &material[..];
        for _ in 0..MATERIAL_WORDS {
            let Some((word, length)) = lexicon.word(rest) else { break };
            take(Cue::Material(List::Material.key(word.id, 0)));
            rest = &rest[length..];
        }

        counts.read_ids(instruction, featuriser.lexicon());
        let mut dense = [0.0; DENSE];
        let table = featuriser.table();
        let opening = &instruction[..instruction.len().min(OPENING)];
        for (to, row) in dense.chunks_exact_mut(DIM).zip([table.embed(instruction), table.embed(opening)]) {
            to.copy_from_slice(&row);
        }
        dense[2 * DIM..][..lexical::COUNT].copy_from_slice(&counts.features(reading.instruction.len()));
        let flag = |is: bool| f32::from(u8::from(is));
        let log = |n: usize| ((1.0 + n as f64).ln()) as f32;
        let said = reading.instruction.trim_end();
        let [code, digits, commas, lines] = symbols.shares();
        dense[2 * DIM + lexical::COUNT..].copy_from_slice(&[
            flag(reading.place == Place::Alone),
            flag(reading.place == Place::Last),
            flag(said.ends_with('?')),
            flag(said.ends_with(':')),
            flag(said.ends_with(['.', '!'])),
            flag(said.ends_with([',', ';', '{', '}', ')', '>'])),
            flag(said.starts_with(|c: char| c.is_lowercase())),
            flag(said.starts_with(|c: char| !c.is_alphanumeric())),
            flag(said.contains('\n')),
            flag(quoted > 0),
            flag(!begins.is_empty()),
            flag(!material.is_empty()),
            log(quoted),
            log(spelled),
            flag(spelled <= 3),
            flag(begins.starts_with("```")),
            flag(begins.starts_with(['{', '[', '<', '|'])),
            code,
            digits + commas,
            lines,
        ]);
        Some(dense)
    })
}

/// Whether a few words come again and again.
fn says_nothing(words: &[Word]) -> bool {
    // One bit a word, in 256: enough to tell few from many.
    let mut seen = [0_u64; 4];
    for word in words {
        seen[word.own as usize >> 6 & 3] |= 1 << (word.own & 63);
    }
    let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
    let differ: u32 = seen.iter().map(|bits| bits.count_ones()).sum();
    (count > 2 && differ == 1) || (count >= MANY_WORDS && differ * ONE_IN <= count)
}

/// Of what kinds the characters of the material are.
#[derive(Default)]
struct Symbols {
    all: usize,
    code: usize,
    digits: usize,
    commas: usize,
    lines: usize,
}

impl Symbols {
    fn read(&mut self, text: &str) {
        self.all += text.len();
        for byte in text.bytes() {
            match byte {
                b'(' | b')' | b'{' | b'}' | b';' | b'=' | b'<' | b'>' | b'_' | b'[' | b']' | b'*' | b'&' => {
                    self.code += 1;
                }
                b'0'..=b'9' => self.digits += 1,
                b',' | b'"' | b'|' => self.commas += 1,
                b'\n' => self.lines += 1,
                _ => {}
            }
        }
    }

    /// Shares of code's symbols, digits, separators and ends of lines, each at most 1 at a tenth of the text or more.
    fn shares(&self) -> [f32; 4] {
        let all = self.all.max(40) as f32;
        [self.code, self.digits, self.commas, self.lines].map(|n| (10.0 * n as f32 / all).min(1.0))
    }
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
