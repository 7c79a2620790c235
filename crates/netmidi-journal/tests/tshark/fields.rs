//! What a decoder has to show of a journal: every field, in the order of the octets, with the octet
//! at which it stands. Made from the fields of an [`OwnedJournal`] alone; lengths and places are
//! counted here, by RFC 6295 and by nothing of the crate that is tested.

use netmidi_journal::{Complete, ControlTool, Extra, ParameterLog, Pending, SysExStatus};
use netmidi_message::{Parameter, U4};
use netmidi_testkit::{
    OwnedChannel, OwnedJournal, OwnedParameters, OwnedRealTime, OwnedSimple, OwnedSysEx,
    OwnedSystem, OwnedUndefined,
};

/// One field; its name is tshark's without `rtpmidi.`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// The octet of the RTP payload with which the field, or what tshark reads it from, begins.
    pub(crate) at: usize,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    Number(u32),
    Octets(Vec<u8>),
}

/// The fields of a chapter, as places in [`Layout::fields`].
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) chapter: char,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// All fields of a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) fields: Vec<Field>,
    pub(crate) chapters: Vec<Span>,
    /// The octet behind the last one.
    pub(crate) end: usize,
}

impl Layout {
    /// The fields of a journal that begins with this octet of the RTP payload.
    pub(crate) fn of(journal: &OwnedJournal, start: usize) -> Self {
        let mut layout = Self {
            fields: Vec::new(),
            chapters: Vec::new(),
            end: start,
        };
        layout.journal(journal);
        layout
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.number(name, u32::from(value));
    }

    fn number(&mut self, name: &'static str, value: impl Into<u32>) {
        self.push(name, Value::Number(value.into()));
    }

    fn push(&mut self, name: &'static str, value: Value) {
        let at = self.end;
        self.fields.push(Field { name, at, value });
    }

    /// A length that is known only when everything inside has been gone through.
    fn length(&mut self, name: &'static str) -> usize {
        self.number(name, 0_u32);
        self.fields.len() - 1
    }

    fn set_length(&mut self, place: usize) {
        let field = &mut self.fields[place];
        field.value = Value::Number((self.end - field.at) as u32);
    }

    fn chapter(&mut self, chapter: char, fields: impl FnOnce(&mut Self)) {
        let start = self.fields.len();
        fields(self);
        let end = self.fields.len();
        self.chapters.push(Span {
            chapter,
            start,
            end,
        });
    }

    fn journal(&mut self, it: &OwnedJournal) {
        self.flag("s_flag", it.s);
        self.flag("y_flag", it.system.is_some());
        self.flag("a_flag", !it.channels.is_empty());
        self.flag("h_flag", it.enhanced);
        self.number("total_channels", it.channels.len().saturating_sub(1) as u32);
        self.end += 1;
        self.number("check_Seq_num", it.checkpoint.0);
        self.end += 2;
        if let Some(system) = &it.system {
            self.system(system);
        }
        for channel in &it.channels {
            self.channel(channel);
        }
    }

