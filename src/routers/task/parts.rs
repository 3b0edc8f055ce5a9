//! Where in a text its instruction may stand.
//!
//! A text that is handed over with a request comes before it or after it, so there are two readings of a longer prompt:
//! the instruction at the beginning with material after it, or at the end with material before it. The head judges both.

/// Of a text so much is looked at on either side; what lies between costs nothing.
const SIDE: usize = 4096;
/// A longer line is no instruction as a whole...
const LONG: usize = 320;
/// ...but so much of it may be, in whole sentences.
const SENTENCES: usize = 240;
/// A first line of fewer words goes on in the next...
const FEW_WORDS: usize = 3;
/// ...unless that is longer than this.
const NEXT_LINE: usize = 160;
/// A paragraph of more lines is no instruction.
const LINES: usize = 3;
/// Of the material so much is looked at.
const MATERIAL: usize = 512;

/// Beginnings of a line that belongs to a block of material.
const OPENERS: [&str; 10] = ["```", "\"\"\"", "'''", "~~~", ">", "{", "[", "|", "---", "==="];
/// Beginnings of a last line that does.
const CLOSERS: [&str; 14] = ["```", "\"\"\"", "'''", "~~~", ">", "}", "]", "|", ")", "</", "---", "===", "- ", "* "];

/// Where an instruction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the whole text.
    Alone,
    /// Material follows.
    First,
    /// Material goes before.
    Last,
}

/// One way to read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading<'a> {
    pub(super) instruction: &'a str,
    /// The beginning of the material.
    pub(super) material: &'a str,
    pub(super) place: Place,
}

/// The ways to read a text, none for a blank one. Time does not grow with the text.
pub(super) fn readings(text: &str) -> impl Iterator<Item = Reading<'_>> {
    let short = text.len() <= 2 * SIDE;
    let (head, tail) = if short {
        let text = text.trim();
        (text, text)
    } else {
        let tail = text.ceil_char_boundary(text.len() - SIDE);
        (text[..text.floor_char_boundary(SIDE)].trim_start(), text[tail..].trim_end())
    };
    let alone = Reading { instruction: head, material: "", place: Place::Alone };
    let readings = if short && head.len() <= LONG && !head.contains('\n') {
        [Some(alone), None]
    } else {
        both(head, tail, short).unwrap_or([Some(Reading { instruction: up_to(head, LONG), ..alone }), None])
    };
    readings.into_iter().flatten().filter(|reading| !reading.instruction.is_empty())
}

/// Readings of a longer text; `None` when it is made of blocks only.
fn both<'a>(head: &'a str, tail: &'a str, short: bool) -> Option<[Option<Reading<'a>>; 2]> {
    let first = first_of(head);
    let last = last_of(tail).filter(|last| !short || first.map_or(0, str::len) + last.len() < tail.len());
    let first = first.map(|instruction| {
        let rest = head[instruction.len()..].trim_start();
        let place = if rest.is_empty() { Place::Alone } else { Place::First };
        Reading { instruction, material: up_to(rest, MATERIAL), place }
    });
    let before = if short { tail.len() - last.map_or(0, str::len) } else { head.len() };
    let last =
        last.map(|instruction| Reading { instruction, material: up_to(&head[..before], MATERIAL), place: Place::Last });
    (first.is_some() || last.is_some()).then_some([first, last])
}

fn up_to(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The end of the line that `at` lies in.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |n| at + n)
}

/// What may be an instruction at the beginning.
fn first_of(head: &str) -> Option<&str> {
    if OPENERS.iter().any(|opener| head.starts_with(opener)) || starts_with_tag(head) {
        return None;
    }
    let mut end = line_end(head, 0);
    if head[..end].split_whitespace().take(FEW_WORDS).count() < FEW_WORDS {
        let next = end + head[end..].len() - head[end..].trim_start().len();
        let after = line_end(head, next);
        // "Hi," goes on after a blank line; "Summarize this." is over.
        let said = head[..end].trim_end();
        let goes_on = if next - end > 1 { said.ends_with([',', '!']) } else { !said.ends_with([':', '.', '?']) };
        if goes_on && after - next <= NEXT_LINE {
            end = after;
        }
    } else if !head[..end].trim_end().ends_with(':')
        && let Some(paragraph) = head.find("\n\n").filter(|&n| n <= LONG)
        && head[..paragraph].lines().take(LINES + 1).count() <= LINES
    {
        end = paragraph.max(end);
    }
    let line = &head[..end];
    if line.len() <= LONG {
        return Some(line);
    }
    let within = up_to(line, LONG);
    let ends = || sentence_ends(within);
    let cut = ends().take_while(|&n| n <= SENTENCES).last().or_else(|| ends().next());
    Some(&line[..cut.unwrap_or_else(|| line.floor_char_boundary(SENTENCES))])
}

