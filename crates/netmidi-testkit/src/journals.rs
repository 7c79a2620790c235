//! Journals that own what they hold: read from octets, generated, and written again from their
//! fields alone.

use netmidi_journal::{
    ActiveSense, ChannelJournal, ControlLog, Controls, DataSize, EncodeError, ExtraLog, Extras,
    FirstIndex, Journal, JournalWriter, LogData, Logs, NoteLog, Notes, OffBits, ParameterFlags,
    ParameterLog, ParameterLogs, Parameters, Pending, PolyPressure, PolyPressureLog, RealTimeLog,
    Sequencer, Simple, SysExLog, SysExLogs, SysExStatus, SystemJournal, Timecode, UndefinedLog,
};
use netmidi_message::Channel;
use netmidi_wire::SeqNum;

/// A whole journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedJournal {
    /// S of the header.
    pub s: bool,
    /// H of the header.
    pub enhanced: bool,
    /// The checkpoint.
    pub checkpoint: SeqNum,
    /// The system journal.
    pub system: Option<OwnedSystem>,
    /// The channel journals.
    pub channels: Vec<OwnedChannel>,
}

/// A channel journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedChannel {
    /// What owns itself: header, chapters P, W and T.
    pub fixed: ChannelJournal<'static>,
    /// Chapter C: S and logs.
    pub controls: Option<(bool, Vec<ControlLog>)>,
    /// Chapter M.
    pub parameters: Option<OwnedParameters>,
    /// Chapter N: B, logs, notes that are off.
    pub notes: Option<(bool, Vec<NoteLog>, OffBits)>,
    /// Chapter E: S and logs.
    pub extras: Option<(bool, Vec<ExtraLog>)>,
    /// Chapter A: S and logs.
    pub poly_pressure: Option<(bool, Vec<PolyPressureLog>)>,
}

/// Chapter M.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedParameters {
    /// S of the chapter.
    pub s: bool,
    /// The upper half of a number that waits for the lower one.
    pub pending: Option<Pending>,
    /// E.
    pub in_progress: bool,
    /// U, W and Z.
    pub flags: ParameterFlags,
    /// The logs.
    pub logs: Vec<ParameterLog>,
}

/// A system journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedSystem {
    /// S of the system journal.
    pub s: bool,
    /// Chapter D.
    pub simple: Option<OwnedSimple>,
    /// Chapter V.
    pub active_sense: Option<ActiveSense>,
    /// Chapter Q.
    pub sequencer: Option<Sequencer>,
    /// Chapter F.
    pub timecode: Option<Timecode>,
    /// Chapter X.
    pub sysex: Option<Vec<OwnedSysEx>>,
}

/// Chapter D.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedSimple {
    /// What owns itself: S, FF, F6, F3.
    pub fixed: Simple<'static>,
    /// F4 and F5.
    pub undefined: [Option<OwnedUndefined>; 2],
    /// F9 and FD.
    pub real_time: [Option<OwnedRealTime>; 2],
}

/// A log of F9 or FD: S, COUNT, LEGAL.
pub type OwnedRealTime = (bool, Option<u8>, Option<Vec<u8>>);

/// A log of F4 or F5.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedUndefined {
    /// S.
    pub s: bool,
    /// DSZ.
    pub size: DataSize,
    /// COUNT.
    pub count: Option<u8>,
    /// VALUE.
    pub value: Option<Vec<u8>>,
    /// LEGAL.
    pub legal: Option<Vec<u8>>,
}

/// A log of chapter X.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedSysEx {
    /// S.
    pub s: bool,
    /// L.
    pub list: bool,
    /// STA.
    pub status: SysExStatus,
    /// TCOUNT.
    pub type_count: Option<u8>,
    /// COUNT.
    pub count: Option<u8>,
    /// FIRST.
    pub first: Option<FirstIndex>,
    /// DATA.
    pub data: Option<Vec<u8>>,
}

