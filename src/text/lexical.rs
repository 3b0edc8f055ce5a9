//! Cheap numbers about a text: its length, its marks, its words.
//!
//! One pass over the bytes counts marks (a table gives each byte its kind, and sixteen counters are kept in two words),
//! one pass over the `WordPiece` ids counts kinds of words. Counts enter as logarithms, the rest as shares, so every
//! feature stays within a small range whatever the text is.

use super::vocabulary::Vocabulary;

/// How many features there are.
pub const COUNT: usize = NAMES.len();

/// Names of the features, in their order.
pub const NAMES: [&str; 26 + WORD_KINDS.len()] = [
    "log_bytes",
    "log_words",
    "shortness",
    "log_lines",
    "log_sentences",
    "word_length",
    "digit_share",
    "log_numbers",
    "capital_share",
    "punctuation_share",
    "other_script_share",
    "maths_share",
    "log_maths_marks",
    "code_share",
    "log_code_marks",
    "log_brackets",
    "log_quotes",
    "log_commas",
    "log_choices",
    "log_indented_lines",
    "log_questions",
    "ends_in_question",
    "log_exclamations",
    "piece_share",
    "common_word_share",
    "rare_word_share",
    WORD_KINDS[0].0,
    WORD_KINDS[1].0,
    WORD_KINDS[2].0,
    WORD_KINDS[3].0,
    WORD_KINDS[4].0,
    WORD_KINDS[5].0,
    WORD_KINDS[6].0,
    WORD_KINDS[7].0,
    WORD_KINDS[8].0,
    WORD_KINDS[9].0,
    WORD_KINDS[10].0,
    WORD_KINDS[11].0,
    WORD_KINDS[12].0,
    WORD_KINDS[13].0,
    WORD_KINDS[14].0,
    WORD_KINDS[15].0,
];

/// Kinds of words; the feature is the logarithm of how many of them occur. Each must be one piece of the vocabulary.
pub const WORD_KINDS: [(&str, &str); 16] = [
    ("words_prove", "prove proof proves proven theorem derive demonstrate induction contradiction rigorous formally"),
    (
        "words_compute",
        "calculate compute solve evaluate determine find integrate estimate maximize minimize factor expand solution \
         solutions",
    ),
    (
        "words_write",
        "write compose draft poem story essay email letter blog speech slogan script outline article report paragraph",
    ),
    ("words_transform", "translate classify extract list rank sort identify edit shorter formal synonym"),
    (
        "words_code",
        "function functions python java code algorithm algorithms implement implementation sql query array arrays loop \
         api database server servers client program programming html linux memory buffer cache parallel stack queue \
         string strings integer class method exception kernel compiler regression distributed complexity sorted sorting \
         merge heap tree trees node nodes hash linked byte bits cpu protocol cluster",
    ),
    (
        "words_maths",
        "integral derivative equation equations polynomial matrix probability triangle prime integers angle vector \
         circle radius graph convex finite infinite sum equal equals positive negative \
         continuous differential variable variables coefficient algebra geometry digits rational irrational matrices \
         limit limits convergence divides subset bounded inequality sequence",
    ),
    (
        "words_social",
        "hello hi hey thanks thank please bye goodbye morning night sorry ok okay yes no yeah cool nice great awesome \
         welcome happy bored birthday love feel feeling wow congratulations cheers buddy friend fun funny",
    ),
    (
        "words_analyse",
        "explain compare analyze discuss design propose critique justify assess argue architecture strategy plan \
         consequences constraints steps detail detailed reasoning evidence",
    ),
    ("words_what", "what who when where which"),
    ("words_why", "why how"),
    ("words_first_person", "i me my we our us am"),
    ("words_second_person", "you your yours yourself"),
    (
        "words_condition",
        "if then therefore suppose let given assume hence such every exactly each least unless whether must only until \
         while without",
    ),
    ("words_exam", "following except statement statements true false answer incorrect correct best describes likely"),
    (
        "words_trouble",
        "bug bugs race races crash crashes crashed leak leaks hang hangs stuck fix broken wrong fail fails failing error \
         errors corrupt null pointer atomic synchronized concurrency concurrent lock locks thread threads",
    ),
    (
        "words_daily",
        "convert square root degrees weather rain rainy sunny snow cold hot warm holiday weekend summer winter \
         today tomorrow yesterday tonight dinner lunch breakfast eat cook recipe coffee joke alarm capital currency color \
         colour favourite favorite tallest largest biggest spell plural tired movie song beach party",
    ),
];