/// What may be an instruction at the end.
fn last_of(tail: &str) -> Option<&str> {
    let begin = tail.rfind('\n').map_or(0, |n| n + 1);
    let line = tail[begin..].trim_start();
    if CLOSERS.iter().any(|closer| line.starts_with(closer)) || ["```", "\"\"\""].iter().any(|c| line.ends_with(c)) {
        return None;
    }
    if line.len() > LONG {
        let window = &line[line.ceil_char_boundary(line.len() - SENTENCES)..];
        // The end of the last sentence is the end of the text.
        return sentence_ends(window).last().map(|n| window[n..].trim_start());
    }
    let paragraph = tail.rfind("\n\n").map_or(0, |n| n + 2);
    let lines = tail[paragraph..].trim_start();
    if paragraph > 0 && lines.len() <= LONG && lines.lines().take(LINES + 1).count() <= LINES {
        let opens = OPENERS.iter().any(|opener| lines.starts_with(opener)) || starts_with_tag(lines);
        return (!opens).then_some(lines);
    }
    Some(line)
}

/// Where a sentence ends and another follows.
fn sentence_ends(line: &str) -> impl Iterator<Item = usize> {
    line.as_bytes().windows(2).enumerate().filter_map(|(at, pair)| {
        (matches!(pair[0], b'.' | b'?' | b'!') && pair[1].is_ascii_whitespace()).then_some(at + 1)
    })
}

/// `<text>`, `<review id="3">`.
fn starts_with_tag(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('<') else { return false };
    rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.bytes().take(60).any(|b| b == b'>')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&str, Place)> {
        readings(text).map(|reading| (reading.instruction, reading.place)).collect()
    }

    #[test]
    fn an_instruction_may_stand_at_either_end() {
        let text = "The harbour froze over in the night, and nobody had told the fishermen.\nThey waited.";
        assert_eq!(found("Summarize this"), [("Summarize this", Place::Alone)]);
        let after = format!("{text}\n\nSummarize this.\nThree sentences.");
        assert_eq!(found(&after)[1], ("Summarize this.\nThree sentences.", Place::Last));
        for (first, is) in [("Summarize this.", "Summarize this."), ("Hi!\n\nSum it up", "Hi!\n\nSum it up")] {
            assert_eq!(found(&format!("{first}\n\n{text}"))[0], (is, Place::First));
        }
        for block in
            [format!("<text>\n{text}\n</text>"), format!("```\n{text}\n```"), format!("\"\"\"\n{text}\n\"\"\"")]
        {
            assert_eq!(found(&format!("{block}\n\nSummarize this.")), [("Summarize this.", Place::Last)]);
            assert_eq!(found(&format!("Summarize this.\n{block}")), [("Summarize this.", Place::First)]);
        }
    }

    #[test]
    fn a_long_line_is_read_in_sentences() {
        let line = format!("{} Which boat came home?", "The fleet sailed at dawn. ".repeat(1000).trim_end());
        let found = found(&line);
        assert_eq!(found[1], ("Which boat came home?", Place::Last));
        assert!(found[0].0.len() <= SENTENCES && found[0].0.ends_with("dawn."), "{found:?}");
    }

    #[test]
    fn odd_texts_have_sound_readings() {
        for text in ["", "\n \n", "\u{301}", "```", "<a>", "é\n\né", "a\n\n\nb", "\n\n", ">\n|"] {
            for repeat in [1, 3, 5000] {
                let text = text.repeat(repeat);
                for reading in readings(&text) {
                    assert!(reading.instruction.len() <= LONG && reading.material.len() <= MATERIAL, "{text:?}");
                }
            }
        }
    }
}
