//! The picture: a model and what a person has set, drawn into any size.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use unicode_width::UnicodeWidthStr;

use super::filter::WORDS;
use super::fit::{cell, count, duration, fit, grouped};
use super::list::{Row, What};
use super::model::{Model, Notes, Session, State};
use super::screen::{Bottom, Screen};
use super::told::Mark;

/// The least that anything can be shown on.
const LEAST: (u16, u16) = (20, 6);
/// Rows of the sessions, with their heading, where there are so many.
const LEAST_SESSIONS: u16 = 4;
/// The columns of the table that are no names.
const NUMBERS: usize = 13 + 7 + 7 + 5 + 5 + 5 + 7;
/// A colour for each channel.
const HUES: [Color; 16] = [
    Color::LightGreen,
    Color::LightCyan,
    Color::LightYellow,
    Color::LightMagenta,
    Color::LightRed,
    Color::LightBlue,
    Color::Green,
    Color::Cyan,
    Color::Yellow,
    Color::Magenta,
    Color::Red,
    Color::Blue,
    Color::White,
    Color::Gray,
    Color::LightGreen,
    Color::LightCyan,
];

/// How it may be drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Whether there may be colours.
    pub(crate) colour: bool,
    /// Whether the terminal knows more than ASCII.
    pub(crate) unicode: bool,
}

impl Look {
    fn colour(self, colour: Color) -> Style {
        match self.colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn dim(self) -> Style {
        match self.colour {
            true => Style::new().fg(Color::DarkGray),
            false => Style::new().add_modifier(Modifier::DIM),
        }
    }

    const fn bold() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    const fn ellipsis(self) -> char {
        if self.unicode { '…' } else { '~' }
    }

    const fn rule(self) -> &'static str {
        if self.unicode { "─" } else { "-" }
    }

    /// A part of a cell, 0 to 8, filled from below.
    fn eighths(self, eighths: usize) -> char {
        let signs = match self.unicode {
            true => [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            false => [' ', '.', '.', ':', ':', '|', '|', '#', '#'],
        };
        signs.get(eighths).copied().unwrap_or('#')
    }
}

/// Draws everything.
pub(crate) fn draw(
    frame: &mut Frame<'_>,
    model: &Model,
    screen: &mut Screen,
    now: Duration,
    look: Look,
) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = Paragraph::new("too small");
        frame.render_widget(text, area);
        return;
    }
    let rows = Rows::of(area, model, screen);
    title(frame, rows.title, model, screen, look);
    sessions(frame, rows.sessions, model, screen, look);
    messages(frame, rows.messages, model, screen, look);
    match screen.bottom {
        Bottom::Meter => meter(frame, rows.bottom, model, now, look),
        Bottom::Roll => roll(frame, rows.bottom, model, look),
    }
    foot(frame, rows.foot, model, screen, look);
    if screen.help {
        help(frame, area, look);
    }
}

/// Who gets which rows.
struct Rows {
    title: Rect,
    sessions: Rect,
    messages: Rect,
    bottom: Rect,
    foot: Rect,
}

impl Rows {
    fn of(area: Rect, model: &Model, screen: &Screen) -> Self {
        let inner = area.height.saturating_sub(2);
        let bottom = match screen.bottom {
            Bottom::Meter => 6.max(inner / 5).min(10),
            Bottom::Roll => 8.max(inner / 2),
        };
        // Messages go first where there is little room.
        let bottom = if inner < 12 { 0 } else { bottom.min(inner - 6) };
        let known = u16::try_from(model.sessions().len()).unwrap_or(u16::MAX);
        let more = u16::from(model.untracked() > 0);
        let most = (inner - bottom) / 3;
        let sessions = known
            .max(1)
            .saturating_add(1 + more)
            .min(most.max(LEAST_SESSIONS.min(inner - bottom - 2)));
        let messages = inner - bottom - sessions;
        let mut top = area.y;
        let mut take = |height: u16| {
            let rect = Rect::new(area.x, top, area.width, height);
            top += height;
            rect
        };
        Self {
            title: take(1),
            sessions: take(sessions),
            messages: take(messages),
            bottom: take(bottom),
            foot: take(1),
        }
    }
}

