//! The text that Prometheus reads (exposition format 0.0.4).

use std::fmt::Write as _;

use super::series::Histogram;

/// What its media type is.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
}

/// A text that grows by families; all lines of one stand together, as the format wants it.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    text: String,
    family: &'static str,
    /// Names of the families so far.
    names: Vec<String>,
}

impl Sheet {
    /// Begins a family: its name ends with its unit, and with `_total` if it is a counter.
    pub(super) fn family(&mut self, name: &'static str, kind: Type, help: &str) {
        self.family = name;
        self.head(name, kind, help);
    }

    fn head(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        self.names.push(name.to_owned());
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value of the family.
    pub(super) fn value(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        let family = self.family;
        self.line(family, "", labels, None, value.into());
    }

    /// A histogram of the family.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let family = self.family;
        let (counts, sum) = histogram.read();
        for (bound, count) in &counts {
            self.line(family, "_bucket", labels, Some(*bound), Value::Count(*count));
        }
        self.line(family, "_sum", labels, None, Value::Number(sum));
        self.line(family, "_count", labels, None, Value::Count(counts.last().map_or(0, |(_, count)| *count)));
    }

    /// Families that somebody else counts, as `name{label="value"}` with a number. Lines that are none, and names that are
    /// here already, are left out.
    pub(super) fn told(&mut self, lines: &[(String, f64)]) {
        let mut families: Vec<(&str, Vec<(&str, f64)>)> = Vec::new();
        for (line, value) in lines {
            let (name, labels) = line.split_at(line.find('{').unwrap_or(line.len()));
            if !is_name(name) || labels.contains('\n') || self.names.iter().any(|known| known == name) {
                continue;
            }
            match families.iter_mut().find(|(known, _)| *known == name) {
                Some((_, lines)) => lines.push((labels, *value)),
                None => families.push((name, vec![(labels, *value)])),
            }
        }
        for (name, lines) in families {
            let kind = if name.ends_with("_total") { Type::Counter } else { Type::Gauge };
            self.head(name, kind, "Of a threshold that is held by a ramp or a watch.");
            for (labels, value) in lines {
                let _ = write!(self.text, "{name}{labels} ");
                self.number(Value::Number(value));
            }
        }
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], bound: Option<f64>, value: Value) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (label, value) in labels {
            self.text.push(before);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
            before = ',';
        }
        if let Some(bound) = bound {
            self.text.push(before);
            self.text.push_str("le=\"");
            push_number(bound, &mut self.text);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        self.number(value);
    }

    fn number(&mut self, value: Value) {
        match value {
            Value::Count(count) => {
                let _ = write!(self.text, "{count}");
            }
            Value::Number(number) => push_number(number, &mut self.text),
        }
        self.text.push('\n');
    }

    /// The text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A number of one line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Count(u64),
    Number(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Infinities and what is no number have names of their own in this format.
fn push_number(number: f64, out: &mut String) {
    if number == f64::INFINITY {
        out.push_str("+Inf");
    } else if number == f64::NEG_INFINITY {
        out.push_str("-Inf");
    } else {
        let _ = write!(out, "{number}");
    }
}

fn escape(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::seeing::series::RATES;

    #[test]
    fn what_a_label_holds_stays_within_it() {
        let mut sheet = Sheet::default();
        sheet.family("a_total", Type::Counter, "What.");
        sheet.value(&[("model", "a\"b\\c\nd"), ("team", "é")], 3_u64);
        sheet.value(&[], f64::NEG_INFINITY);
        let expected = "# HELP a_total What.\n# TYPE a_total counter\na_total{model=\"a\\\"b\\\\c\\nd\",team=\"é\"} 3\na_total -Inf\n";
        assert_eq!(sheet.into_text(), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_infinity() {
        let histogram = Histogram::new(RATES);
        histogram.observe(0.07);
        histogram.observe(2.0);
        let mut sheet = Sheet::default();
        sheet.family("w", Type::Histogram, "W.");
        sheet.histogram(&[("router", "mf")], &histogram);
        let text = sheet.into_text();
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        has("w_bucket{router=\"mf\",le=\"0.05\"} 0");
        has("w_bucket{router=\"mf\",le=\"0.1\"} 1");
        has("w_bucket{router=\"mf\",le=\"+Inf\"} 2");
        has("w_sum{router=\"mf\"} 2.07");
        has("w_count{router=\"mf\"} 2");
    }

    #[test]
    fn what_others_tell_cannot_break_the_text() {
        let mut sheet = Sheet::default();
        sheet.family("mine", Type::Gauge, "Mine.");
        sheet.value(&[], 1.0);
        let told = [
            ("held_a{router=\"x\"}", 1.0),
            ("held_b_total", 2.0),
            ("held_a{router=\"y\"}", f64::INFINITY),
            ("mine", 7.0),
            ("9a", 1.0),
            ("evil\n# TYPE", 1.0),
            ("held_c{a=\"\n\"}", 1.0),
        ];
        sheet.told(&told.map(|(name, value)| (name.to_owned(), value)));
        let text = sheet.into_text();
        let rest = text
            .split_once("mine 1\n")
            .map(|(_, rest)| rest.replace("Of a threshold that is held by a ramp or a watch.", "H"));
        let expected = "# HELP held_a H\n# TYPE held_a gauge\nheld_a{router=\"x\"} 1\nheld_a{router=\"y\"} +Inf\n\
                        # HELP held_b_total H\n# TYPE held_b_total counter\nheld_b_total 2\n";
        assert_eq!(rest.as_deref(), Some(expected));
    }
}