    fn system(&mut self, it: &OwnedSystem) {
        self.flag("sysjour_toc_s", it.s);
        self.flag("sysjour_toc_d", it.simple.is_some());
        self.flag("sysjour_toc_v", it.active_sense.is_some());
        self.flag("sysjour_toc_q", it.sequencer.is_some());
        self.flag("sysjour_toc_f", it.timecode.is_some());
        self.flag("sysjour_toc_x", it.sysex.is_some());
        let length = self.length("cmd_sysjour_len");
        self.end += 2;
        if let Some(it) = &it.simple {
            self.chapter('D', |to| to.simple(it));
        }
        if let Some(it) = &it.active_sense {
            self.chapter('V', |to| {
                to.flag("sj_chapter_v_sflag", it.s);
                to.number("sj_chapter_v_count", it.count.get());
                to.end += 1;
            });
        }
        if let Some(it) = &it.sequencer {
            self.chapter('Q', |to| {
                to.flag("sj_chapter_q_sflag", it.s);
                to.flag("sj_chapter_q_nflag", it.running);
                to.flag("sj_chapter_q_dflag", it.played);
                to.flag("sj_chapter_q_cflag", it.clock.is_some());
                to.flag("sj_chapter_q_tflag", it.time_tools.is_some());
                match it.clock {
                    // TOP and CLOCK as one number.
                    Some(_) => to.number("sj_chapter_q_clock", it.position()),
                    None => to.number("sj_chapter_q_top", it.top.get()),
                }
                to.end += if it.clock.is_some() { 3 } else { 1 };
                if let Some(millis) = it.time_tools {
                    to.number("sj_chapter_q_timetools", millis.get());
                    to.end += 3;
                }
            });
        }
        if let Some(it) = &it.timecode {
            self.chapter('F', |to| {
                to.flag("sj_chapter_f_sflag", it.s);
                to.flag("sj_chapter_f_cflag", it.complete.is_some());
                to.flag("sj_chapter_f_pflag", it.partial.is_some());
                let quarters = matches!(it.complete, Some(Complete::QuarterFrames(_)));
                to.flag("sj_chapter_f_qflag", quarters);
                to.flag("sj_chapter_f_dflag", it.reverse);
                to.number("sj_chapter_f_point", it.point.get());
                to.end += 1;
                match it.complete {
                    Some(Complete::QuarterFrames(quarters)) => to.quarters(quarters),
                    Some(Complete::FullFrame(octets)) => {
                        for (name, octet) in FULL_FRAME.into_iter().zip(octets) {
                            to.number(name, octet.get());
                        }
                        to.end += 4;
                    }
                    None => {}
                }
                if let Some(quarters) = it.partial {
                    to.quarters(quarters);
                }
            });
        }
        if let Some(logs) = &it.sysex {
            self.chapter('X', |to| logs.iter().for_each(|log| to.sysex(log)));
        }
        self.set_length(length);
    }

    fn simple(&mut self, it: &OwnedSimple) {
        let fixed = &it.fixed;
        let [f4, f5] = it.undefined.each_ref().map(Option::as_ref);
        let [f9, fd] = it.real_time.each_ref().map(Option::as_ref);
        self.flag("sj_chapter_d_sflag", fixed.s);
        self.flag("sj_chapter_d_bflag", fixed.reset.is_some());
        self.flag("sj_chapter_d_gflag", fixed.tune_request.is_some());
        self.flag("sj_chapter_d_hflag", fixed.song_select.is_some());
        self.flag("sj_chapter_d_jflag", f4.is_some());
        self.flag("sj_chapter_d_kflag", f5.is_some());
        self.flag("sj_chapter_d_yflag", f9.is_some());
        self.flag("sj_chapter_d_zflag", fd.is_some());
        self.end += 1;
        if let Some(log) = fixed.reset {
            self.flag("sj_chapter_d_reset_sflag", log.s);
            self.number("cj_chapter_d_reset_count", log.count.get());
            self.end += 1;
        }
        if let Some(log) = fixed.tune_request {
            self.flag("sj_chapter_d_tune_sflag", log.s);
            self.number("cj_chapter_d_tune_count", log.count.get());
            self.end += 1;
        }
        if let Some(log) = fixed.song_select {
            self.flag("sj_chapter_d_song_sel_sflag", log.s);
            self.number("cj_chapter_d_song_sel_value", log.song.get());
            self.end += 1;
        }
        [f4, f5]
            .into_iter()
            .flatten()
            .for_each(|log| self.undefined(log));
        [f9, fd]
            .into_iter()
            .flatten()
            .for_each(|log| self.real_time(log));
    }

    fn undefined(&mut self, log: &OwnedUndefined) {
        let start = self.end;
        self.flag("sj_chapter_d_syscom_sflag", log.s);
        self.flag("sj_chapter_d_syscom_cflag", log.count.is_some());
        self.flag("sj_chapter_d_syscom_vflag", log.value.is_some());
        self.flag("sj_chapter_d_syscom_lflag", log.legal.is_some());
        self.number("sj_chapter_d_syscom_dsz", log.size as u8);
        let length = self.length("sj_chapter_d_syscom_len");
        self.end = start + 2;
        if let Some(count) = log.count {
            self.number("sj_chapter_d_syscom_count", count);
            self.end += 1;
        }
        if let Some(value) = &log.value {
            self.octets("sj_chapter_d_syscom_value", marked(value));
        }
        if let Some(legal) = &log.legal {
            self.octets("sj_chapter_d_syscom_legal", legal.clone());
        }
        self.set_length(length);
    }

