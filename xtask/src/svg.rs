//! A picture of a terminal, from what `tmux capture-pane -e` gives.

use core::fmt::Write;

const CELL: (usize, usize) = (9, 19);
const MARGIN: usize = 12;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d6d9de";
/// The sixteen colours, as many terminals have them.
const COLOURS: [&str; 16] = [
    "#2b2f36", "#d9534f", "#6bb36b", "#d8b24c", "#5b8dd9", "#b678c9", "#4fb3b3", "#c8ccd2",
    "#7d858f", "#ff7b72", "#8ddb8c", "#f2d272", "#82b1ff", "#dba6ee", "#7fe0e0", "#ffffff",
];

/// How letters look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Style {
    fore: Option<usize>,
    back: Option<usize>,
    bold: bool,
    dim: bool,
    reversed: bool,
}

impl Style {
    /// Takes the numbers of one `ESC [ … m`.
    fn set(&mut self, numbers: &str) {
        let mut numbers = numbers.split(';').map(|number| number.parse().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                7 => self.reversed = true,
                22 => (self.bold, self.dim) = (false, false),
                27 => self.reversed = false,
                number @ 30..=37 => self.fore = Some(number - 30),
                // `38;5;N`: the first sixteen of 256 are the sixteen.
                38 => self.fore = numbers.nth(1),
                39 => self.fore = None,
                number @ 40..=47 => self.back = Some(number - 40),
                48 => self.back = numbers.nth(1),
                49 => self.back = None,
                number @ 90..=97 => self.fore = Some(number - 82),
                number @ 100..=107 => self.back = Some(number - 92),
                _ => {}
            }
        }
    }

    fn colours(self) -> (&'static str, Option<&'static str>) {
        let name = |number: usize| COLOURS.get(number).copied();
        let fore = self.fore.and_then(name).unwrap_or(FOREGROUND);
        let back = self.back.and_then(name);
        match self.reversed {
            true => (back.unwrap_or(BACKGROUND), Some(fore)),
            false => (fore, back),
        }
    }
}

/// Draws it. Every letter is one column wide.
pub(crate) fn of(captured: &str, title: &str) -> String {
    let lines: Vec<Vec<(char, Style)>> = read(captured);
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0).max(80);
    let width = columns * CELL.0 + 2 * MARGIN;
    let height = lines.len() * CELL.1 + 2 * MARGIN;
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, \
         monospace\" font-size=\"15\" xml:space=\"preserve\">\n<title>{}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n",
        escaped(title)
    );
    for (row, line) in lines.iter().enumerate() {
        let top = MARGIN + row * CELL.1;
        let mut column = 0;
        while let Some((_, style)) = line.get(column) {
            let rest = line.get(column..).unwrap_or_default();
            let run: String = rest
                .iter()
                .take_while(|(_, other)| other == style)
                .map(|(sign, _)| *sign)
                .collect();
            draw(&mut out, &run, *style, MARGIN + column * CELL.0, top);
            column += run.chars().count();
        }
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, run: &str, style: Style, left: usize, top: usize) {
    let (fore, back) = style.colours();
    let length = run.chars().count() * CELL.0;
    let dim = if style.dim { " opacity=\"0.6\"" } else { "" };
    if let Some(back) = back {
        let height = CELL.1;
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{length}\" height=\"{height}\" fill=\"{back}\"/>"
        );
    }
    // Blocks as such: fonts leave gaps between them.
    for (index, sign) in run.chars().enumerate() {
        let x = left + index * CELL.0;
        let (x, width, part) = match sign {
            '█' => (x, CELL.0, 8),
            '▌' => (x, CELL.0 / 2, 8),
            '▐' => (x + CELL.0 / 2, CELL.0 - CELL.0 / 2, 8),
            '▁'..='▇' => (x, CELL.0, u32::from(sign) - u32::from('▁') + 1),
            _ => continue,
        };
        let tall = CELL.1 * part as usize / 8;
        let y = top + CELL.1 - tall;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{tall}\" fill=\"{fore}\"{dim}/>"
        );
    }
    let text: String = run
        .chars()
        .map(|sign| {
            if ('▁'..='▐').contains(&sign) {
                ' '
            } else {
                sign
            }
        })
        .collect();
    if text.trim().is_empty() {
        return;
    }
    let weight = if style.bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let base = top + CELL.1 - 5;
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{base}\" textLength=\"{length}\" fill=\"{fore}\"{weight}{dim}>{}</text>",
        escaped(&text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn read(captured: &str) -> Vec<Vec<(char, Style)>> {
    let mut style = Style::default();
    let mut lines = Vec::new();
    for text in captured.lines() {
        let mut line = Vec::new();
        let mut signs = text.chars();
        while let Some(sign) = signs.next() {
            match sign {
                '\u{1b}' => {
                    let sequence: String = signs.by_ref().take_while(|sign| *sign != 'm').collect();
                    style.set(sequence.trim_start_matches('['));
                }
                sign => line.push((sign, style)),
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_blocks_are_drawn() {
        let same = |one: &str, other: &str| {
            let of = |set: &str| of(&format!("\u{1b}[{set}mx"), "");
            assert_eq!(of(one), of(other), "{one}, {other}");
        };
        same("92", "38;5;10");
        same("0;36", "1;38;5;7;22;38;5;6");
        same("41", "48;5;1");
        let picture = of("a\u{1b}[1;92m<b>\u{1b}[0m █\n\u{1b}[7mc\u{1b}[0m", "t & t");
        assert!(picture.contains("<title>t &amp; t</title>"));
        assert!(
            picture.contains("font-weight=\"bold\">&lt;b&gt;</text>"),
            "{picture}"
        );
        assert!(picture.contains("fill=\"#8ddb8c\""));
        assert_eq!(picture.matches("<rect").count(), 3, "{picture}");
        assert!(picture.contains(&format!("fill=\"{BACKGROUND}\">c</text>")));
    }
}
