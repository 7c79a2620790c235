//! What a sender has done to the whole system.

use netmidi_message::{Message, RealTime, SysEx, SystemCommon};

use super::Repairs;
use crate::system::{
    ActiveSenseModel, SequencerModel, SimpleModel, SysExModel, SysExStatus, SystemJournal,
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
                        self.reset();
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
        if let Some(time) = full_frame_time(sysex.data()) {
            self.timecode.full_frame(time);
        }
        let resets = resets_state(sysex.data());
        if resets {
            self.reset();
        }
        resets
    }

    /// The same of the message that a segment has completed.
    pub(crate) fn observe_complete(&mut self) -> bool {
        let time = full_frame_time(self.sysex.data());
        if let Some(time) = time {
            self.timecode.full_frame(time);
        }
        let resets = resets_state(self.sysex.data());
        if resets {
            self.reset();
        }
        resets
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
            self.reset();
            out.state_was_reset();
            reset();
        }
        let mut unlogged = 0;
        if let Some(logs) = &journal.sysex {
            let repair = self.sysex.repair(logs, limit, &mut self.timecode, out);
            out.lose_sysex(repair.lost.into());
            unlogged = repair.unlogged;
            if repair.reset {
                was_reset = true;
                self.reset();
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

    fn reset(&mut self) {
        self.simple.song = None;
        self.sequencer = SequencerModel::default();
        self.timecode = TimecodeModel::default();
    }
}