    fn real_time(&mut self, (s, count, legal): &OwnedRealTime) {
        self.flag("sj_chapter_d_sysreal_sflag", *s);
        self.flag("sj_chapter_d_sysreal_cflag", count.is_some());
        self.flag("sj_chapter_d_sysreal_lflag", legal.is_some());
        let length = self.length("sj_chapter_d_sysreal_len");
        self.end += 1;
        if let Some(count) = count {
            self.number("sj_chapter_d_sysreal_count", *count);
            self.end += 1;
        }
        if let Some(legal) = legal {
            self.octets("sj_chapter_d_sysreal_legal", legal.clone());
        }
        self.set_length(length);
    }

    fn octets(&mut self, name: &'static str, octets: Vec<u8>) {
        let len = octets.len();
        self.push(name, Value::Octets(octets));
        self.end += len;
    }

    fn quarters(&mut self, quarters: [U4; 8]) {
        for (name, nibble) in QUARTERS.into_iter().zip(quarters) {
            self.number(name, nibble.get());
        }
        self.end += 4;
    }

    fn sysex(&mut self, log: &OwnedSysEx) {
        self.flag("sj_chapter_x_sflag", log.s);
        self.flag("sj_chapter_x_tflag", log.type_count.is_some());
        self.flag("sj_chapter_x_cflag", log.count.is_some());
        self.flag("sj_chapter_x_fflag", log.first.is_some());
        self.flag("sj_chapter_x_dflag", log.data.is_some());
        self.flag("sj_chapter_x_lflag", log.list);
        let status = match log.status {
            SysExStatus::Unfinished => 0_u32,
            SysExStatus::Cancelled => 1,
            SysExStatus::DroppedEnd => 2,
            SysExStatus::Finished => 3,
        };
        self.number("sj_chapter_x_sta", status);
        self.end += 1;
        if let Some(count) = log.type_count {
            self.number("sj_chapter_x_tcount", count);
            self.end += 1;
        }
        if let Some(count) = log.count {
            self.number("sj_chapter_x_count", count);
            self.end += 1;
        }
        if let Some(first) = log.first {
            let first = first.get();
            let (name, len) = match first {
                0..0x80 => ("sj_chapter_x_first_1", 1),
                0x80..0x4000 => ("sj_chapter_x_first_2", 2),
                0x4000..0x20_0000 => ("sj_chapter_x_first_3", 3),
                _ => ("sj_chapter_x_first_4", 4),
            };
            self.number(name, first);
            self.end += len;
        }
        if let Some(data) = &log.data {
            self.octets("sj_chapter_x_data", marked(data));
        }
    }