/// One row of a rectangle.
fn row(area: Rect, index: u16) -> Option<Rect> {
    (index < area.height).then(|| Rect::new(area.x, area.y + index, area.width, 1))
}

fn put(frame: &mut Frame<'_>, area: Option<Rect>, line: impl Into<Line<'static>>) {
    if let Some(area) = area {
        frame.render_widget(line.into(), area);
    }
}

fn title(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen, look: Look) {
    let width = usize::from(area.width);
    let state = match &screen.still {
        Some(_) => " PAUSED ",
        None => " live ",
    };
    let listening = match model.listening() {
        [] => String::new(),
        [one] => format!("listening on {one}"),
        [one, more @ ..] => format!("listening on {one} and {} more", more.len()),
    };
    let left = format!(" netmidi monitor  {listening}");
    let room = width.saturating_sub(state.width());
    let line = vec![
        Span::styled(cell(&left, room, look.ellipsis()), look.bar()),
        Span::styled(
            state,
            look.bar().patch(match screen.still {
                Some(_) => look.colour(Color::Yellow).add_modifier(Modifier::BOLD),
                None => Style::new(),
            }),
        ),
    ];
    put(frame, Some(area), Line::from(line));
}

/// A heading with a rule to the end of the line.
fn heading(text: &str, right: &str, width: u16, look: Look) -> Line<'static> {
    let width = usize::from(width);
    let right = if right.is_empty() {
        String::new()
    } else {
        format!(" {right}")
    };
    let right = cell(&right, right.width().min(width), look.ellipsis());
    let text = fit(text, width.saturating_sub(right.width() + 1));
    let rule = width.saturating_sub(text.width() + right.width() + 1);
    Line::from(vec![
        Span::styled(format!("{text} "), Look::bold()),
        Span::styled(look.rule().repeat(rule), look.dim()),
        Span::raw(right),
    ])
}

fn sessions(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &mut Screen, look: Look) {
    let width = usize::from(area.width);
    let spare = width.saturating_sub(NUMBERS);
    // A name is more useful than an address.
    let name = (spare * 2 / 5).clamp(6, 40);
    let address = spare.saturating_sub(name);
    let columns = [
        (name, "NAME", false),
        (address, "ADDRESS", false),
        (13, "STATE", false),
        (7, "LATENCY", true),
        (7, "JITTER", true),
        (5, "LOST", true),
        (5, "FIXED", true),
        (5, "MSG/S", true),
    ];
    let line = |cells: [String; 8]| {
        let mut text = String::new();
        for ((width, _, right), it) in columns.iter().zip(cells) {
            if *width == 0 {
                continue;
            }
            let space = width.saturating_sub(it.width());
            if *right {
                text.push_str(&" ".repeat(space));
                text.push_str(&cell(&it, it.width().min(*width), look.ellipsis()));
            } else {
                text.push_str(&cell(&it, *width, look.ellipsis()));
            }
            text.push(' ');
        }
        text
    };
    put(
        frame,
        row(area, 0),
        Span::styled(
            line(columns.map(|(_, heading, _)| heading.to_owned())),
            Look::bold(),
        ),
    );
    let all = model.sessions();
    if all.is_empty() {
        let text = " nobody is connected yet";
        put(frame, row(area, 1), Span::styled(text, look.dim()));
        return;
    }
    let room = usize::from(area.height.saturating_sub(1));
    // With room for a line that tells of more.
    let fits = all.len() <= room && model.untracked() == 0;
    screen.first_session = match fits {
        true => 0,
        false => screen.first_session.min(all.len().saturating_sub(1)),
    };
    let shown = if fits { room } else { room.saturating_sub(1) };
    let mut index = 1;
    for session in all.iter().skip(screen.first_session).take(shown) {
        let text = line([
            session.name.to_string(),
            session.address.to_string(),
            state(&session.state),
            session.latency_us.map_or_else(none, duration),
            session.jitter_us.map_or_else(none, duration),
            session.lost.map_or_else(none, |it| count(it).into_owned()),
            session
                .repaired
                .map_or_else(none, |it| count(it).into_owned()),
            count(session.per_second()).into_owned(),
        ]);
        put(
            frame,
            row(area, index),
            Span::styled(text, style(session, look)),
        );
        index += 1;
    }
    if !fits {
        let seen = screen.first_session + usize::from(index) - 1;
        let more = u64::try_from(all.len().saturating_sub(seen)).unwrap_or(0);
        let text = format!(
            " {} more below, {} above ([ and ] scroll)",
            grouped(more + model.untracked()),
            screen.first_session
        );
        put(frame, row(area, index), Span::styled(text, look.dim()));
    }
}