impl OwnedJournal {
    /// Copies all fields of a journal.
    #[must_use]
    pub fn read(journal: &Journal<'_>) -> Self {
        Self {
            s: journal.s(),
            enhanced: journal.enhanced(),
            checkpoint: journal.checkpoint(),
            system: journal.system().as_ref().map(OwnedSystem::read),
            channels: journal
                .channels()
                .map(|it| OwnedChannel::read(&it))
                .collect(),
        }
    }

    /// Writes the journal from its fields.
    ///
    /// # Errors
    /// When an element is too long for its length field.
    ///
    /// # Panics
    /// When the fields contradict each other.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = vec![0; 3 + 17 * 1023];
        let mut writer = JournalWriter::new(&mut out, self.checkpoint)?;
        if !self.s {
            writer = writer.without_s();
        }
        if self.enhanced {
            writer = writer.with_enhanced();
        }
        if let Some(system) = &self.system {
            system.with_view(|it| writer.system(it))?;
        }
        for channel in &self.channels {
            channel.with_view(|it| writer.channel(it))?;
        }
        let len = writer.finish();
        out.truncate(len);
        Ok(out)
    }
}

impl OwnedChannel {
    /// One without chapters.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self {
            fixed: ChannelJournal::new(channel),
            controls: None,
            parameters: None,
            notes: None,
            extras: None,
            poly_pressure: None,
        }
    }

    fn read(it: &ChannelJournal<'_>) -> Self {
        let mut fixed = ChannelJournal::new(it.channel);
        fixed.s = it.s;
        fixed.enhanced = it.enhanced;
        fixed.program = it.program;
        fixed.wheel = it.wheel;
        fixed.pressure = it.pressure;
        Self {
            fixed,
            controls: it.controls.map(|it| (it.s(), it.logs().iter().collect())),
            parameters: it.parameters.map(|it| OwnedParameters {
                s: it.s(),
                pending: it.pending(),
                in_progress: it.in_progress(),
                flags: it.logs().flags(),
                logs: it.logs().iter().collect(),
            }),
            notes: it
                .notes
                .map(|it| (it.b(), it.logs().iter().collect(), it.off())),
            extras: it.extras.map(|it| (it.s(), it.logs().iter().collect())),
            poly_pressure: it
                .poly_pressure
                .map(|it| (it.s(), it.logs().iter().collect())),
        }
    }

    /// The channel journal, borrowed.
    ///
    /// # Panics
    /// When the fields contradict each other.
    pub fn with_view<T>(&self, view: impl FnOnce(&ChannelJournal<'_>) -> T) -> T {
        let mut it: ChannelJournal<'_> = self.fixed;
        if let Some((s, logs)) = &self.controls {
            it.controls = Some(Controls::new(*s, Logs::new(logs).unwrap()).unwrap());
        }
        if let Some(chapter) = &self.parameters {
            // Both kinds at once is read, and cannot be written.
            let logs = ParameterLogs::with_flags(&chapter.logs, chapter.flags)
                .unwrap_or_else(|| ParameterLogs::new(&chapter.logs));
            it.parameters = Some(
                Parameters::new(chapter.s, chapter.pending, chapter.in_progress, logs).unwrap(),
            );
        }
        if let Some((b, logs, off)) = &self.notes {
            it.notes = Some(Notes::new(*b, Logs::new(logs).unwrap(), *off).unwrap());
        }
        if let Some((s, logs)) = &self.extras {
            it.extras = Some(Extras::new(*s, Logs::new(logs).unwrap()).unwrap());
        }
        if let Some((s, logs)) = &self.poly_pressure {
            it.poly_pressure = Some(PolyPressure::new(*s, Logs::new(logs).unwrap()).unwrap());
        }
        view(&it)
    }
}

impl OwnedSystem {
    fn read(it: &SystemJournal<'_>) -> Self {
        Self {
            s: it.s,
            simple: it.simple.as_ref().map(OwnedSimple::read),
            active_sense: it.active_sense,
            sequencer: it.sequencer,
            timecode: it.timecode,
            sysex: it
                .sysex
                .map(|it| it.iter().map(|log| OwnedSysEx::read(&log)).collect()),
        }
    }