    fn channel(&mut self, it: &OwnedChannel) {
        let fixed = &it.fixed;
        self.flag("chanjour_s", fixed.s);
        self.number("chanjour_channel", fixed.channel.index());
        self.flag("chanjour_h", fixed.enhanced);
        let length = self.length("cmd_chanjour_len");
        self.flag("chanjour_toc_p", fixed.program.is_some());
        self.flag("chanjour_toc_c", it.controls.is_some());
        self.flag("chanjour_toc_m", it.parameters.is_some());
        self.flag("chanjour_toc_w", fixed.wheel.is_some());
        self.flag("chanjour_toc_n", it.notes.is_some());
        self.flag("chanjour_toc_e", it.extras.is_some());
        self.flag("chanjour_toc_t", fixed.pressure.is_some());
        self.flag("chanjour_toc_a", it.poly_pressure.is_some());
        self.end += 3;
        if let Some(it) = &fixed.program {
            self.chapter('P', |to| {
                to.flag("cj_chapter_p_sflag", it.s);
                to.number("cj_chapter_p_program", it.program.get());
                to.end += 1;
                to.flag("cj_chapter_p_bflag", it.bank.is_some());
                let bank = it.bank.map(|it| (it.msb.get(), it.reset, it.lsb.get()));
                let (msb, reset, lsb) = bank.unwrap_or_default();
                to.number("cj_chapter_p_bank_msb", msb);
                to.end += 1;
                to.flag("cj_chapter_p_xflag", reset);
                to.number("cj_chapter_p_bank_lsb", lsb);
                to.end += 1;
            });
        }
        if let Some((s, logs)) = &it.controls {
            self.chapter('C', |to| {
                to.flag("cj_chapter_c_sflag", *s);
                to.number("cj_chapter_c_length", logs.len() as u32 - 1);
                to.end += 1;
                for log in logs {
                    to.flag("cj_chapter_c_sflag", log.s);
                    to.number("cj_chapter_c_number", log.controller.get());
                    to.end += 1;
                    let (tool, alt) = match log.tool {
                        ControlTool::Value(value) => (None, value.get()),
                        ControlTool::Toggle(alt) => (Some(false), alt.get()),
                        ControlTool::Count(alt) => (Some(true), alt.get()),
                    };
                    to.flag("cj_chapter_c_aflag", tool.is_some());
                    if let Some(count) = tool {
                        to.flag("cj_chapter_c_tflag", count);
                        to.number("cj_chapter_c_alt", alt);
                    } else {
                        to.number("cj_chapter_c_value", alt);
                    }
                    to.end += 1;
                }
            });
        }
        if let Some(it) = &it.parameters {
            self.chapter('M', |to| to.parameters(it));
        }
        if let Some(it) = &fixed.wheel {
            self.chapter('W', |to| {
                let bend = it.bend.to_u14();
                to.flag("cj_chapter_w_sflag", it.s);
                to.number("cj_chapter_w_first", bend.lsb().get());
                to.end += 1;
                to.flag("cj_chapter_w_rflag", false);
                to.number("cj_chapter_w_second", bend.msb().get());
                to.end += 1;
            });
        }
        if let Some((b, logs, off)) = &it.notes {
            self.chapter('N', |to| {
                let mut off_octets = [0_u8; 16];
                for note in off.iter() {
                    off_octets[usize::from(note.get() / 8)] |= 0x80 >> (note.get() % 8);
                }
                let used = |octet: &u8| *octet != 0;
                let low = off_octets.iter().position(used);
                let high = off_octets.iter().rposition(used);
                let range = low.zip(high);
                let (low, high) = match range {
                    Some((low, high)) => (low as u32, high as u32),
                    // 127 with (15, 0) would mean 128.
                    None => (15, u32::from(logs.len() == 127)),
                };
                to.flag("cj_chapter_n_bflag", *b);
                to.number("cj_chapter_n_length", logs.len().min(127) as u32);
                to.number("cj_chapter_n_low", low);
                to.number("cj_chapter_n_high", high);
                to.end += 2;
                for log in logs {
                    to.flag("cj_chapter_n_log_sflag", log.s);
                    to.number("cj_chapter_n_log_note", log.note.get());
                    to.end += 1;
                    to.flag("cj_chapter_n_log_yflag", log.play);
                    to.number("cj_chapter_n_log_velocity", log.velocity.get());
                    to.end += 1;
                }
                if let Some((low, high)) = range {
                    for octet in &off_octets[low..=high] {
                        to.number("cj_chapter_n_log_octet", *octet);
                        to.end += 1;
                    }
                }
            });
        }
        if let Some((s, logs)) = &it.extras {
            self.chapter('E', |to| {
                to.flag("cj_chapter_e_sflag", *s);
                to.number("cj_chapter_e_length", logs.len() as u32 - 1);
                to.end += 1;
                for log in logs {
                    to.flag("cj_chapter_e_log_sflag", log.s);
                    to.number("cj_chapter_e_log_note", log.note.get());
                    to.end += 1;
                    let (v, name, value) = match log.extra {
                        Extra::Count(count) => (false, "cj_chapter_e_log_count", count),
                        Extra::ReleaseVelocity(it) => (true, "cj_chapter_e_log_velocity", it),
                    };
                    // Named like a field of chapter N, but it stands in E.
                    to.flag("cj_chapter_n_log_vflag", v);
                    to.number(name, value.get());
                    to.end += 1;
                }
            });
        }
        if let Some(it) = &fixed.pressure {
            self.chapter('T', |to| {
                to.flag("cj_chapter_t_sflag", it.s);
                to.number("cj_chapter_t_pressure", it.pressure.get());
                to.end += 1;
            });
        }
        if let Some((s, logs)) = &it.poly_pressure {
            self.chapter('A', |to| {
                to.flag("cj_chapter_a_sflag", *s);
                to.number("cj_chapter_a_length", logs.len() as u32 - 1);
                to.end += 1;
                for log in logs {
                    to.flag("cj_chapter_a_log_sflag", log.s);
                    to.number("cj_chapter_a_log_note", log.note.get());
                    to.end += 1;
                    to.flag("cj_chapter_a_log_xflag", log.stale);
                    to.number("cj_chapter_a_log_pressure", log.pressure.get());
                    to.end += 1;
                }
            });
        }
        self.set_length(length);
    }