fn none() -> String {
    "-".to_owned()
}

fn state(state: &State) -> String {
    match state {
        State::Inviting(_) => "inviting".to_owned(),
        State::Connected => "connected".to_owned(),
        State::Synchronised => "synchronised".to_owned(),
        State::Silent => "silent".to_owned(),
        State::Gone { reason, .. } => format!("gone: {reason}"),
    }
}

fn style(session: &Session, look: Look) -> Style {
    match &session.state {
        State::Inviting(_) => look.colour(Color::Cyan),
        State::Connected => Style::new(),
        State::Synchronised => look.colour(Color::Green),
        State::Silent => look.colour(Color::Yellow).add_modifier(Modifier::BOLD),
        State::Gone { .. } => look.dim(),
    }
}

fn messages(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &mut Screen, look: Look) {
    let height = usize::from(area.height.saturating_sub(1));
    screen.page = height;
    // What came and went between two pictures.
    let total = model.list.total();
    if screen.still.is_none() {
        let new = total.saturating_sub(screen.drawn);
        screen.unseen += new.saturating_sub(u64::try_from(height).unwrap_or(u64::MAX));
    }
    screen.drawn = total;
    let (list, below) = match &screen.still {
        Some(still) => (&still.list, still.below),
        None => (&model.list, 0),
    };
    let filter = &screen.filter;
    let shown: Vec<&Row> = list
        .newest_first()
        .filter(|row| filter.shows(row))
        .skip(below)
        .take(height)
        .collect();
    let mut left = format!("MESSAGES {}", grouped(model.messages));
    if model.repaired > 0 {
        left.push_str(&format!(", {} repaired", grouped(model.repaired)));
    }
    if !filter.is_empty() {
        left.push_str(&format!("  only: {}", fit(&screen.filter_text, 40)));
    }
    let right = match &screen.still {
        Some(still) if still.below > 0 => format!(
            "{} below, {} came since",
            grouped(u64::try_from(still.below).unwrap_or(0)),
            grouped(total.saturating_sub(still.list.total()))
        ),
        Some(still) => format!(
            "{} came since",
            grouped(total.saturating_sub(still.list.total()))
        ),
        None if screen.unseen > 0 => {
            format!("{} skipped, too fast to show", grouped(screen.unseen))
        }
        None => String::new(),
    };
    put(
        frame,
        row(area, 0),
        heading(&left, &right, area.width, look),
    );
    if shown.is_empty() {
        let text = match (list.len(), filter.is_empty()) {
            (0, _) => " nothing has been played yet",
            (_, false) => " nothing of what is kept is shown by this filter; esc takes it away",
            _ => "",
        };
        put(frame, row(area, 1), Span::styled(text, look.dim()));
        return;
    }
    for (index, it) in shown.iter().rev().enumerate() {
        let Ok(index) = u16::try_from(index + 1) else {
            break;
        };
        put(
            frame,
            row(area, index),
            message(it, usize::from(area.width), look),
        );
    }
}