/// Place of the feature that says how much a text is a short request in prose.
pub const SHORTNESS: usize = 2;

/// From this many words on, a text is not short...
const SHORT_WORDS: u32 = 40;
/// ...unless it is mere talk, with at most this many numbers and marks of maths and code: then from that many on.
const SHORT_WORDS_OF_TALK: u32 = 200;
const MARKS_OF_TALK: u32 = 1;

const FIRST_WORD_KIND: usize = COUNT - WORD_KINDS.len();

/// Ids from here on are words in order of frequency; below are markers and single characters.
const FIRST_WORD: u16 = 1996;
const COMMON_BELOW: u16 = 2200;
const RARE_FROM: u16 = 9000;

// Flags of a piece beside its kind of word (0 for none, else index + 1).
const PIECE: u8 = 128;
const KIND: u8 = 127;

/// What each id of a vocabulary means to the features.
#[derive(Debug, Clone)]
pub struct Lexicon(Box<[u8]>);

impl Lexicon {
    /// Resolves [`WORD_KINDS`] in a vocabulary. A word of two kinds counts as the later one; a word that is not one
    /// piece is left out.
    pub fn new(vocabulary: &Vocabulary<'_>) -> Self {
        let mut flags = vec![0u8; vocabulary.len()];
        for id in vocabulary.continuations() {
            flags[usize::from(id)] = PIECE;
        }
        for (kind, (_, words)) in (1..).zip(WORD_KINDS) {
            for id in words.split_whitespace().filter_map(|word| vocabulary.id(word)) {
                flags[usize::from(id)] = kind;
            }
        }
        Self(flags.into())
    }
}

// Kinds of bytes. Counters of the first eight are in the first word, of the others in the second.
const LOWER: usize = 0;
const UPPER: usize = 1;
const DIGIT: usize = 2;
const BLANK: usize = 3;
const LINE: usize = 4;
const STOP: usize = 5;
const EXCLAMATION: usize = 6;
const QUESTION: usize = 7;
const COMMA: usize = 8;
const QUOTE: usize = 9;
const BRACKET: usize = 10;
const MATHS: usize = 11;
const CODE: usize = 12;
const MARK: usize = 13;
const LEAD: usize = 14;
const TRAIL: usize = 15;

const KIND_OF: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT,
            b'\n' => LINE,
            b'.' => STOP,
            b'!' => EXCLAMATION,
            b'?' => QUESTION,
            b',' => COMMA,
            b'\'' | b'"' => QUOTE,
            b'(' | b')' => BRACKET,
            b'$' | b'\\' | b'^' | b'=' | b'+' | b'<' | b'>' | b'*' | b'/' | b'%' | b'|' | b'~' => MATHS,
            b'{' | b'}' | b'[' | b']' | b'_' | b'`' | b'#' | b'&' | b';' | b'@' => CODE,
            b'-' | b':' => MARK,
            0..=32 | 127 => BLANK,
            128..=191 => TRAIL,
            192..=255 => LEAD,
        } as u8;
        byte += 1;
    }
    kinds
};

/// Adding entry `b` adds one to the eight-bit counter of byte `b`'s kind.
const STEP: [[u64; 2]; 256] = {
    let mut steps = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        let kind = KIND_OF[byte] as usize;
        steps[byte][kind / 8] = 1 << (8 * (kind % 8));
        byte += 1;
    }
    steps
};

/// Everything counted so far; feed it the parts of a text in order.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    kinds: [u32; 16],
    numbers: u32,
    sentences: u32,
    choices: u32,
    indented: u32,
    ends_in_question: bool,
    ids: u32,
    pieces: u32,
    words: u32,
    common: u32,
    rare: u32,
    word_kinds: [u32; WORD_KINDS.len()],
}

