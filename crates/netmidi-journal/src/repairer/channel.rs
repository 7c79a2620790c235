//! What a sender has done to one channel.

use netmidi_message::{Bend, Channel, ChannelMessage, Controller, Note, U7};

use super::{Repairs, Stamp};
use crate::channel::{
    ChannelJournal, ControlModel, ExtraTable, NoteModel, ParameterModel, Phase, PolyPressureModel,
    ProgramModel, WheelModel, is_data,
};

/// The pedals that keep notes sounding.
const PEDALS: [Controller; 2] = [Controller::SUSTAIN, Controller::SOSTENUTO];

/// The mirror of one channel: all of it that a journal can tell.
#[derive(Clone, Debug)]
pub(crate) struct ChannelModel {
    pub(crate) channel: Channel,
    pub(crate) program: ProgramModel,
    pub(crate) controls: ControlModel,
    pub(crate) parameters: ParameterModel,
    pub(crate) wheel: WheelModel,
    pub(crate) notes: NoteModel,
    pub(crate) pressure: Option<U7>,
    pub(crate) poly_pressure: PolyPressureModel,
    /// The packet of the last command that controller 121 would undo.
    reset_ext: u64,
}

impl ChannelModel {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            program: ProgramModel::default(),
            controls: ControlModel::default(),
            parameters: ParameterModel::default(),
            wheel: WheelModel::default(),
            notes: NoteModel::default(),
            pressure: None,
            poly_pressure: PolyPressureModel::default(),
            reset_ext: 0,
        }
    }

    /// The whole system was reset. Memory is kept.
    pub(crate) fn clear(&mut self) {
        self.program = ProgramModel::default();
        self.controls.clear();
        self.parameters.clear();
        self.wheel = WheelModel::default();
        self.notes.clear();
        self.pressure = None;
        self.poly_pressure.set_all(None);
        self.reset_ext = 0;
    }

    pub(crate) fn observe(&mut self, stamp: Stamp, message: ChannelMessage) {
        let ext = stamp.ext;
        match message {
            ChannelMessage::NoteOn { note, velocity, .. } if velocity != U7::MIN => {
                self.notes.on(stamp, note, velocity);
            }
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                self.notes.off(ext, note);
            }
            ChannelMessage::PolyPressure { note, value, .. } => {
                self.poly_pressure.observe(note.to_u7(), value);
                self.reset_ext = self.reset_ext.max(ext);
            }
            ChannelMessage::ControlChange { control, value, .. } => {
                self.control(ext, control, value);
                self.reset_ext = self.reset_ext.max(ext);
            }
            ChannelMessage::ProgramChange { program, .. } => self.program.observe(ext, program),
            ChannelMessage::ChannelPressure { value, .. } => {
                self.pressure = Some(value);
                self.reset_ext = self.reset_ext.max(ext);
            }
            ChannelMessage::PitchBend { bend, .. } => {
                self.wheel.bend = bend;
                self.wheel.ext = ext;
                self.reset_ext = self.reset_ext.max(ext);
            }
        }
    }

    fn control(&mut self, ext: u64, control: Controller, value: U7) {
        if is_parameter_system(control) {
            self.parameters.ext = self.parameters.ext.max(ext);
        }
        if is_data(control) && self.parameters.is_selected() {
            self.parameters.data(control, value);
            return;
        }
        match control.get() {
            0 => self.program.bank_msb(value),
            32 => self.program.bank_lsb(value),
            98..=101 => self.parameters.number(control, value),
            120 | 123..=127 => {
                self.notes.all_off();
                // Chapters T and A now speak only of what comes after it.
                self.pressure = None;
                self.poly_pressure.set_all(None);
            }
            121 => {
                self.controls.reset();
                self.parameters.deselect();
                self.wheel.bend = Bend::CENTER;
                self.pressure = Some(U7::MIN);
                self.poly_pressure.set_all(Some(U7::MIN));
            }
            _ => {}
        }
        self.controls.observe(ext, control, value);
    }

    /// A message that was not received is executed.
    pub(crate) fn execute(&mut self, message: ChannelMessage, out: &mut Repairs<'_>) {
        out.channel(message);
        self.observe(out.stamp, message);
    }

    /// Goes through the chapters in the order that errs on the side of silence: what ends notes
    /// comes before what holds them, and what resets comes before what was set after it.
    pub(crate) fn repair(&mut self, journal: &ChannelJournal<'_>, out: &mut Repairs<'_>) {
        if out.skips(journal.s) {
            return;
        }
        let enhanced = journal.enhanced;
        let extras = journal
            .notes
            .map(|_| ExtraTable::new(journal.extras.as_ref()));
        if let Some(controls) = &journal.controls {
            self.repair_controls(controls, enhanced, Phase::Mode, out);
        }
        if let (Some(notes), Some(extras)) = (&journal.notes, &extras) {
            self.repair_notes_off(notes, extras, out);
        }
        if let Some(program) = &journal.program {
            self.repair_program(program, journal.controls.as_ref(), out);
        }
        if let Some(controls) = &journal.controls {
            self.repair_controls(controls, enhanced, Phase::Rest, out);
        }
        if let Some(parameters) = &journal.parameters {
            self.repair_parameters(parameters, out);
        }
        if let Some(wheel) = &journal.wheel {
            self.repair_wheel(wheel, out);
        }
        if let (Some(notes), Some(extras)) = (&journal.notes, &extras) {
            self.repair_notes_on(notes, extras, out);
        }
        if let Some(pressure) = &journal.pressure {
            self.repair_pressure(pressure, out);
        }
        if let Some(poly_pressure) = &journal.poly_pressure {
            self.repair_poly_pressure(poly_pressure, out);
        }
    }

    /// Brings an application that holds this to what is now, in the order of a repair. Parameters
    /// come before controllers here, because 121 leaves them alone and deselects them.
    pub(crate) fn restore(&mut self, now: &Self, out: &mut Repairs<'_>) {
        self.restore_notes_off(now, out);
        self.restore_modes(now, out);
        self.restore_program(now, out);
        self.restore_parameters(now, out);
        self.restore_controls(now, out);
        self.restore_selection(now, out);
        self.restore_wheel(now, out);
        self.restore_notes_on(now, out);
        self.restore_pressure(now, out);
        self.restore_poly_pressure(now, out);
    }

    /// What was lost is not known: ends and lets go what the journal does not speak of.
    pub(crate) fn make_safe(
        &mut self,
        journal: Option<&ChannelJournal<'_>>,
        out: &mut Repairs<'_>,
    ) {
        let mut spoken_of = 0_u128;
        if let Some(notes) = journal.and_then(|it| it.notes) {
            let off = notes.off().iter();
            for note in off.chain(notes.logs().iter().map(|log| log.note)) {
                spoken_of |= 1 << note.get();
            }
        }
        for note in self.notes.used() {
            if spoken_of >> note.get() & 1 == 0 {
                self.silence_note(note, out);
            }
        }
        let mut logged = 0_u128;
        for log in journal
            .and_then(|it| it.controls)
            .map(|it| it.logs())
            .iter()
            .flatten()
        {
            logged |= 1 << log.controller.get();
        }
        let unlogged = |control: &Controller| logged >> control.get() & 1 == 0;
        for pedal in PEDALS.into_iter().filter(unlogged) {
            self.let_go(pedal, out);
        }
        self.controls.forget_all_but(logged);
    }

    /// Ends all notes as often as they were begun.
    pub(crate) fn silence_notes(&mut self, out: &mut Repairs<'_>) {
        for note in self.notes.used() {
            self.silence_note(note, out);
        }
    }

    fn silence_note(&mut self, note: Note, out: &mut Repairs<'_>) {
        let times = self.notes.count(note);
        self.end_note(note, times, U7::from_low_bits(64), out);
    }

    /// Ends what goes on without notes: pedals, hold, pitch bend.
    pub(crate) fn let_go_all(&mut self, out: &mut Repairs<'_>) {
        for number in [64, 66, 67, 69] {
            self.let_go(Controller::from(U7::from_low_bits(number)), out);
        }
        if self.wheel.bend != Bend::CENTER {
            let message = ChannelMessage::pitch_bend(self.channel, Bend::CENTER);
            self.execute(message, out);
        }
    }

    fn let_go(&mut self, pedal: Controller, out: &mut Repairs<'_>) {
        if self.controls.is_on(pedal) {
            self.execute_control(pedal, U7::MIN, out);
        }
    }

    /// Whether a message of an older packet still makes sense. It then counts as executed.
    pub(crate) fn late(&mut self, stamp: Stamp, message: ChannelMessage) -> bool {
        let newest = match message {
            _ if message.is_note_off() => match message {
                ChannelMessage::NoteOff { note, .. } | ChannelMessage::NoteOn { note, .. } => {
                    self.notes.ext(note)
                }
                _ => return false,
            },
            ChannelMessage::ControlChange { control, .. } => match control.get() {
                120 | 123 => self.notes.on_ext,
                124..=127 => {
                    let other = Controller::from(U7::from_low_bits(control.get() ^ 1));
                    self.notes.on_ext.max(self.controls.ext(other))
                }
                121 => self.reset_ext,
                _ if is_parameter_system(control) => self.parameters.ext,
                _ => 0,
            }
            .max(self.controls.ext(control)),
            ChannelMessage::ProgramChange { .. } => self
                .program
                .ext
                .max(self.controls.ext(Controller::BANK_SELECT))
                .max(self.controls.ext(Controller::BANK_SELECT_LSB)),
            ChannelMessage::PitchBend { .. } => self
                .wheel
                .ext
                .max(self.controls.ext(Controller::RESET_ALL_CONTROLLERS)),
            _ => return false,
        };
        let in_time = newest <= stamp.ext;
        if in_time {
            self.observe(stamp, message);
        }
        in_time
    }
}

fn is_parameter_system(control: Controller) -> bool {
    is_data(control) || matches!(control.get(), 98..=101)
}