fn message(it: &Row, width: usize, look: Look) -> Line<'static> {
    let who = cell(&it.who, (width / 5).clamp(8, 32), look.ellipsis());
    let time = cell(&time(it.at), 12, look.ellipsis());
    let mut line = vec![
        Span::styled(format!("{time} "), look.dim()),
        Span::raw(format!("{who} ")),
    ];
    let used = time.width() + who.width() + 2;
    match &it.what {
        What::Event(text) => {
            let text = cell(text, width.saturating_sub(used), look.ellipsis());
            line.push(Span::styled(text, look.colour(Color::Cyan)));
        }
        What::Midi { short, mark } => {
            let (mark, style) = match mark {
                Mark::Live => ("", Style::new()),
                Mark::Repaired => (" repaired", look.colour(Color::Yellow)),
                Mark::Silenced => (" silenced", look.colour(Color::Magenta)),
                Mark::Restored => (" restored", look.colour(Color::Magenta)),
            };
            let room = width.saturating_sub(used + mark.len());
            let text = short.text();
            let text = cell(&text, text.width().min(room), look.ellipsis());
            line.push(Span::styled(text, style));
            line.push(Span::styled(mark, style.add_modifier(Modifier::BOLD)));
        }
    }
    Line::from(line)
}

fn time(at: Duration) -> String {
    let seconds = at.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{hours}:{minutes:02}:{:02}.{:03}",
        seconds % 60,
        at.subsec_millis()
    )
}

fn meter(frame: &mut Frame<'_>, area: Rect, model: &Model, now: Duration, look: Look) {
    if area.height < 4 {
        return;
    }
    put(
        frame,
        row(area, 0),
        heading("CHANNELS", "keys held below each", area.width, look),
    );
    let held = model.held();
    let each = usize::from(area.width / 16).max(1);
    let bars = usize::from(area.height - 3);
    let mut lines: Vec<Vec<Span<'static>>> = vec![Vec::new(); bars + 2];
    for (channel, notes) in held.iter().enumerate() {
        let keys = notes.count_ones();
        let level = usize::from(model.level(channel, now));
        let eighths = (level * bars * 8).div_ceil(127);
        let hue = hue(channel, look);
        let wide = each.saturating_sub(1).max(1);
        for (index, line) in lines.iter_mut().enumerate() {
            let span = if index < bars {
                let sign = look.eighths(eighths.saturating_sub((bars - 1 - index) * 8).min(8));
                Span::styled(cell(&sign.to_string().repeat(wide), each, ' '), hue)
            } else if index == bars {
                let style = if keys > 0 || level > 0 {
                    hue.add_modifier(Modifier::BOLD)
                } else {
                    look.dim()
                };
                Span::styled(cell(&(channel + 1).to_string(), each, ' '), style)
            } else {
                let text = if keys == 0 {
                    ".".to_owned()
                } else {
                    keys.to_string()
                };
                let style = if keys > 0 {
                    hue.add_modifier(Modifier::BOLD)
                } else {
                    look.dim()
                };
                Span::styled(cell(&text, each, ' '), style)
            };
            line.push(span);
        }
    }
    for (index, line) in lines.into_iter().enumerate() {
        let index = u16::try_from(index + 1).unwrap_or(u16::MAX);
        put(frame, row(area, index), Line::from(line));
    }
}

fn hue(channel: usize, look: Look) -> Style {
    look.colour(HUES.get(channel).copied().unwrap_or(Color::Reset))
}

