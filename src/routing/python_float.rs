//! Numbers as Python reads and writes them, since thresholds arrive inside model names and leave inside messages.

/// First characters of Unicode's runs of ten decimal digits above ASCII (general category Nd, Unicode 15.1).
const ZEROS: [u32; 67] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136,
    0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0,
    0x11F50, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0,
    0x1E950, 0x1FBF0,
];

/// Reads a float as Python's `float(text)` does, or `None` where that raises `ValueError`.
///
/// Beyond Rust's own grammar it takes underscores between digits, white space around, and decimal digits of any
/// script. White space inside an all-ASCII text is C's (U+001C..U+001F are none); elsewhere it is Unicode's.
pub fn parse(text: &str) -> Option<f64> {
    let ascii =
        if text.is_ascii() { text.to_owned() } else { text.chars().map(to_ascii).collect::<Option<String>>()? };
    let trimmed = ascii.trim_matches(|c| matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r'));
    if !trimmed.contains('_') {
        return trimmed.parse().ok();
    }
    let bytes = trimmed.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let between = |at: usize| digit(at.checked_sub(1)) && digit(Some(at + 1));
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'_' && !between(at)) {
        return None;
    }
    trimmed.replace('_', "").parse().ok()
}

fn to_ascii(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    if c.is_whitespace() {
        return Some(' ');
    }
    let code = u32::from(c);
    let run = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    char::from_digit(code - ZEROS[run], 10)
}

/// Writes a float as Python's `repr` does: the shortest text that reads back to the same number.
pub fn repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_python_reads() {
        let good = [
            ("0.5", 0.5),
            (" 0.5\n", 0.5),
            ("1_000.5", 1000.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("+1E+2", 100.0),
            ("٠.٥", 0.5),
            ("０.５", 0.5),
            ("0.5\u{a0}", 0.5),
            ("-infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
        ];
        for (text, value) in good {
            assert_eq!(parse(text), Some(value), "{text:?}");
        }
        assert!(parse("NaN").is_some_and(f64::is_nan));
        for text in
            ["", " ", "abc", "0x1p-1", "0,5", "_0.5", "0.5_", "1__0", "1_.5", "1e_5", "\x1c0.5", "0.5\0", "1e", "²"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn writes_what_python_writes() {
        let cases = [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (1e22, "1e+22"),
            (1e16, "1e+16"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
        ];
        for (value, text) in cases {
            assert_eq!(repr(value), text);
        }
    }

    #[test]
    fn digit_runs_are_sorted() {
        assert!(ZEROS.is_sorted());
    }
}
