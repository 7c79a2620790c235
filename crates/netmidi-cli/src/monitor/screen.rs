//! What a person has set on the screen, and what keys do to it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::filter::Filter;
use super::list::List;
use super::model::Model;

/// So much can be typed.
const TYPED: usize = 120;

/// What is seen below the messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Bottom {
    #[default]
    Meter,
    Roll,
}

/// What a key asks for beyond the screen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    Nothing,
    Quit,
    /// Ctrl-C: as a terminal would do it.
    Interrupt,
    Suspend,
    /// Draw everything anew.
    Repaint,
}

/// A filter that is being typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typing {
    pub(crate) text: String,
}

/// Messages held still.
#[derive(Clone, Debug)]
pub(crate) struct Still {
    pub(crate) list: List,
    /// Rows below the screen, of those that the filter shows.
    pub(crate) below: usize,
}

/// What a person has set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    pub(crate) bottom: Bottom,
    pub(crate) help: bool,
    pub(crate) filter: Filter,
    /// As it was typed.
    pub(crate) filter_text: String,
    pub(crate) typing: Option<Typing>,
    /// What is wrong with the filter that was typed.
    pub(crate) wrong: Option<String>,
    pub(crate) still: Option<Still>,
    /// The first session that is seen.
    pub(crate) first_session: usize,
    /// Rows that were never on the screen, because more came than fit.
    pub(crate) unseen: u64,
    /// All rows at the last drawing, and how many of them fit.
    pub(crate) drawn: u64,
    pub(crate) page: usize,
}

impl Screen {
    pub(crate) fn key(&mut self, key: KeyEvent, model: &mut Model) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Wish::Interrupt,
                KeyCode::Char('z') => return Wish::Suspend,
                KeyCode::Char('l') => return Wish::Repaint,
                KeyCode::Char('u') => {
                    if let Some(typing) = &mut self.typing {
                        typing.text.clear();
                    }
                    return Wish::Nothing;
                }
                _ => return Wish::Nothing,
            }
        }
        if self.typing.is_some() {
            self.type_key(key.code, model);
            return Wish::Nothing;
        }
        if self.help {
            self.help = false;
            if !matches!(key.code, KeyCode::Char('q')) {
                return Wish::Nothing;
            }
        }
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('/') => {
                self.wrong = None;
                self.typing = Some(Typing {
                    text: self.filter_text.clone(),
                });
            }
            KeyCode::Char(' ') => match self.still.take() {
                Some(_) => {}
                None => self.hold(model),
            },
            KeyCode::Up | KeyCode::Char('k') => self.scroll(model, 1),
            KeyCode::Down | KeyCode::Char('j') => self.unscroll(1),
            KeyCode::PageUp => self.scroll(model, self.page.max(1)),
            KeyCode::PageDown => self.unscroll(self.page.max(1)),
            KeyCode::Home => self.scroll(model, usize::MAX),
            KeyCode::End => self.still = None,
            KeyCode::Esc => {
                self.wrong = None;
                if self.still.take().is_none() {
                    self.filter = Filter::default();
                    self.filter_text.clear();
                }
            }
            KeyCode::Tab | KeyCode::BackTab => {
                self.bottom = match self.bottom {
                    Bottom::Meter => Bottom::Roll,
                    Bottom::Roll => Bottom::Meter,
                }
            }
            KeyCode::Char('m') => self.bottom = Bottom::Meter,
            KeyCode::Char('r') => self.bottom = Bottom::Roll,
            KeyCode::Char('c') => {
                model.clear();
                self.still = None;
                self.unseen = 0;
                self.drawn = 0;
            }
            KeyCode::Char('[') => self.first_session = self.first_session.saturating_sub(1),
            KeyCode::Char(']') => {
                let last = model.sessions().len().saturating_sub(1);
                self.first_session = (self.first_session + 1).min(last);
            }
            _ => {}
        }
        Wish::Nothing
    }

    fn type_key(&mut self, code: KeyCode, model: &Model) {
        let Some(typing) = &mut self.typing else {
            return;
        };
        match code {
            KeyCode::Char(sign) if typing.text.chars().count() < TYPED => typing.text.push(sign),
            KeyCode::Backspace if typing.text.is_empty() => {
                self.typing = None;
                self.wrong = None;
                return;
            }
            KeyCode::Backspace => {
                typing.text.pop();
            }
            KeyCode::Esc => {
                self.typing = None;
                self.wrong = None;
                return;
            }
            KeyCode::Enter => {
                match Filter::parse(&typing.text, |name| model.is_name(name)) {
                    Ok(filter) => {
                        self.filter = filter;
                        self.filter_text = typing.text.trim().to_owned();
                        self.typing = None;
                        self.wrong = None;
                        if let Some(still) = &mut self.still {
                            still.below = 0;
                        }
                    }
                    Err(bad) => self.wrong = Some(bad.to_string()),
                }
                return;
            }
            _ => return,
        }
        self.wrong = None;
    }

    fn hold(&mut self, model: &Model) {
        self.still = Some(Still {
            list: model.list.clone(),
            below: 0,
        });
    }

    /// Looking back holds the messages still.
    fn scroll(&mut self, model: &Model, rows: usize) {
        if self.still.is_none() {
            self.hold(model);
        }
        let (filter, page) = (&self.filter, self.page);
        if let Some(still) = &mut self.still {
            let all = still.list.newest_first().filter(|row| filter.shows(row));
            let most = all.count().saturating_sub(page);
            still.below = still.below.saturating_add(rows).min(most);
        }
    }

    fn unscroll(&mut self, rows: usize) {
        if let Some(still) = &mut self.still {
            still.below = still.below.saturating_sub(rows);
        }
    }
}