/// Time goes upwards, the keyboard lies below: two keys in a column.
fn roll(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    if area.height < 4 {
        return;
    }
    let columns = (usize::from(area.width).saturating_sub(5)).min(64);
    // Where not all fits, the lowest and highest octaves go.
    let first = (64 - columns) / 2;
    let text = "ROLL";
    let right = "one line is 0.1 s, the newest is below";
    put(frame, row(area, 0), heading(text, right, area.width, look));
    let steps = usize::from(area.height - 3);
    let nothing: Notes = [0; 16];
    let held = model.held();
    let mut roll = model.roll();
    for index in 0..steps {
        let step = roll.next().unwrap_or(&nothing);
        let mut line = vec![Span::raw("     ")];
        line.extend((first..first + columns).map(|column| keys(step, column, look)));
        let index = u16::try_from(steps - index).unwrap_or(u16::MAX);
        put(frame, row(area, index), Line::from(line));
    }
    let mut line = vec![Span::styled(" now ", Look::bold())];
    line.extend((first..first + columns).map(|column| {
        let keys = keys(&held, column, look);
        let is_c = column % 6 == 0;
        match keys.content.trim().is_empty() {
            true => Span::styled(if is_c { "|" } else { "_" }, look.dim()),
            false => keys,
        }
    }));
    let index = area.height - 2;
    put(frame, row(area, index), Line::from(line));
    let octaves: String = (0..11)
        .map(|octave| cell(&format!("C{}", octave - 1), 6, ' '))
        .collect();
    let octaves = octaves.get(first..).unwrap_or("");
    let octaves = fit(octaves, columns);
    put(
        frame,
        row(area, index + 1),
        Span::styled(format!("     {octaves}"), look.dim()),
    );
}

/// Two neighbouring keys in one column.
fn keys(notes: &Notes, column: usize, look: Look) -> Span<'static> {
    let who = |key: usize| notes.iter().position(|held| held >> key & 1 == 1);
    let (left, right) = (who(column * 2), who(column * 2 + 1));
    let sign = match (left, right, look.unicode) {
        (None, None, _) => " ",
        (Some(_), Some(_), true) => "█",
        (Some(_), None, true) => "▌",
        (None, Some(_), true) => "▐",
        (Some(_), Some(_), false) => "#",
        (Some(_), None, false) => "[",
        (None, Some(_), false) => "]",
    };
    let Some(channel) = left.or(right) else {
        return Span::raw(sign);
    };
    Span::styled(sign, hue(channel, look))
}

fn foot(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen, look: Look) {
    let width = usize::from(area.width);
    if let Some(typing) = &screen.typing {
        let Some(wrong) = &screen.wrong else {
            let hint = match typing.text.is_empty() {
                true => "   ch1 note cc C4-C5 !clock piano; enter, esc",
                false => "",
            };
            // The end of what is typed is what matters.
            let room = width.saturating_sub(3);
            let mut text = fit(&typing.text, usize::MAX / 8);
            while text.width() > room {
                text.remove(0);
            }
            let line = vec![
                Span::styled("/", Look::bold()),
                Span::raw(text),
                Span::styled(" ", look.bar()),
                Span::styled(hint, look.dim()),
            ];
            put(frame, Some(area), Line::from(line));
            return;
        };
        let text = cell(&format!(" {wrong}"), width, look.ellipsis());
        let style = look.colour(Color::Red).add_modifier(Modifier::BOLD);
        put(frame, Some(area), Span::styled(text, style));
        return;
    }
    if let Some(sentence) = model.sentence() {
        let text = cell(&format!(" {sentence}"), width, look.ellipsis());
        put(
            frame,
            Some(area),
            Span::styled(text, look.colour(Color::Yellow)),
        );
        return;
    }
    let keys = " q quit  ? help  / filter  space pause  arrows scroll  c clear  tab meter/roll";
    put(
        frame,
        Some(area),
        Span::styled(cell(keys, width, look.ellipsis()), look.dim()),
    );
}

