//! Invitations, and what became of them.

use netmidi_wire::{ExchangeKind, Token};

use super::moment::Moment;

/// Invitations of a session that are told apart at most; beyond them the oldest are forgotten.
const MAX_ATTEMPTS: usize = 16;

/// One of the two ports of an invitation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    /// How often it was asked.
    pub(super) asked: u32,
    pub(super) first: Option<Moment>,
    /// The first answer of each kind.
    pub(super) accepted: Option<Moment>,
    pub(super) rejected: Option<Moment>,
    /// How often it was asked after an OK.
    pub(super) asked_on: u32,
}

impl Step {
    pub(super) const fn is_answered(&self) -> bool {
        self.accepted.is_some() || self.rejected.is_some()
    }
}

/// One invitation: everything with its token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Who invites.
    pub(super) by: usize,
    pub(super) token: Token,
    pub(super) control: Step,
    pub(super) data: Step,
}

impl Attempt {
    pub(super) const fn step(&mut self, is_data: bool) -> &mut Step {
        match is_data {
            true => &mut self.data,
            false => &mut self.control,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) list: Vec<Attempt>,
    /// Control invitations of all that were forgotten, and the first of them.
    pub(super) forgotten: (u32, Option<Moment>),
}

impl Attempts {
    pub(super) fn knows(&self, by: usize, token: Token) -> bool {
        self.list.iter().any(|it| it.by == by && it.token == token)
    }

    pub(super) fn asked(&mut self, by: usize, token: Token, is_data: bool, moment: Moment) {
        if !self.knows(by, token) {
            if self.list.len() >= MAX_ATTEMPTS {
                let oldest = self.list.remove(0);
                self.forgotten.0 += oldest.control.asked;
                if let Some(first) = oldest.control.first {
                    self.forgotten.1.get_or_insert(first);
                }
            }
            self.list.push(Attempt {
                by,
                token,
                control: Step::default(),
                data: Step::default(),
            });
        }
        if let Some(step) = self.step(by, token, is_data) {
            step.asked += 1;
            step.first.get_or_insert(moment);
            if step.accepted.is_some() {
                step.asked_on += 1;
            }
        }
    }

    /// Whether the answer belongs to an invitation that is known.
    pub(super) fn answered(
        &mut self,
        by: usize,
        token: Token,
        is_data: bool,
        kind: ExchangeKind,
        moment: Moment,
    ) -> bool {
        let Some(step) = self.step(by, token, is_data) else {
            return false;
        };
        match kind {
            ExchangeKind::Rejected => _ = step.rejected.get_or_insert(moment),
            _ => _ = step.accepted.get_or_insert(moment),
        }
        true
    }

    fn step(&mut self, by: usize, token: Token, is_data: bool) -> Option<&mut Step> {
        let it = |it: &&mut Attempt| it.by == by && it.token == token;
        Some(self.list.iter_mut().find(it)?.step(is_data))
    }
}