impl Counts {
    /// Counts the bytes of one part of the text.
    pub fn read_text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.start_line(bytes);
        let mut digit_before = false;
        // An eight-bit counter takes 255 steps.
        for (start, part) in (0..).step_by(255).zip(bytes.chunks(255)) {
            let mut packed = [0u64; 2];
            for (offset, &byte) in part.iter().enumerate() {
                let step = STEP[usize::from(byte)];
                packed[0] += step[0];
                packed[1] += step[1];
                let kind = usize::from(KIND_OF[usize::from(byte)]);
                let digit = kind == DIGIT;
                self.numbers += u32::from(digit && !digit_before);
                digit_before = digit;
                if (LINE..=QUESTION).contains(&kind) {
                    let next = &bytes[start + offset + 1..];
                    if kind == LINE {
                        self.start_line(next);
                    } else if next.first().is_none_or(u8::is_ascii_whitespace) {
                        self.sentences += 1;
                    }
                }
            }
            for (kind, count) in self.kinds.iter_mut().enumerate() {
                *count += (packed[kind / 8] >> (8 * (kind % 8))) as u32 & 255;
            }
        }
        if let Some(last) = bytes.iter().rev().find(|byte| !byte.is_ascii_whitespace()) {
            self.ends_in_question = *last == b'?';
        }
    }

    /// Looks at what a line begins with.
    #[inline]
    fn start_line(&mut self, line: &[u8]) {
        match line {
            [b'A'..=b'J', b'.' | b')', b' ', ..] => self.choices += 1,
            [b'\t', ..] | [b' ', b' ', ..] => self.indented += 1,
            _ => {}
        }
    }

    /// Counts the ids of the text.
    pub fn read_ids(&mut self, ids: &[u16], lexicon: &Lexicon) {
        let (mut pieces, mut words, mut common, mut rare) = (0, 0, 0, 0);
        for &id in ids {
            let flags = lexicon.0.get(usize::from(id)).copied().unwrap_or(0);
            let piece = flags & PIECE != 0;
            let word = !piece && (id >= FIRST_WORD);
            pieces += u32::from(piece);
            words += u32::from(word);
            common += u32::from(word && (id < COMMON_BELOW));
            rare += u32::from(word && (id >= RARE_FROM));
            if let Some(count) = usize::from(flags & KIND).checked_sub(1).and_then(|kind| self.word_kinds.get_mut(kind))
            {
                *count += 1;
            }
        }
        self.ids += ids.len() as u32;
        self.pieces += pieces;
        self.words += words;
        self.common += common;
        self.rare += rare;
    }

    /// How much a text is a short request in prose: 1 without words, 0 from [`SHORT_WORDS`] words on
    /// ([`SHORT_WORDS_OF_TALK`] for mere talk) and for a text with two answer choices or more. The head weighs every
    /// feature differently for such texts.
    fn shortness(&self) -> f32 {
        if self.choices >= 2 {
            return 0.0;
        }
        let marks = self.numbers + self.kinds[MATHS] + self.kinds[CODE];
        let limit = if marks <= MARKS_OF_TALK { SHORT_WORDS_OF_TALK } else { SHORT_WORDS };
        1.0 - self.words.min(limit) as f32 / limit as f32
    }

    /// The features of what was read; `bytes` is the length of the whole text, which may be longer.
    pub fn features(&self, bytes: usize) -> [f32; COUNT] {
        let count = |kind: usize| self.kinds[kind];
        let chars = self.kinds.iter().sum::<u32>() - count(TRAIL);
        let letters = count(LOWER) + count(UPPER);
        let marks = self.kinds[STOP..=MARK].iter().sum();
        let mut features = [0.0; COUNT];
        features[..FIRST_WORD_KIND].copy_from_slice(&[
            log(bytes as f64),
            log(self.words.into()),
            self.shortness(),
            log(count(LINE).into()),
            log(self.sentences.into()),
            share(letters, self.words).min(20.0),
            share(count(DIGIT), chars),
            log(self.numbers.into()),
            share(count(UPPER), letters),
            share(marks, chars),
            share(count(LEAD), chars),
            share(count(MATHS), chars),
            log(count(MATHS).into()),
            share(count(CODE), chars),
            log(count(CODE).into()),
            log(count(BRACKET).into()),
            log(count(QUOTE).into()),
            log(count(COMMA).into()),
            log(self.choices.min(10).into()),
            log(self.indented.into()),
            log(count(QUESTION).into()),
            f32::from(u8::from(self.ends_in_question)),
            log(count(EXCLAMATION).into()),
            share(self.pieces, self.ids),
            share(self.common, self.words),
            share(self.rare, self.words),
        ]);
        for (feature, &count) in features[FIRST_WORD_KIND..].iter_mut().zip(&self.word_kinds) {
            *feature = log(count.into());
        }
        features
    }
}

/// ln(1 + n); in 64 bits first, so that the 32-bit result does not depend on the platform's library.
fn log(n: f64) -> f32 {
    if n == 0.0 { 0.0 } else { (1.0 + n).ln() as f32 }
}

fn share(part: u32, whole: u32) -> f32 {
    part as f32 / whole.max(1) as f32
}