fn help(frame: &mut Frame<'_>, area: Rect, look: Look) {
    let mut lines = vec![
        Line::from("q, Ctrl-C quit     Ctrl-Z to the shell, fg comes back"),
        Line::from("space     hold the messages still, and let them go on"),
        Line::from("up, down, page up, page down, home, end   look back"),
        Line::from("tab, m, r  channel meters or piano roll;   c  clear"),
        Line::from("[ ]       scroll the sessions;   esc  no filter"),
        Line::from("/         filter, then words:"),
    ];
    for (words, means) in WORDS {
        lines.push(Line::from(vec![
            Span::styled(
                format!("  {} ", cell(words, 29, look.ellipsis())),
                Look::bold(),
            ),
            Span::raw(*means),
        ]));
    }
    lines.push(Line::from(
        "words of one kind: any of them; of different kinds: all",
    ));
    lines.push(Line::from(
        "LATENCY half a round trip; JITTER how unevenly packets come;",
    ));
    lines.push(Line::from(
        "LOST packets; FIXED messages that put right what they did",
    ));
    let width = area.width.min(78);
    let height = u16::try_from(lines.len() + 2)
        .unwrap_or(area.height)
        .min(area.height);
    let place = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    frame.render_widget(Clear, place);
    let mut block = Block::bordered().title(" help: any key closes it ");
    if !look.unicode {
        block = block.border_set(ASCII);
    }
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

const ASCII: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]
mod tests {
    use netmidi::message::Message;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::super::fit::fit;
    use super::super::told::{Figures, Short, Told};
    use super::*;

    const NOW: Duration = Duration::from_millis(62_345);
    const LOOK: Look = Look {
        colour: true,
        unicode: true,
    };

    struct Stage {
        model: Model,
        screen: Screen,
        look: Look,
    }

    impl Stage {
        fn new() -> Self {
            let mut model = Model::default();
            let text = "[::]:5004 as Front of house".to_owned();
            model.hear(NOW, Told::Listening { text });
            Self {
                model,
                screen: Screen::default(),
                look: LOOK,
            }
        }

        fn connect(&mut self, key: &str, name: &str) {
            self.model.hear(
                NOW,
                Told::Connected {
                    key: key.into(),
                    name: fit(name, 64).into(),
                    address: "192.168.178.123:5004".into(),
                    ours: false,
                },
            );
        }

        fn play(&mut self, octets: &[u8], mark: Mark) {
            self.model.hear(
                NOW,
                Told::Midi {
                    key: "a".into(),
                    at: NOW,
                    short: Short::of(&Message::parse(octets).unwrap()),
                    mark,
                },
            );
        }

        fn keys(&mut self, keys: &str) {
            for key in keys.chars() {
                let code = match key {
                    '\n' => KeyCode::Enter,
                    '\t' => KeyCode::Tab,
                    '\u{1b}' => KeyCode::Esc,
                    key => KeyCode::Char(key),
                };
                self.screen
                    .key(KeyEvent::new(code, KeyModifiers::NONE), &mut self.model);
            }
        }

        fn picture(&mut self, width: u16, height: u16) -> Vec<String> {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal
                .draw(|frame| draw(frame, &self.model, &mut self.screen, NOW, self.look))
                .unwrap();
            let buffer = terminal.backend().buffer();
            let mut lines = Vec::new();
            for y in 0..height {
                let mut line = String::new();
                let mut x = 0;
                while x < width {
                    let sign = buffer[(x, y)].symbol();
                    line.push_str(sign);
                    x += u16::try_from(sign.width().max(1)).unwrap();
                }
                lines.push(line.trim_end().to_owned());
            }
            lines
        }

        fn shows(&mut self, text: &str) -> bool {
            self.picture(80, 24).iter().any(|line| line.contains(text))
        }
    }

    fn playing() -> Stage {
        let mut stage = Stage::new();
        stage.connect("a", "Stage Piano");
        stage.model.hear(
            NOW,
            Told::Stats {
                key: "a".into(),
                numbers: Figures {
                    latency_us: Some(1234),
                    jitter_us: Some(210),
                    lost: Some(3),
                    repaired: Some(2),
                    signs: 9,
                    synchronised: true,
                },
            },
        );
        stage.play(&[0x90, 60, 127], Mark::Live);
        stage.play(&[0x90, 64, 127], Mark::Repaired);
        stage.play(&[0x95, 127, 127], Mark::Live);
        stage
    }