    fn parameters(&mut self, it: &OwnedParameters) {
        let flags = it.flags;
        self.flag("cj_chapter_m_sflag", it.s);
        self.flag("cj_chapter_m_pflag", it.pending.is_some());
        self.flag("cj_chapter_m_eflag", it.in_progress);
        self.flag("cj_chapter_m_uflag", flags.registered);
        self.flag("cj_chapter_m_wflag", flags.non_registered);
        self.flag("cj_chapter_m_zflag", flags.low);
        let length = self.length("cj_chapter_m_length");
        self.end += 2;
        if let Some(pending) = it.pending {
            let (q, value) = match pending {
                Pending::Registered(value) => (false, value),
                Pending::NonRegistered(value) => (true, value),
            };
            self.flag("cj_chapter_m_qflag", q);
            self.number("cj_chapter_m_pending", value.get());
            self.end += 1;
        }
        let short = flags.low && (flags.registered || flags.non_registered);
        for log in &it.logs {
            self.parameter(log, short);
        }
        self.set_length(length);
    }

    fn parameter(&mut self, log: &ParameterLog, short: bool) {
        let (q, number) = match log.parameter {
            Parameter::Registered(number) => (false, number),
            Parameter::NonRegistered(number) => (true, number),
        };
        self.flag("cj_chapter_m_log_sflag", log.s);
        self.number("cj_chapter_m_log_pnum_lsb", number.lsb().get());
        self.end += 1;
        if !short {
            self.flag("cj_chapter_m_log_qflag", q);
            self.number("cj_chapter_m_log_pnum_msb", number.msb().get());
            self.end += 1;
        }
        self.flag("cj_chapter_m_log_jflag", log.entry_msb.is_some());
        self.flag("cj_chapter_m_log_kflag", log.entry_lsb.is_some());
        self.flag("cj_chapter_m_log_lflag", log.a_button.is_some());
        self.flag("cj_chapter_m_log_mflag", log.c_button.is_some());
        self.flag("cj_chapter_m_log_nflag", log.count.is_some());
        self.flag("cj_chapter_m_log_tflag", log.uses_count);
        self.flag("cj_chapter_m_log_vflag", log.uses_value);
        self.flag("cj_chapter_m_log_rflag", false);
        self.end += 1;
        if let Some(entry) = log.entry_msb {
            self.flag("cj_chapter_m_log_msb_xflag", entry.stale);
            self.number("cj_chapter_m_log_msb", entry.value.get());
            self.end += 1;
        }
        if let Some(entry) = log.entry_lsb {
            self.flag("cj_chapter_m_log_lsb_xflag", entry.stale);
            self.number("cj_chapter_m_log_lsb", entry.value.get());
            self.end += 1;
        }
        if let Some((steps, stale)) = log.a_button {
            self.flag("cj_chapter_m_log_a_button_gflag", steps.get() < 0);
            self.flag("cj_chapter_m_log_a_button_xflag", stale);
            self.number("cj_chapter_m_log_a_button", steps.get().unsigned_abs());
            self.end += 2;
        }
        if let Some(steps) = log.c_button {
            self.flag("cj_chapter_m_log_c_button_gflag", steps.get() < 0);
            self.flag("cj_chapter_m_log_c_button_rflag", false);
            self.number("cj_chapter_m_log_c_button", steps.get().unsigned_abs());
            self.end += 2;
        }
        if let Some(entry) = log.count {
            self.flag("cj_chapter_m_log_count_xflag", entry.stale);
            self.number("cj_chapter_m_log_count", entry.value.get());
            self.end += 1;
        }
    }
}

const FULL_FRAME: [&str; 4] = [
    "sj_chapter_f_hr",
    "sj_chapter_f_mn",
    "sj_chapter_f_sc",
    "sj_chapter_f_fr",
];

const QUARTERS: [&str; 8] = [
    "sj_chapter_f_mt0",
    "sj_chapter_f_mt1",
    "sj_chapter_f_mt2",
    "sj_chapter_f_mt3",
    "sj_chapter_f_mt4",
    "sj_chapter_f_mt5",
    "sj_chapter_f_mt6",
    "sj_chapter_f_mt7",
];

/// Data octets as they stand in a log: the top bit marks the last one.
fn marked(data: &[u8]) -> Vec<u8> {
    let mut octets = data.to_vec();
    if let Some(last) = octets.last_mut() {
        *last |= 0x80;
    }
    octets
}
