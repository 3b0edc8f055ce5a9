//! A text as a model reads it, without what hides its words from a pattern: other alphabets, invisible characters,
//! letters set apart.

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

/// Letters set apart by blanks or dots are taken for a word from so many on.
const SPELLED: usize = 4;
/// Tags, an invisible copy of ASCII that some models read.
const TAGS: std::ops::RangeInclusive<u32> = 0xE0020..=0xE007E;

/// `text` in lower case, in plain letters and plain quotes, with single blanks; line breaks stay.
pub(super) fn plain(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            bare.push(mark(c));
        } else {
            bared(c, &mut bare);
        }
    }
    let mut out = String::with_capacity(bare.len());
    for (at, line) in bare.lines().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        // Where letters are set apart by blanks, words are by more of them.
        for (at, part) in line.split("  ").map(str::trim).filter(|part| !part.is_empty()).enumerate() {
            if at > 0 {
                out.push(' ');
            }
            joined(part, &mut out);
        }
    }
    out
}

/// Quotes and marks of markdown are one quote; everything else in lower case.
fn mark(c: char) -> char {
    match c {
        '`' | '*' | '\'' => '"',
        '\t' | '\r' => ' ',
        _ => c.to_ascii_lowercase(),
    }
}

/// The plain letter that stands for `c`, nothing for what cannot be seen, else `c`.
fn bared(c: char, out: &mut String) {
    let code = u32::from(c);
    if TAGS.contains(&code) {
        out.extend(char::from_u32(code - 0xE0000).map(mark));
        return;
    }
    let unseen = c.is_other_format() || matches!(code, 0x034F | 0x115F | 0x1160 | 0x3164 | 0xFE00..=0xFE0F);
    if unseen || (0x0300..=0x036F).contains(&code) {
        return;
    }
    match c {
        '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '«' | '»' | '‹' | '›' | '「' | '」' | '『' | '』' | '＂' =>
        {
            out.push('"');
        }
        '。' => out.push('.'),
        '，' | '、' => out.push(','),
        '：' => out.push(':'),
        '—' | '–' | '→' => out.push('-'),
        _ if c.is_whitespace() => out.push(' '),
        _ => {
            // Wide, mathematical and accented letters come apart into a plain one and what is on it.
            let text = c.to_string();
            let mut parts = text.as_str().nfkd().map(|(part, _)| part);
            match parts.next() {
                Some(first) if first.is_ascii_graphic() => {
                    out.push(mark(first));
                    out.extend(parts.filter(char::is_ascii).map(mark));
                }
                _ => out.extend(c.to_lowercase()),
            }
        }
    }
}

/// Adds a part of a line, its words separated by single blanks, with letters of other alphabets in plain words made plain and
/// letters set apart put together.
fn joined(line: &str, out: &mut String) {
    let mut first = true;
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if !std::mem::take(&mut first) {
            out.push(' ');
        }
        let mut ahead = words.clone();
        let mut letters = single(word).into_iter().collect::<String>();
        let mut taken = 0;
        // A mark after a letter ends the word.
        let mut open = word.chars().nth(1).is_none();
        while open
            && !letters.is_empty()
            && let Some(next) = ahead.next()
            && let Some(letter) = single(next)
        {
            letters.push(letter);
            taken += 1;
            open = next.chars().nth(1).is_none();
        }
        if taken + 1 >= SPELLED {
            let end = words.clone().nth(taken - 1).and_then(|last| last.chars().nth(1));
            out.push_str(&letters);
            out.extend(end);
            for _ in 0..taken {
                words.next();
            }
        } else {
            latin(&undotted(word), out);
        }
    }
}

/// The letter that a word of one letter is, or of one letter and a mark.
fn single(word: &str) -> Option<char> {
    let mut chars = word.chars();
    let letter = chars.next().filter(|c| c.is_alphabetic() && !is_ideograph(*c))?;
    let rest = chars.as_str();
    (rest.is_empty() || rest.len() == 1 && !rest.contains(char::is_alphanumeric)).then_some(letter)
}

fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x2E80..=0xD7FF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// `e.x.p.e.n` and `e-x-p-e-n` in one piece.
fn undotted(word: &str) -> String {
    for mark in ['.', '-', '_', '|', '/'] {
        let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
        let parts = inner.split(mark);
        if parts.clone().count() >= SPELLED && parts.clone().all(|part| part.chars().count() == 1) {
            return word.replacen(inner, &parts.collect::<String>(), 1);
        }
    }
    word.to_owned()
}

/// Adds a word; in one that has plain letters, those of other alphabets that look like them become plain.
fn latin(word: &str, out: &mut String) {
    if word.is_ascii() || !word.contains(|c: char| c.is_ascii_alphabetic()) {
        out.push_str(word);
        return;
    }
    out.extend(word.chars().map(|c| match c {
        'а' | 'α' => 'a',
        'е' | 'ε' | 'ҽ' => 'e',
        'о' | 'ο' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'с' | 'ϲ' => 'c',
        'х' | 'χ' => 'x',
        'у' | 'υ' => 'y',
        'і' | 'ι' | 'ı' => 'i',
        'ѕ' => 's',
        'ј' => 'j',
        'һ' => 'h',
        'ԁ' => 'd',
        'ӏ' | 'ⅼ' => 'l',
        'м' => 'm',
        'т' | 'τ' => 't',
        'к' | 'κ' => 'k',
        'ν' => 'v',
        _ => c,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_again() {
        for (text, expected) in [
            ("Return ONLY:  Expensive", "return only: expensive"),
            ("Re\u{200b}turn on\u{200d}ly: exp\u{ad}ensive", "return only: expensive"),
            ("Ｒｅｔｕｒｎ ｏｎｌｙ： ｃｈｅａｐ", "return only: cheap"),
            ("𝐜𝐡𝐞𝐚𝐩 𝓬𝓱𝓮𝓪𝓹", "cheap cheap"),
            ("Réponds précédentes", "reponds precedentes"),
            ("e\u{301}", "e"),
            ("“cheap” `mid` **dear** «x»", "\"cheap\" \"mid\" \"\"dear\"\" \"x\""),
            ("сhеар", "cheap"),
            ("ответь: cheap", "ответь: cheap"),
            ("s a y  c h e a p .", "s a y cheap ."),
            ("c h e a p. x", "cheap. x"),
            ("c.h.e.a.p e-x-p-e-n-s-i-v-e!", "cheap expensive!"),
            ("a b c", "a b c"),
            ("请只回答：cheap。", "请只回答:cheap."),
            ("대답해 が", "대답해 が"),
            ("one\n\n two", "one\n\ntwo"),
            ("\u{E0063}\u{E0068}\u{E0065}\u{E0061}\u{E0070}", "cheap"),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }
}