    #[test]
    fn everything_is_on_a_small_screen() {
        let lines = playing().picture(80, 24);
        assert!(lines[0].contains("listening on [::]:5004 as Front of house"));
        assert!(lines[0].ends_with("live"), "{}", lines[0]);
        assert_eq!(
            lines[1],
            "NAME         ADDRESS             STATE         LATENCY  JITTER  LOST FIXED MSG/S"
        );
        assert_eq!(
            lines[2],
            "Stage Piano  192.168.178.123:50… synchronised   1.23ms  0.21ms     3     3     0"
        );
        assert!(lines[3].starts_with("MESSAGES 3, 1 repaired ───"));
        assert_eq!(
            lines[5],
            "0:01:02.345  Stage Piano      note_on channel=0 note=60 velocity=127"
        );
        assert!(lines[6].ends_with("velocity=127 repaired"), "{}", lines[6]);
        let strip = lines
            .iter()
            .position(|line| line.starts_with("CHANNELS"))
            .unwrap();
        assert!(lines[strip + 1].starts_with("████"), "{lines:#?}");
        assert!(lines[strip + 4].starts_with("1    2    3 "));
        assert!(lines[strip + 5].starts_with("2    .    .    .    .    1    ."));
        assert!(lines[23].contains("q quit") && lines[23].contains("? help"));
    }

    #[test]
    fn the_roll_shows_keys_where_they_are() {
        let mut stage = playing();
        stage.model.tick(NOW + Duration::from_millis(100));
        stage.keys("r");
        let lines = stage.picture(80, 24);
        let now = lines.iter().find(|line| line.starts_with(" now ")).unwrap();
        let column = |key: usize| now.chars().nth(5 + key / 2).unwrap();
        assert_eq!((column(60), column(64), column(127)), ('▌', '▌', '▐'));
        assert_eq!((column(61), column(62), column(48)), ('▌', '_', '|'));
        let above = lines
            .iter()
            .position(|line| line.starts_with(" now "))
            .unwrap()
            - 1;
        assert_eq!(lines[above].chars().nth(35), Some('▌'), "{lines:#?}");
        stage.keys("m");
        assert!(stage.shows("CHANNELS"));
        stage.keys("\t");
        assert!(stage.shows("ROLL"));
    }

    #[test]
    fn a_filter_is_typed_and_a_bad_one_told() {
        let mut stage = playing();
        stage.keys("/ch6");
        assert!(stage.picture(80, 24)[23].starts_with("/ch6"));
        stage.keys("\n");
        let text = stage.picture(80, 24).join("\n");
        assert!(text.contains("only: ch6") && text.contains("channel=5"));
        assert!(!text.contains("channel=0 "), "{text}");
        stage.keys("\u{1b}/pc\n");
        assert!(stage.shows("nothing of what is kept"));
    }

    #[test]
    fn a_bad_filter_is_told_and_changes_nothing() {
        let mut stage = playing();
        stage.keys("/ch99\n");
        let lines = stage.picture(80, 24);
        assert!(lines[23].contains("channels are 1 to 16"), "{}", lines[23]);
        assert!(lines[3].starts_with("MESSAGES 3, 1 repaired ─"));
        stage.keys("\u{1b}");
        assert!(stage.picture(80, 24)[23].contains("q quit"));
        stage.keys("/organ\n");
        assert!(stage.picture(80, 24)[23].contains("in nobody's name"));
        stage.keys("\u{1b}/@organ\n");
        assert!(stage.shows("only: @organ"));
        stage.keys("\u{1b}");
        assert!(!stage.shows("only:"));
    }

    #[test]
    fn pause_holds_the_messages_and_only_them() {
        let mut stage = playing();
        stage.keys(" ");
        for value in 0..100 {
            stage.play(&[0xB1, 7, value], Mark::Live);
        }
        let lines = stage.picture(80, 24);
        assert!(lines[0].ends_with("PAUSED"));
        assert!(lines[3].ends_with("100 came since"), "{}", lines[3]);
        assert!(!lines.iter().any(|line| line.contains("control=7")));
        stage.keys(" ");
        assert!(stage.shows("control=7 value=99"));
        // Looking back does the same.
        stage.keys("kkk");
        let lines = stage.picture(80, 24);
        assert!(
            lines[0].ends_with("PAUSED") && lines[3].contains("3 below"),
            "{}",
            lines[3]
        );
        assert!(!stage.shows("value=99") && stage.shows("value=96"));
        stage.keys("c");
        assert!(stage.shows("nothing has been played"));
    }

