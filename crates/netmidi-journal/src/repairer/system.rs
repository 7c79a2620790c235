//! What a sender has done to the whole system.

use netmidi_message::{Message, RealTime, SysEx, SystemCommon};

use super::Repairs;
use crate::system::{
    ActiveSenseModel, ResetBy, SequencerModel, SimpleModel, SysExModel, SysExStatus, SystemJournal,
    TimecodeModel, full_frame_time, resets_state,
};

/// The mirror of what belongs to no channel.
#[derive(Debug, Default)]
pub(crate) struct SystemModel {
    pub(crate) sysex: SysExModel,
    simple: SimpleModel,
    active_sense: ActiveSenseModel,
    sequencer: SequencerModel,
    timecode: TimecodeModel,
    /// What has reset the whole system last, and how often something has.
    last_reset: Option<ResetBy>,
    resets: u32,
    /// System exclusive messages that came whole or were repaired, but for full frames and those
    /// that reset.
    sysex_messages: u64,
}

impl SystemModel {
    /// Returns whether the message resets the whole system.
    pub(crate) fn observe(&mut self, ext: u64, message: Message<'_>) -> bool {
        match message {
            Message::Channel(_) => {}
            Message::Common(message) => match message {
                SystemCommon::QuarterFrame {
                    frame_type,
                    frame_value,
                } => self.timecode.quarter_frame(frame_type, frame_value),
                SystemCommon::SongPosition { pos } => self.sequencer.locate(pos),
                SystemCommon::SongSelect { song } => self.simple.song = Some(song),
                SystemCommon::TuneRequest => self.simple.tune_request(),
            },
            Message::RealTime(message) => {
                self.simple.real_time(message);
                self.sequencer.observe(message);
                match message {
                    RealTime::ActiveSensing => self.active_sense.observe(),
                    RealTime::Reset => {
                        self.sysex.clear_recent();
                        self.reset(ResetBy::Command);
                        return true;
                    }
                    _ => {}
                }
            }
            Message::SysEx(sysex) => {
                self.sysex.received(ext, sysex.data());
                return self.observe_sysex(sysex);
            }
            Message::Undefined(message) => self.simple.undefined(message),
        }
        false
    }

    /// A message that came in segments. Returns whether it resets the whole system.
    pub(crate) fn observe_sysex(&mut self, sysex: SysEx<'_>) -> bool {
        self.note_sysex(full_frame_time(sysex.data()), resets_state(sysex.data()))
    }

    /// The same of the message that a segment has completed.
    pub(crate) fn observe_complete(&mut self) -> bool {
        let data = self.sysex.data();
        self.note_sysex(full_frame_time(data), resets_state(data))
    }

    fn note_sysex(&mut self, time: Option<[u8; 4]>, resets: Option<ResetBy>) -> bool {
        if let Some(time) = time {
            self.timecode.full_frame(time);
        } else if let Some(by) = resets {
            self.reset(by);
        } else {
            self.sysex_messages += 1;
        }
        resets.is_some()
    }

    /// Goes through the chapters: what resets comes first, and a song may have been selected after
    /// a system exclusive message that resets it. `reset` is called when something resets the
    /// channels.
    pub(crate) fn repair(
        &mut self,
        journal: &SystemJournal<'_>,
        limit: usize,
        out: &mut Repairs<'_>,
        reset: &mut dyn FnMut(),
    ) {
        if out.skips(journal.s) {
            return;
        }
        let mut was_reset = false;
        if let Some(simple) = &journal.simple
            && self.simple.repair_reset(simple, out)
        {
            was_reset = true;
            self.sysex.clear_recent();
            self.sysex.abandon();
            self.reset(ResetBy::Command);
            out.state_was_reset();
            reset();
        }
        let mut unlogged = 0;
        if let Some(logs) = &journal.sysex {
            let repair = self.sysex.repair(logs, limit, &mut self.timecode, out);
            out.lose_sysex(repair.lost.into());
            unlogged = repair.unlogged;
            self.sysex_messages += u64::from(repair.executed);
            if let Some(by) = repair.reset {
                was_reset = true;
                self.reset(by);
                reset();
            }
        }
        if let Some(simple) = &journal.simple {
            self.simple.repair(simple, out);
        }
        if let Some(active_sense) = &journal.active_sense {
            self.active_sense.repair(active_sense, out);
        }
        if let Some(sequencer) = &journal.sequencer {
            self.sequencer.repair(sequencer, out);
        }
        let mut full_frame = false;
        if let Some(timecode) = &journal.timecode {
            full_frame = self.timecode.repair(timecode, out);
        }
        // Full frames count as messages and have no log; what came before a reset is undone.
        if !full_frame && !was_reset {
            out.lose_sysex(unlogged.into());
        }
    }

    /// What was lost is not known.
    pub(crate) fn make_safe(&mut self, journal: Option<&SystemJournal<'_>>, out: &mut Repairs<'_>) {
        let last = journal
            .and_then(|it| it.sysex)
            .and_then(|logs| logs.iter().last());
        let confirmed = last.is_some_and(|log| log.status == SysExStatus::Unfinished);
        if !confirmed && self.sysex.in_progress() && self.sysex.abandon() {
            out.lose_sysex(1);
        }
    }

    fn reset(&mut self, by: ResetBy) {
        self.simple.reset();
        self.sequencer = SequencerModel::default();
        self.timecode = TimecodeModel::default();
        self.last_reset = Some(by);
        self.resets = self.resets.wrapping_add(1);
    }

    /// What lasts, without the system exclusive messages.
    pub(crate) fn lasting(&self) -> Self {
        Self {
            sysex: SysExModel::default(),
            simple: self.simple.clone(),
            active_sense: self.active_sense,
            sequencer: self.sequencer,
            timecode: self.timecode,
            last_reset: self.last_reset,
            resets: self.resets,
            sysex_messages: self.sysex_messages,
        }
    }

    /// What has to reset an application that holds this, if something has since.
    pub(crate) fn missed_reset(&self, now: &Self) -> Option<ResetBy> {
        now.last_reset.filter(|_| now.resets != self.resets)
    }

    /// A reset that an application has heard stands for all up to now.
    pub(crate) const fn is_reset_as(&mut self, now: &Self) {
        self.resets = now.resets;
    }

    /// Resets an application that holds this.
    pub(crate) fn restore_reset(&mut self, by: ResetBy, out: &mut Repairs<'_>) {
        match by {
            ResetBy::Command => out.message(RealTime::Reset.into()),
            ResetBy::SysEx(data) => {
                if let Some(sysex) = SysEx::new(&data) {
                    out.message(sysex.into());
                }
            }
        }
        self.reset(by);
    }

    /// Brings an application that holds this to what is now. Returns how many system exclusive
    /// messages it has missed.
    pub(crate) fn restore(&mut self, now: &Self, out: &mut Repairs<'_>) -> u64 {
        self.simple.restore(&now.simple, out);
        self.sequencer.restore(now.sequencer, out);
        self.timecode.restore(&now.timecode, out);
        now.sysex_messages.saturating_sub(self.sysex_messages)
    }
}