    /// The system journal, borrowed.
    ///
    /// # Panics
    /// When the fields contradict each other.
    pub fn with_view<T>(&self, view: impl FnOnce(&SystemJournal<'_>) -> T) -> T {
        let logs: Option<Vec<SysExLog<'_>>> = self
            .sysex
            .as_ref()
            .map(|logs| logs.iter().map(OwnedSysEx::as_log).collect());
        let mut it = SystemJournal::new();
        it.s = self.s;
        it.simple = self.simple.as_ref().map(OwnedSimple::as_simple);
        it.active_sense = self.active_sense;
        it.sequencer = self.sequencer;
        it.timecode = self.timecode;
        it.sysex = logs.as_ref().map(|logs| SysExLogs::new(logs).unwrap());
        view(&it)
    }
}

impl OwnedSimple {
    fn read(it: &Simple<'_>) -> Self {
        Self {
            fixed: Simple {
                s: it.s,
                reset: it.reset,
                tune_request: it.tune_request,
                song_select: it.song_select,
                ..Simple::new()
            },
            undefined: [it.f4, it.f5].map(|log| {
                log.map(|log| OwnedUndefined {
                    s: log.s(),
                    size: log.size(),
                    count: log.count(),
                    value: log.value().map(|value| value.iter().collect()),
                    legal: log.legal().map(<[u8]>::to_vec),
                })
            }),
            real_time: [it.f9, it.fd]
                .map(|log| log.map(|log| (log.s(), log.count(), log.legal().map(<[u8]>::to_vec)))),
        }
    }

    fn as_simple(&self) -> Simple<'_> {
        let [f4, f5] = self
            .undefined
            .each_ref()
            .map(|log| log.as_ref().map(OwnedUndefined::as_log));
        let [f9, fd] = self.real_time.each_ref().map(|log| {
            log.as_ref().map(|(s, count, legal)| {
                let log = RealTimeLog::new(*s, *count);
                match legal {
                    Some(legal) => log.with_legal(legal).unwrap(),
                    None => log,
                }
            })
        });
        Simple {
            f4,
            f5,
            f9,
            fd,
            ..self.fixed
        }
    }
}

impl OwnedUndefined {
    fn as_log(&self) -> UndefinedLog<'_> {
        let value = self.value.as_ref().map(|it| LogData::new(it).unwrap());
        let log = UndefinedLog::new(self.s, self.size, self.count, value).unwrap();
        match &self.legal {
            Some(legal) => log.with_legal(legal).unwrap(),
            None => log,
        }
    }
}

impl OwnedSysEx {
    fn read(log: &SysExLog<'_>) -> Self {
        Self {
            s: log.s,
            list: log.list,
            status: log.status,
            type_count: log.type_count,
            count: log.count,
            first: log.first,
            data: log.data.map(|data| data.iter().collect()),
        }
    }

    fn as_log(&self) -> SysExLog<'_> {
        SysExLog {
            s: self.s,
            list: self.list,
            status: self.status,
            type_count: self.type_count,
            count: self.count,
            first: self.first,
            data: self.data.as_ref().map(|it| LogData::new(it).unwrap()),
        }
    }
}

impl OwnedJournal {
    /// The journal with all that a writer chooses or gathers set to one and the same value: S where
    /// it follows from what is inside, H of the header, the form of chapter M.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.s = true;
        self.enhanced = false;
        if let Some(system) = &mut self.system {
            system.s = true;
            if let Some(simple) = &mut system.simple {
                simple.fixed.s = true;
            }
            if let Some(first) = system.sysex.as_mut().and_then(|it| it.first_mut()) {
                first.s = true;
            }
        }
        for channel in &mut self.channels {
            channel.fixed.s = true;
            if let Some(chapter) = &mut channel.parameters {
                chapter.s = true;
                chapter.flags = ParameterFlags::NONE;
            }
            for s in [
                channel.controls.as_mut().map(|it| &mut it.0),
                channel.extras.as_mut().map(|it| &mut it.0),
                channel.poly_pressure.as_mut().map(|it| &mut it.0),
            ]
            .into_iter()
            .flatten()
            {
                *s = true;
            }
        }
        self
    }
}