    #[test]
    fn a_flood_says_how_much_was_skipped() {
        let mut stage = playing();
        stage.picture(80, 24);
        for value in 0..30_000u32 {
            stage.play(&[0xB1, 7, u8::try_from(value % 128).unwrap()], Mark::Live);
        }
        let lines = stage.picture(80, 24);
        assert!(
            lines[3].contains("29,987 skipped, too fast to show"),
            "{}",
            lines[3]
        );
    }

    #[test]
    fn help_lies_over_it_and_goes_with_any_key() {
        let mut stage = playing();
        stage.keys("?");
        let lines = stage.picture(80, 24);
        assert!(
            lines
                .iter()
                .any(|line| line.contains("help: any key closes it"))
        );
        for (words, means) in WORDS {
            assert!(lines.iter().any(|line| line.contains(words)), "{words}");
            assert!(lines.iter().any(|line| line.contains(means)), "{means}");
        }
        stage.keys("x");
        assert!(!stage.shows("any key closes"));
    }

    #[test]
    fn names_of_others_keep_to_their_columns() {
        let mut stage = Stage::new();
        for (key, name) in [
            ("a", "舞台鍵盤の名前はとても長い"),
            ("b", "Zalgo\u{301}\u{302}\u{303}\u{304}\u{305}o"),
            ("c", "\u{1b}[2J\u{1b}]0;x\u{7}\n\u{202e}evil"),
            ("d", "👩\u{200D}👩\u{200D}👧 family"),
            ("e", ""),
        ] {
            stage.connect(key, name);
            for look in [true, false] {
                stage.look.unicode = look;
                let lines = stage.picture(80, 24);
                for line in &lines {
                    assert!(line.width() <= 80, "{line}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
                let column = |line: &str| line.find("connected").map(|at| line[..at].width());
                assert_eq!(column(&lines[2]), Some(33), "{lines:#?}");
            }
        }
    }

    #[test]
    fn no_size_is_too_small_or_too_large() {
        for keys in ["", "r", "?", "/ch1", " k", "/zzz\n"] {
            let mut stage = playing();
            for number in 0..30 {
                stage.connect(&format!("k{number}"), "Somebody");
            }
            stage.keys(keys);
            for width in [1, 2, 19, 20, 21, 40, 64, 79, 80, 200, 500] {
                for height in [1, 2, 5, 6, 7, 8, 12, 14, 24, 50, 200] {
                    stage.picture(width, height);
                }
            }
        }
    }

    #[test]
    fn more_sessions_than_fit_are_counted_and_reached() {
        let mut stage = Stage::new();
        for number in 0..300 {
            stage.connect(&format!("k{number:03}"), &format!("Peer {number}"));
        }
        assert!(stage.shows("297 more below, 0 above"));
        assert!(stage.shows("Peer 0 ") && !stage.shows("Peer 5 "));
        stage.keys("]]]]]");
        assert!(stage.shows("Peer 5 ") && stage.shows("5 above"));
    }

    #[test]
    fn without_colours_there_are_none_and_without_unicode_only_ascii() {
        let mut stage = playing();
        stage.look = Look {
            colour: false,
            unicode: false,
        };
        for keys in ["", "r", "?"] {
            stage.keys(keys);
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            terminal
                .draw(|frame| draw(frame, &stage.model, &mut stage.screen, NOW, stage.look))
                .unwrap();
            for cell in terminal.backend().buffer().content() {
                assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
                assert!(cell.symbol().is_ascii(), "{}", cell.symbol());
            }
        }
    }
}
