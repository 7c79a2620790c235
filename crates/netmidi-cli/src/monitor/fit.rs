//! Text of others that has to fit into a table.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::tame;

/// Marks over and under one letter; more would grow out of their line.
const MARKS: usize = 2;

/// Makes text fit for a table: tame, of a width that every terminal agrees about, and no longer than
/// `max` columns.
pub(crate) fn fit(text: &str, max: usize) -> String {
    // Before anything is done with all of it.
    let few: String = text.chars().take(max.saturating_mul(MARKS + 2)).collect();
    let mut out = String::new();
    let (mut width, mut marks) = (0, 0);
    for sign in tame(&few).chars() {
        let Some(columns) = sign.width() else {
            continue;
        };
        // Joiners and selectors: terminals differ in what they make of them.
        if matches!(sign, '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2064}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}')
        {
            continue;
        }
        if columns == 0 {
            marks += 1;
            if marks > MARKS || out.is_empty() {
                continue;
            }
        } else {
            marks = 0;
        }
        if width + columns > max {
            break;
        }
        width += columns;
        out.push(sign);
    }
    out
}

/// Exactly as wide: cut with an ellipsis, or filled up.
pub(crate) fn cell(text: &str, width: usize, ellipsis: char) -> String {
    let have = text.width();
    if have <= width {
        return format!("{text}{}", " ".repeat(width - have));
    }
    let room = width.saturating_sub(ellipsis.width().unwrap_or(1));
    let mut out = String::new();
    let mut used = 0;
    for sign in text.chars() {
        let columns = sign.width().unwrap_or(0);
        if used + columns > room {
            break;
        }
        used += columns;
        out.push(sign);
    }
    if width > 0 {
        out.push(ellipsis);
        used += 1;
    }
    out.push_str(&" ".repeat(width.saturating_sub(used)));
    out
}

/// A count in at most five columns.
pub(crate) fn count(number: u64) -> Cow<'static, str> {
    Cow::Owned(match number {
        0..=99_999 => number.to_string(),
        100_000..=9_999_999 => format!("{}k", number / 1_000),
        10_000_000..=9_999_999_999 => format!("{}M", number / 1_000_000),
        _ => return Cow::Borrowed("lots"),
    })
}

/// A count with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration in at most seven columns.
pub(crate) fn duration(micros: u64) -> String {
    match micros {
        0..=9_999 => format!("{}.{:02}ms", micros / 1_000, micros % 1_000 / 10),
        10_000..=99_999 => format!("{}.{}ms", micros / 1_000, micros % 1_000 / 100),
        100_000..=9_999_999 => format!("{}ms", micros / 1_000),
        _ => format!("{}s", (micros / 1_000_000).min(99_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_a_table() {
        assert_eq!(fit("Örgel 舞台", 64), "Örgel 舞台");
        assert_eq!(fit("舞台舞台", 5), "舞台");
        let marks = format!("a{}b", "\u{301}".repeat(1000));
        assert_eq!(fit(&marks, 64), "a\u{301}\u{301}");
        assert_eq!(
            fit("x\u{1b}[2Jy\u{200D}\u{202e}", 64),
            "x\u{FFFD}[2Jy\u{FFFD}"
        );
        assert_eq!(fit("\u{301}x", 64), "x");
        assert_eq!(fit(&"x".repeat(9999), 64).len(), 64);
    }

    #[test]
    fn cells_are_exactly_as_wide() {
        for text in [
            "",
            "a",
            "abcdef",
            "舞台舞",
            "a舞台",
            "e\u{301}e\u{301}e\u{301}e\u{301}e",
        ] {
            for width in 0..8 {
                assert_eq!(cell(text, width, '…').width(), width, "{text} {width}");
            }
        }
        assert_eq!(cell("abcdef", 4, '…'), "abc…");
        assert_eq!(cell("舞台舞", 4, '…'), "舞… ");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(count(99_999), "99999");
        assert_eq!(count(100_000), "100k");
        assert_eq!(count(12_345_678), "12M");
        assert_eq!(count(u64::MAX), "lots");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(duration(123), "0.12ms");
        assert_eq!(duration(12_345), "12.3ms");
        assert_eq!(duration(1_234_567), "1234ms");
        assert!(duration(u64::MAX).len() <= 7);
    }
}
