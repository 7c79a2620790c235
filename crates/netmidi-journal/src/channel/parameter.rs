//! Chapter M: the parameter system.

use core::fmt;
use core::iter::FusedIterator;

use netmidi_message::{Parameter, U7, U14};
use nom::Parser;
use nom::number::complete::{be_u8, be_u16};

use super::{ChannelJournal, sized};
use crate::encode::{Cursor, bit, encodes, top};
use crate::error::JournalError;
use crate::parse::{Fault, Parsed};

/// Chapter M: registered and non-registered parameters, RPN and NRPN (RFC 6295 §A.4).
///
/// ```text
///  0                   1                   2
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|P|E|U|W|Z|      LENGTH       |Q|   PENDING   |  logs …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// PENDING is there if P is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parameters<'a> {
    s: bool,
    pending: Option<Pending>,
    in_progress: bool,
    logs: ParameterLogs<'a>,
}

/// The upper half of a parameter number that still waits for the lower one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Pending {
    /// Controller 101 with this value.
    Registered(U7),
    /// Controller 99 with this value (Q).
    NonRegistered(U7),
}

/// What the header of chapter M says about all of its logs. Only what is true of them may be set.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct ParameterFlags {
    /// All are registered parameters (U).
    pub registered: bool,
    /// All are non-registered parameters (W).
    pub non_registered: bool,
    /// All have numbers below 128 (Z). Together with one of the others it makes each log an octet
    /// shorter.
    pub low: bool,
}

/// One log of chapter M: a parameter.
///
/// ```text
///  0                   1                   2
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|  PNUM-LSB   |Q|  PNUM-MSB   |J|K|L|M|N|T|V|R|  fields …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |X|  ENTRY-MSB  |  if J
/// |X|  ENTRY-LSB  |  if K
/// |G|X|       A-BUTTON            |  if L
/// |G|R|       C-BUTTON            |  if M
/// |X|    COUNT    |  if N
/// +-+-+-+-+-+-+-+-+
/// ```
///
/// In the short form the second octet of the header is missing: see [`ParameterFlags`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ParameterLog {
    /// 0 if what it codes was in the packet just before.
    pub s: bool,
    /// Which parameter.
    pub parameter: Parameter,
    /// The last value of controller 6 for it (J).
    pub entry_msb: Option<Entry>,
    /// The last value of controller 38 for it (K), if no controller 6 came after that.
    pub entry_lsb: Option<Entry>,
    /// Steps up (96) minus steps down (97) since the last value (L).
    pub a_button: Option<(ButtonCount, bool)>,
    /// The same, only since the last reset of all controllers (M).
    pub c_button: Option<ButtonCount>,
    /// How many transactions there were for this parameter, 0 to 127 and then 0 again (N).
    pub count: Option<Entry>,
    /// Whether the sender uses the count tool for this parameter (T).
    pub uses_count: bool,
    /// Whether the sender uses the value tool for this parameter (V).
    pub uses_value: bool,
}

/// A seven-bit field of a [`ParameterLog`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Entry {
    /// The value.
    pub value: U7,
    /// Whether the command came before the last reset of all controllers, 121 (X).
    pub stale: bool,
}

/// Steps up minus steps down, -16,383 to 16,383.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ButtonCount(i16);

/// The logs of chapter M, borrowed from the octets of a journal or from a slice.
///
/// Ordered by their last transaction: one that is in progress is the last.
#[derive(Clone, Copy)]
pub struct ParameterLogs<'a> {
    flags: ParameterFlags,
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Octets { octets: &'a [u8], count: u16 },
    Logs(&'a [ParameterLog]),
}

/// Goes through [`ParameterLogs`].
#[derive(Clone, Debug)]
pub struct ParameterLogIter<'a> {
    logs: ParameterLogs<'a>,
}

impl<'a> Parameters<'a> {
    /// The chapter. `None` when it would be longer than a channel journal can be.
    ///
    /// `s` is 0 if something that it codes outside the logs was in the packet just before;
    /// `in_progress` is true if the parameter of the last log is still open (E).
    #[must_use]
    pub fn new(
        s: bool,
        pending: Option<Pending>,
        in_progress: bool,
        logs: ParameterLogs<'a>,
    ) -> Option<Self> {
        let chapter = Self {
            s,
            pending,
            in_progress,
            logs,
        };
        let fits = chapter.encoded_len() <= ChannelJournal::MAX_LEN - ChannelJournal::HEADER_LEN;
        fits.then_some(chapter)
    }

    /// S as it was read or given.
    #[must_use]
    pub const fn s(&self) -> bool {
        self.s
    }

    /// S as it is written: 0 if it is 0 here or in a log.
    #[must_use]
    pub fn effective_s(&self) -> bool {
        self.s && self.logs.iter().all(|log| log.s)
    }

    /// The upper half of a parameter number that came last, if the lower one has not come (P).
    #[must_use]
    pub const fn pending(&self) -> Option<Pending> {
        self.pending
    }

    /// Whether the parameter of the last log is still open (E).
    #[must_use]
    pub const fn in_progress(&self) -> bool {
        self.in_progress
    }

    /// The logs; there may be none.
    #[must_use]
    pub const fn logs(&self) -> ParameterLogs<'a> {
        self.logs
    }

    pub(crate) fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (_, head) = be_u16(input)?;
        let length = head & LENGTH;
        if length < 2 {
            return Err(Fault::new(
                input,
                JournalError::ChapterLengthTooSmall { offset: 0, length },
            ));
        }
        sized(length, input, |body| {
            let (rest, head) = be_u8(body)?;
            let (rest, _) = be_u8(rest)?;
            let (rest, pending) = if head & P == 0 {
                (rest, None)
            } else {
                let (rest, pending) = be_u8(rest)?;
                let value = U7::from_low_bits(pending);
                let pending = match pending & Q {
                    0 => Pending::Registered(value),
                    _ => Pending::NonRegistered(value),
                };
                (rest, Some(pending))
            };
            let flags = ParameterFlags {
                registered: head & U != 0,
                non_registered: head & W != 0,
                low: head & Z != 0,
            };
            let mut count = 0;
            let mut unread = rest;
            while !unread.is_empty() {
                (unread, _) = ParameterLog::read(unread, flags)?;
                count += 1;
            }
            Ok(Self {
                s: head & S != 0,
                pending,
                in_progress: head & E != 0,
                logs: ParameterLogs {
                    flags,
                    source: Source::Octets {
                        octets: rest,
                        count,
                    },
                },
            })
        })
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        let start = out.len();
        out.put(0);
        out.put(0);
        match self.pending {
            Some(Pending::Registered(value)) => out.put(value.get()),
            Some(Pending::NonRegistered(value)) => out.put(Q | value.get()),
            None => {}
        }
        let flags = self.logs.flags;
        for log in &self.logs {
            log.write(flags, out);
        }
        // `new` and `read` have held the length against a lower bound.
        let [high, low] = ((out.len() - start) as u16).to_be_bytes();
        out.patch(
            start,
            top(self.effective_s())
                | bit(self.pending.is_some(), P)
                | bit(self.in_progress, E)
                | bit(flags.registered, U)
                | bit(flags.non_registered, W)
                | bit(flags.low, Z)
                | high,
        );
        out.patch(start + 1, low);
    }
}

encodes!(Parameters<'_>);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use alloc::vec::Vec;

    use netmidi_message::{ChannelMessage, Controller, Parameter, U7, U14};

    use super::{ButtonCount, ParameterLog, Parameters, Pending};
    use crate::repairer::{ChannelModel, Repairs};

    /// Of how many parameters of a channel the state is kept; more than a chapter has room for.
    const MAX_PARAMETERS: usize = 256;
    /// Steps up or down that are made good for one parameter in one repair. Those that are left
    /// come with the next.
    const MAX_STEPS: u16 = 128;

    #[derive(Clone, Copy, Debug)]
    struct State {
        parameter: Parameter,
        msb: Option<U7>,
        lsb: Option<U7>,
        /// Steps up minus steps down since the last value.
        net: i16,
        /// Transactions, modulo 128.
        count: u8,
    }

    /// What the parameters of a channel are set to, and which one is selected.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ParameterModel {
        /// The one that was selected last is last.
        states: Vec<State>,
        open: Option<Parameter>,
        pending: Option<Pending>,
        registered_msb: Option<U7>,
        non_registered_msb: Option<U7>,
        /// How many parameters were forgotten for want of room.
        forgotten: u16,
        /// The packet of the last command of the parameter system.
        pub(crate) ext: u64,
    }

    impl ParameterModel {
        /// Whether a data entry now would be for a parameter.
        pub(crate) const fn is_selected(&self) -> bool {
            self.open.is_some() || self.pending.is_some()
        }

        /// Controllers 98 to 101.
        pub(crate) fn number(&mut self, control: Controller, value: U7) {
            match control {
                Controller::NRPN_MSB => {
                    self.non_registered_msb = Some(value);
                    self.open = None;
                    self.pending = Some(Pending::NonRegistered(value));
                }
                Controller::RPN_MSB => {
                    self.registered_msb = Some(value);
                    self.open = None;
                    self.pending = Some(Pending::Registered(value));
                }
                // Without an upper half of this transaction the last one of the kind counts.
                Controller::NRPN_LSB => {
                    let msb = self.non_registered_msb;
                    self.initiate(msb.map(|msb| non_registered(msb, value)));
                }
                Controller::RPN_LSB => {
                    let msb = self.registered_msb;
                    self.initiate(msb.map(|msb| registered(msb, value)));
                }
                _ => {}
            }
        }

        /// Controllers 6, 38, 96 and 97 while a parameter is selected.
        pub(crate) fn data(&mut self, control: Controller, value: U7) {
            match self.pending {
                Some(Pending::Registered(msb)) => self.initiate(Some(registered(msb, U7::MIN))),
                Some(Pending::NonRegistered(msb)) => {
                    self.initiate(Some(non_registered(msb, U7::MIN)));
                }
                None => {}
            }
            if let Some(parameter) = self.open {
                self.state(parameter).set(control, value);
            }
        }

        /// Controller 121.
        pub(crate) const fn deselect(&mut self) {
            self.open = None;
            self.pending = None;
            self.registered_msb = None;
            self.non_registered_msb = None;
        }

        /// A reset of the whole system. Memory is kept.
        pub(crate) fn clear(&mut self) {
            self.deselect();
            self.states.clear();
            self.forgotten = 0;
        }

        fn initiate(&mut self, parameter: Option<Parameter>) {
            self.open(parameter);
            if let Some(parameter) = self.open {
                let state = self.state(parameter);
                state.count = (state.count + 1) & 0x7F;
            }
        }

        fn open(&mut self, parameter: Option<Parameter>) {
            self.pending = None;
            self.open = parameter.filter(|it| !is_null(*it));
        }

        /// What a parameter is set to.
        fn value(&self, parameter: Parameter) -> State {
            let state = self.states.iter().rfind(|it| it.parameter == parameter);
            state.copied().unwrap_or(State::new(parameter))
        }

        /// The state of a parameter, which is the last one then.
        fn state(&mut self, parameter: Parameter) -> &mut State {
            let at = self
                .states
                .iter()
                .rposition(|it| it.parameter == parameter)
                .unwrap_or_else(|| {
                    if self.states.len() >= MAX_PARAMETERS {
                        self.states.remove(0);
                        self.forgotten = self.forgotten.saturating_add(1);
                    }
                    self.states.push(State::new(parameter));
                    self.states.len() - 1
                });
            if let Some(tail) = self.states.get_mut(at..) {
                tail.rotate_left(1);
            }
            self.states.last_mut().expect("it was found or put in")
        }
    }

    impl State {
        const fn new(parameter: Parameter) -> Self {
            Self {
                parameter,
                msb: None,
                lsb: None,
                net: 0,
                count: 0,
            }
        }

        fn set(&mut self, control: Controller, value: U7) {
            match control {
                Controller::DATA_ENTRY => {
                    self.msb = Some(value);
                    self.lsb = None;
                    self.net = 0;
                }
                Controller::DATA_ENTRY_LSB => {
                    self.lsb = Some(value);
                    self.net = 0;
                }
                Controller::DATA_INCREMENT => {
                    self.net = (self.net + 1).min(ButtonCount::MAX.get());
                }
                Controller::DATA_DECREMENT => {
                    self.net = (self.net - 1).max(ButtonCount::MIN.get());
                }
                _ => {}
            }
        }

        /// Whether the data entries are other than the log says. Beside one of them a missing
        /// ENTRY-LSB says that there is none.
        fn entries_differ(&self, log: &ParameterLog) -> bool {
            let msb = log.entry_msb.map(|it| it.value);
            let lsb = log.entry_lsb.map(|it| it.value);
            msb.is_some() && (msb != self.msb || lsb != self.lsb)
                || lsb.is_some() && lsb != self.lsb
        }
    }

    impl ChannelModel {
        /// The receiver's rule of chapter M.
        pub(crate) fn repair_parameters(
            &mut self,
            chapter: &Parameters<'_>,
            out: &mut Repairs<'_>,
        ) {
            if out.skips(chapter.s()) {
                return;
            }
            let mut last = None;
            for log in &chapter.logs() {
                last = Some(log.parameter);
                if !out.skips(log.s) {
                    self.repair_parameter(&log, out);
                }
            }
            match (chapter.pending(), last) {
                (Some(pending), _) => {
                    if self.parameters.pending != Some(pending) {
                        let (control, value) = match pending {
                            Pending::Registered(value) => (Controller::RPN_MSB, value),
                            Pending::NonRegistered(value) => (Controller::NRPN_MSB, value),
                        };
                        self.parameter_command(control, value, out);
                    }
                }
                (None, Some(parameter)) if chapter.in_progress() => {
                    if self.parameters.open != Some(parameter) {
                        self.select_parameter(parameter, out);
                    }
                }
                (None, _) if chapter.in_progress() => {}
                (None, _) => self.close_parameter(out),
            }
        }

        /// Selects no parameter, if one is selected or half selected.
        pub(crate) fn close_parameter(&mut self, out: &mut Repairs<'_>) {
            let null = match (self.parameters.open, self.parameters.pending) {
                (Some(Parameter::Registered(_)), _) | (None, Some(Pending::Registered(_))) => {
                    Parameter::Registered(U14::MAX)
                }
                (Some(_), _) | (None, Some(_)) => Parameter::NonRegistered(U14::MAX),
                (None, None) => return,
            };
            self.select_parameter(null, out);
        }

        fn repair_parameter(&mut self, log: &ParameterLog, out: &mut Repairs<'_>) {
            if is_null(log.parameter) {
                return;
            }
            let own = *self.parameters.state(log.parameter);
            let has_entry = log.entry_msb.is_some() || log.entry_lsb.is_some();
            let buttons = log.a_button.map(|(steps, _)| steps.get());
            let net = buttons.or(has_entry.then_some(0));
            let entries_differ = own.entries_differ(log);
            if entries_differ || net.is_some_and(|net| net != own.net) {
                self.select_parameter(log.parameter, out);
                if entries_differ || buttons.is_none() {
                    if let Some(entry) = log.entry_msb {
                        self.parameter_data(Controller::DATA_ENTRY, entry.value, out);
                    }
                    if let Some(entry) = log.entry_lsb {
                        self.parameter_data(Controller::DATA_ENTRY_LSB, entry.value, out);
                    }
                }
                self.step_parameter(log.parameter, net.unwrap_or(0), out);
            }
            if let Some(count) = log.count {
                self.parameters.state(log.parameter).count = count.value.get();
            }
        }

        /// What parameters are set to. One of them is left selected.
        pub(crate) fn restore_parameters(&mut self, now: &Self, out: &mut Repairs<'_>) {
            out.leave_untold(
                now.parameters
                    .forgotten
                    .saturating_sub(self.parameters.forgotten),
            );
            for then in &now.parameters.states {
                self.restore_parameter(*then, out);
            }
        }

        fn restore_parameter(&mut self, then: State, out: &mut Repairs<'_>) {
            let own = self.parameters.value(then.parameter);
            if (own.msb, own.lsb, own.net) == (then.msb, then.lsb, then.net) {
                return;
            }
            self.select_parameter(then.parameter, out);
            if (own.msb, own.lsb) != (then.msb, then.lsb) {
                if let Some(msb) = then.msb {
                    self.parameter_data(Controller::DATA_ENTRY, msb, out);
                }
                if let Some(lsb) = then.lsb {
                    self.parameter_data(Controller::DATA_ENTRY_LSB, lsb, out);
                }
            }
            let left = self.step_parameter(then.parameter, then.net, out);
            out.leave_untold(left);
        }

        /// Which parameter is selected, and the upper halves that later commands may leave out.
        pub(crate) fn restore_selection(&mut self, now: &Self, out: &mut Repairs<'_>) {
            let then = &now.parameters;
            if let Some(msb) = then.registered_msb
                && self.parameters.registered_msb != then.registered_msb
            {
                self.parameter_command(Controller::RPN_MSB, msb, out);
            }
            if let Some(msb) = then.non_registered_msb
                && self.parameters.non_registered_msb != then.non_registered_msb
            {
                self.parameter_command(Controller::NRPN_MSB, msb, out);
            }
            let own = (self.parameters.open, self.parameters.pending);
            if own == (then.open, then.pending) {
                return;
            }
            match (then.open, then.pending) {
                (_, Some(Pending::Registered(msb))) => {
                    self.parameter_command(Controller::RPN_MSB, msb, out);
                }
                (_, Some(Pending::NonRegistered(msb))) => {
                    self.parameter_command(Controller::NRPN_MSB, msb, out);
                }
                (Some(parameter), None) => self.select_parameter(parameter, out),
                // Both kinds have a null number; each leaves its own upper half behind.
                (None, None) if then.registered_msb == Some(U7::MAX) => {
                    self.select_parameter(Parameter::Registered(U14::MAX), out);
                }
                (None, None) if then.non_registered_msb == Some(U7::MAX) => {
                    self.select_parameter(Parameter::NonRegistered(U14::MAX), out);
                }
                (None, None) => self.close_parameter(out),
            }
        }

        /// Steps up or down until so many have been made since the last data entry. Returns how
        /// many are left.
        fn step_parameter(&mut self, parameter: Parameter, net: i16, out: &mut Repairs<'_>) -> u16 {
            let missing = net - self.parameters.value(parameter).net;
            let button = if missing > 0 {
                Controller::DATA_INCREMENT
            } else {
                Controller::DATA_DECREMENT
            };
            let steps = out.take_steps(missing.unsigned_abs().min(MAX_STEPS));
            for _ in 0..steps {
                self.parameter_data(button, U7::MIN, out);
            }
            missing.unsigned_abs() - steps
        }

        /// The two commands that select a parameter. No transaction of the sender's, so they are
        /// not counted as one.
        fn select_parameter(&mut self, parameter: Parameter, out: &mut Repairs<'_>) {
            let (msb, lsb) = match parameter {
                Parameter::Registered(_) => (Controller::RPN_MSB, Controller::RPN_LSB),
                Parameter::NonRegistered(_) => (Controller::NRPN_MSB, Controller::NRPN_LSB),
            };
            let number = super::number(parameter);
            self.parameter_command(msb, number.msb(), out);
            out.channel(ChannelMessage::control_change(
                self.channel,
                lsb,
                number.lsb(),
            ));
            self.parameters.open(Some(parameter));
        }

        /// One command that has a transaction counted by its log only.
        fn parameter_command(&mut self, control: Controller, value: U7, out: &mut Repairs<'_>) {
            out.channel(ChannelMessage::control_change(self.channel, control, value));
            self.parameters.number(control, value);
            self.parameters.ext = out.stamp.ext;
        }

        fn parameter_data(&mut self, control: Controller, value: U7, out: &mut Repairs<'_>) {
            out.channel(ChannelMessage::control_change(self.channel, control, value));
            self.parameters.data(control, value);
        }
    }

    fn registered(msb: U7, lsb: U7) -> Parameter {
        Parameter::Registered(U14::from_parts(msb, lsb))
    }

    fn non_registered(msb: U7, lsb: U7) -> Parameter {
        Parameter::NonRegistered(U14::from_parts(msb, lsb))
    }

    /// Both halves 127: no parameter.
    fn is_null(parameter: Parameter) -> bool {
        super::number(parameter) == U14::MAX
    }
}

impl ParameterFlags {
    /// Nothing is said: every log has the long form.
    pub const NONE: Self = Self {
        registered: false,
        non_registered: false,
        low: false,
    };

    /// All that is true of these logs, which gives the shortest form. Of an empty list nothing is
    /// said.
    #[must_use]
    pub fn of(logs: &[ParameterLog]) -> Self {
        if logs.is_empty() {
            return Self::NONE;
        }
        let registered = |log: &ParameterLog| matches!(log.parameter, Parameter::Registered(_));
        Self {
            registered: logs.iter().all(registered),
            non_registered: !logs.iter().any(registered),
            low: logs
                .iter()
                .all(|log| number(log.parameter).msb() == U7::MIN),
        }
    }

    /// Whether the logs have the short form.
    const fn is_short(self) -> bool {
        self.low && (self.registered || self.non_registered)
    }
}

impl<'a> ParameterLogs<'a> {
    /// The logs in their shortest form.
    #[must_use]
    pub fn new(logs: &'a [ParameterLog]) -> Self {
        Self {
            flags: ParameterFlags::of(logs),
            source: Source::Logs(logs),
        }
    }

    /// The logs with flags of the caller's choice; `None` when they say what is not true.
    #[must_use]
    pub fn with_flags(logs: &'a [ParameterLog], flags: ParameterFlags) -> Option<Self> {
        let truth = ParameterFlags::of(logs);
        let wrong = flags.registered && !truth.registered
            || flags.non_registered && !truth.non_registered
            || flags.low && !truth.low;
        let source = Source::Logs(logs);
        (!wrong).then_some(Self { flags, source })
    }

    /// The flags as they were read or chosen.
    #[must_use]
    pub const fn flags(&self) -> ParameterFlags {
        self.flags
    }

    /// How many logs there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.source {
            Source::Octets { count, .. } => count as usize,
            Source::Logs(logs) => logs.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The logs in their order.
    #[must_use]
    pub const fn iter(&self) -> ParameterLogIter<'a> {
        ParameterLogIter { logs: *self }
    }
}

impl<'a> IntoIterator for &ParameterLogs<'a> {
    type Item = ParameterLog;
    type IntoIter = ParameterLogIter<'a>;

    fn into_iter(self) -> ParameterLogIter<'a> {
        self.iter()
    }
}

impl PartialEq for ParameterLogs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.flags == other.flags && self.iter().eq(other.iter())
    }
}

impl Eq for ParameterLogs<'_> {}

impl fmt::Debug for ParameterLogs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl Iterator for ParameterLogIter<'_> {
    type Item = ParameterLog;

    fn next(&mut self) -> Option<ParameterLog> {
        let flags = self.logs.flags;
        match &mut self.logs.source {
            Source::Octets { octets, count } => {
                // `Parameters::read` has been through the same octets without a fault.
                let (rest, log) = ParameterLog::read(octets, flags).ok()?;
                *octets = rest;
                *count = count.checked_sub(1)?;
                Some(log)
            }
            Source::Logs(logs) => {
                let (log, rest) = logs.split_first()?;
                *logs = rest;
                Some(*log)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.logs.len(), Some(self.logs.len()))
    }
}

impl ExactSizeIterator for ParameterLogIter<'_> {}
impl FusedIterator for ParameterLogIter<'_> {}

impl ParameterLog {
    /// A log without fields, for a sender that uses both tools.
    #[must_use]
    pub const fn new(s: bool, parameter: Parameter) -> Self {
        Self {
            s,
            parameter,
            entry_msb: None,
            entry_lsb: None,
            a_button: None,
            c_button: None,
            count: None,
            uses_count: true,
            uses_value: true,
        }
    }

    fn read(input: &[u8], flags: ParameterFlags) -> Parsed<'_, Self> {
        let (rest, lsb) = be_u8(input)?;
        let (rest, msb) = if flags.is_short() {
            // Both flags cannot be true: such a list is read as registered.
            (rest, if flags.registered { 0 } else { Q })
        } else {
            be_u8(rest)?
        };
        let number = U14::from_parts(U7::from_low_bits(msb), U7::from_low_bits(lsb));
        let (rest, toc) = be_u8(rest)?;
        let (rest, entry_msb) = field(toc & J, Entry::read, rest)?;
        let (rest, entry_lsb) = field(toc & K, Entry::read, rest)?;
        let (rest, a_button) = field(toc & L, ButtonCount::read, rest)?;
        let (rest, c_button) = field(toc & M, ButtonCount::read, rest)?;
        let (rest, count) = field(toc & N, Entry::read, rest)?;
        Ok((
            rest,
            Self {
                s: lsb & S != 0,
                parameter: if msb & Q == 0 {
                    Parameter::Registered(number)
                } else {
                    Parameter::NonRegistered(number)
                },
                entry_msb,
                entry_lsb,
                a_button,
                c_button: c_button.map(|(steps, _)| steps),
                count,
                uses_count: toc & T != 0,
                uses_value: toc & V != 0,
            },
        ))
    }

    fn write(&self, flags: ParameterFlags, out: &mut Cursor<'_>) {
        let number = number(self.parameter);
        let registered = matches!(self.parameter, Parameter::Registered(_));
        out.put(top(self.s) | number.lsb().get());
        if !flags.is_short() {
            out.put(bit(!registered, Q) | number.msb().get());
        }
        out.put(
            bit(self.entry_msb.is_some(), J)
                | bit(self.entry_lsb.is_some(), K)
                | bit(self.a_button.is_some(), L)
                | bit(self.c_button.is_some(), M)
                | bit(self.count.is_some(), N)
                | bit(self.uses_count, T)
                | bit(self.uses_value, V),
        );
        if let Some(entry) = self.entry_msb {
            entry.write(out);
        }
        if let Some(entry) = self.entry_lsb {
            entry.write(out);
        }
        if let Some((steps, stale)) = self.a_button {
            steps.write(stale, out);
        }
        if let Some(steps) = self.c_button {
            steps.write(false, out);
        }
        if let Some(count) = self.count {
            count.write(out);
        }
    }
}

impl Entry {
    fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, octet) = be_u8(input)?;
        Ok((
            rest,
            Self {
                value: U7::from_low_bits(octet),
                stale: octet & X != 0,
            },
        ))
    }

    fn write(self, out: &mut Cursor<'_>) {
        out.put(top(self.stale) | self.value.get());
    }
}

impl ButtonCount {
    /// The furthest up.
    pub const MAX: Self = Self(16_383);
    /// The furthest down.
    pub const MIN: Self = Self(-16_383);

    /// The count, or `None` when it is out of range.
    #[must_use]
    pub const fn new(steps: i16) -> Option<Self> {
        if steps >= Self::MIN.0 && steps <= Self::MAX.0 {
            Some(Self(steps))
        } else {
            None
        }
    }

    /// The plain number; steps up are positive.
    #[must_use]
    pub const fn get(self) -> i16 {
        self.0
    }

    /// The count and the bit beside its sign.
    fn read(input: &[u8]) -> Parsed<'_, (Self, bool)> {
        let (rest, (high, low)) = (be_u8, be_u8).parse(input)?;
        let magnitude = i16::from_be_bytes([high & MAGNITUDE, low]);
        let steps = if high & G == 0 { magnitude } else { -magnitude };
        Ok((rest, (Self(steps), high & BUTTON_X != 0)))
    }

    fn write(self, stale: bool, out: &mut Cursor<'_>) {
        let [high, low] = self.0.unsigned_abs().to_be_bytes();
        out.put(bit(self.0 < 0, G) | bit(stale, BUTTON_X) | high);
        out.put(low);
    }
}

/// Reads a field of a log if its flag is set.
fn field<'a, T>(
    flag: u8,
    read: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
    input: &'a [u8],
) -> Parsed<'a, Option<T>> {
    if flag == 0 {
        return Ok((input, None));
    }
    let (rest, it) = read(input)?;
    Ok((rest, Some(it)))
}

const fn number(parameter: Parameter) -> U14 {
    match parameter {
        Parameter::Registered(number) | Parameter::NonRegistered(number) => number,
    }
}

const S: u8 = 0x80;
// The chapter's header.
const P: u8 = 0x40;
const E: u8 = 0x20;
const U: u8 = 0x10;
const W: u8 = 0x08;
const Z: u8 = 0x04;
const LENGTH: u16 = 0x03FF;
/// Non-registered, in PENDING and in the header of a log.
const Q: u8 = 0x80;
// The table of contents of a log.
const J: u8 = 0x80;
const K: u8 = 0x40;
const L: u8 = 0x20;
const M: u8 = 0x10;
const N: u8 = 0x08;
const T: u8 = 0x04;
const V: u8 = 0x02;
// Fields.
const X: u8 = 0x80;
const G: u8 = 0x80;
const BUTTON_X: u8 = 0x40;
const MAGNITUDE: u8 = 0x3F;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::vec::Vec;

    use netmidi_message::{Controller, Parameter, U7, U14};

    use super::{ButtonCount, Entry, ParameterLog, ParameterLogs, Parameters, Pending};
    use crate::recent::{Mark, Packet, Recent, View, item_bit, rebased};

    /// Which parameters of a channel were set.
    #[derive(Clone, Debug)]
    pub(crate) struct History {
        pub(crate) recent: Recent,
        /// At most [`MAX`](Self::MAX); an item of `recent` is a place in it.
        parameters: Vec<Known>,
        selection: Selection,
        /// For a selection that no log tells: half a number, or none.
        pub(crate) selection_mark: Mark,
        /// The upper halves that a lower half by itself goes with.
        registered_msb: U7,
        non_registered_msb: U7,
    }

    #[derive(Clone, Copy, Debug)]
    enum Selection {
        /// No number came, or controller 121 came after it.
        Nothing,
        /// The null parameter.
        Null,
        Pending(Pending),
        /// The parameter at this place.
        Open(u8),
    }

    #[derive(Clone, Copy, Debug)]
    struct Known {
        parameter: Parameter,
        msb: Option<Entry>,
        lsb: Option<Entry>,
        buttons: Option<Buttons>,
        count: u8,
        /// Whether its last transaction began before the last controller 121.
        stale: bool,
        /// The packet that changed it last.
        packet: Packet,
    }

    /// Steps up and down since the last data entry.
    #[derive(Clone, Copy, Debug, Default)]
    struct Buttons {
        all: ButtonCount,
        since_reset: ButtonCount,
        stale: bool,
    }

    impl History {
        /// Parameters that are known at most.
        const MAX: usize = 128;

        pub(crate) const fn new() -> Self {
            Self {
                recent: Recent::new(),
                parameters: Vec::new(),
                selection: Selection::Nothing,
                selection_mark: Mark::new(0),
                registered_msb: U7::MAX,
                non_registered_msb: U7::MAX,
            }
        }

        /// A command that sets everything to its start went out.
        pub(crate) fn reset(&mut self) {
            self.recent.clear();
            self.parameters.clear();
            self.deselect();
        }

        /// Whether it knows nothing.
        pub(crate) fn is_blank(&self) -> bool {
            self.parameters.is_empty()
                && matches!(self.selection, Selection::Nothing)
                && (self.registered_msb, self.non_registered_msb) == (U7::MAX, U7::MAX)
        }

        /// Gives back what memory it does not need now.
        pub(crate) fn shrink(&mut self) {
            self.recent.shrink();
            self.parameters.shrink_to_fit();
        }

        pub(crate) fn rebase(&mut self, by: Packet) {
            self.recent.rebase(by);
            self.selection_mark.rebase(by);
            for known in &mut self.parameters {
                known.packet = rebased(known.packet, by);
            }
        }

        /// Whether controllers 6, 38, 96 and 97 go to a parameter.
        pub(crate) const fn takes_data(&self) -> bool {
            matches!(self.selection, Selection::Pending(_) | Selection::Open(_))
        }

        /// Controllers 98 to 101.
        pub(crate) fn select(&mut self, controller: Controller, value: U7, packet: Packet) {
            let registered = matches!(controller, Controller::RPN_MSB | Controller::RPN_LSB);
            let msb = if registered {
                &mut self.registered_msb
            } else {
                &mut self.non_registered_msb
            };
            if matches!(controller, Controller::RPN_MSB | Controller::NRPN_MSB) {
                *msb = value;
                self.selection_mark = Mark::new(packet);
                self.selection = Selection::Pending(if registered {
                    Pending::Registered(value)
                } else {
                    Pending::NonRegistered(value)
                });
                return;
            }
            let number = U14::from_parts(*msb, value);
            if number == U14::MAX {
                self.selection_mark = Mark::new(packet);
                self.selection = Selection::Null;
                return;
            }
            self.open(registered, number, packet);
        }

        /// Controllers 6, 38, 96 and 97, if they [go to a parameter](Self::takes_data).
        pub(crate) fn data(&mut self, controller: Controller, value: U7, packet: Packet) {
            // The lower half of the number may be left out, if it is 0.
            match self.selection {
                Selection::Pending(Pending::Registered(msb)) => {
                    self.open(true, U14::from_parts(msb, U7::MIN), packet);
                }
                Selection::Pending(Pending::NonRegistered(msb)) => {
                    self.open(false, U14::from_parts(msb, U7::MIN), packet);
                }
                Selection::Nothing | Selection::Null | Selection::Open(_) => {}
            }
            let Selection::Open(item) = self.selection else {
                return;
            };
            let Some(known) = self.parameters.get_mut(usize::from(item)) else {
                return;
            };
            let stale = false;
            match controller {
                Controller::DATA_ENTRY => {
                    known.msb = Some(Entry { value, stale });
                    known.lsb = None;
                    known.buttons = None;
                }
                Controller::DATA_ENTRY_LSB => {
                    known.lsb = Some(Entry { value, stale });
                    known.buttons = None;
                }
                Controller::DATA_INCREMENT => known.step(1),
                _ => known.step(-1),
            }
            known.packet = packet;
            self.recent.touch(item, packet, 0, ());
        }

        /// Controller 121: values stay, the selection is gone.
        pub(crate) fn reset_controllers(&mut self) {
            for known in &mut self.parameters {
                known.stale = true;
                for entry in [&mut known.msb, &mut known.lsb].into_iter().flatten() {
                    entry.stale = true;
                }
                if let Some(buttons) = &mut known.buttons {
                    buttons.stale = true;
                    buttons.since_reset = ButtonCount::default();
                }
            }
            self.deselect();
        }

        const fn deselect(&mut self) {
            self.selection = Selection::Nothing;
            self.selection_mark.clear();
            self.registered_msb = U7::MAX;
            self.non_registered_msb = U7::MAX;
        }

        pub(crate) const fn is_pending(&self) -> bool {
            !self.recent.is_empty() || self.selection_mark.is_pending()
        }

        /// The parameter in progress: it must have a log if the chapter is there.
        pub(crate) const fn open_item(&self) -> Option<u8> {
            match self.selection {
                Selection::Open(item) => Some(item),
                _ => None,
            }
        }

        /// Octets of the header, with the log of the parameter in progress.
        pub(crate) fn base_len(&self) -> usize {
            let pending = usize::from(matches!(self.selection, Selection::Pending(_)));
            2 + pending + self.open_item().map_or(0, |item| self.log_len(item))
        }

        /// Octets of a log in the long form.
        pub(crate) fn log_len(&self, item: u8) -> usize {
            self.parameters.get(usize::from(item)).map_or(0, |known| {
                let log = known.log(true);
                4 + usize::from(log.entry_msb.is_some())
                    + usize::from(log.entry_lsb.is_some())
                    + 2 * usize::from(log.a_button.is_some())
                    + 2 * usize::from(log.c_button.is_some())
            })
        }

        /// The chapter with those of `told`, and of a selection by itself if `selection`. `Err`
        /// when it is longer than a channel journal can be.
        pub(crate) fn chapter<'b>(
            &self,
            view: &View,
            told: u128,
            selection: bool,
            logs: &'b mut Vec<ParameterLog>,
        ) -> Result<Option<Parameters<'b>>, TooLong> {
            logs.clear();
            let log = |item: u8, mark: Mark| {
                let known = self.parameters.get(usize::from(item));
                known.map(|known| known.log(mark.s(view.previous)))
            };
            let open = self.open_item();
            for item in self.recent.iter() {
                if told & item_bit(item.number) != 0 && Some(item.number) != open {
                    logs.extend(log(item.number, item.mark()));
                }
            }
            let told_open =
                open.is_some_and(|item| told & self.recent.members() & item_bit(item) != 0);
            if logs.is_empty() && !told_open && !(selection && self.selection_mark.is_pending()) {
                return Ok(None);
            }
            // The one in progress is the last log, even if it was acknowledged.
            logs.extend(open.and_then(|item| log(item, self.recent.mark(item))));
            let pending = match self.selection {
                Selection::Pending(pending) => Some(pending),
                _ => None,
            };
            let s = self.selection_mark.s(view.previous);
            Parameters::new(s, pending, open.is_some(), ParameterLogs::new(logs))
                .map(Some)
                .ok_or(TooLong)
        }

        /// A transaction begins.
        fn open(&mut self, registered: bool, number: U14, packet: Packet) {
            let parameter = if registered {
                Parameter::Registered(number)
            } else {
                Parameter::NonRegistered(number)
            };
            let item = self.place(parameter);
            if let Some(known) = self.parameters.get_mut(usize::from(item)) {
                known.count = known.count.wrapping_add(1);
                known.stale = false;
                known.packet = packet;
            }
            self.recent.touch(item, packet, 0, ());
            self.selection = Selection::Open(item);
            self.selection_mark.clear();
        }

        /// Where the parameter is, if need be in place of another one.
        fn place(&mut self, parameter: Parameter) -> u8 {
            let mut list = self.parameters.iter();
            if let Some(index) = list.position(|known| known.parameter == parameter) {
                return index as u8;
            }
            let known = Known {
                parameter,
                msb: None,
                lsb: None,
                buttons: None,
                count: 0,
                stale: false,
                packet: 0,
            };
            if self.parameters.len() < Self::MAX {
                self.parameters.push(known);
                return (self.parameters.len() - 1) as u8;
            }
            let unacknowledged = |item| self.recent.members() & item_bit(item) != 0;
            let oldest = (0..).zip(&self.parameters);
            let oldest = oldest.min_by_key(|(item, known)| (unacknowledged(*item), known.packet));
            let item = oldest.map_or(0, |(item, _)| item);
            self.recent.remove(item);
            if let Some(slot) = self.parameters.get_mut(usize::from(item)) {
                *slot = known;
            }
            item
        }
    }

    /// The chapter does not fit.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct TooLong;

    impl Known {
        fn step(&mut self, by: i16) {
            let buttons = self.buttons.get_or_insert_default();
            for count in [&mut buttons.all, &mut buttons.since_reset] {
                *count = ButtonCount::new(count.get() + by).unwrap_or(*count);
            }
            buttons.stale = false;
        }

        fn log(&self, s: bool) -> ParameterLog {
            let mut log = ParameterLog::new(s, self.parameter);
            log.entry_msb = self.msb;
            log.entry_lsb = self.lsb;
            if let Some(buttons) = self.buttons {
                log.a_button = Some((buttons.all, buttons.stale));
                let differs = !buttons.stale && buttons.since_reset != buttons.all;
                log.c_button = differs.then_some(buttons.since_reset);
            }
            log.count = Some(Entry {
                value: U7::from_low_bits(self.count),
                stale: self.stale,
            });
            log
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    fn entry(value: u8, stale: bool) -> Entry {
        let value = U7::new(value).unwrap();
        Entry { value, stale }
    }

    #[test]
    fn a_log_with_every_field() {
        let mut log = ParameterLog::new(false, Parameter::NonRegistered(U14::from_low_bits(0x483)));
        log.entry_msb = Some(entry(10, true));
        log.entry_lsb = Some(entry(11, true));
        log.a_button = Some((ButtonCount::new(300).unwrap(), true));
        log.c_button = Some(ButtonCount::new(-2).unwrap());
        log.count = Some(entry(127, true));
        let logs = [log];
        let logs = ParameterLogs::with_flags(&logs, ParameterFlags::NONE).unwrap();
        assert_octets!(
            Parameters,
            Parameters::new(false, None, true, logs).unwrap(),
            [
                0x20, 0x0C, 0x03, 0x89, 0xFE, 0x8A, 0x8B, 0x41, 0x2C, 0x80, 0x02, 0xFF
            ]
        );
    }

    #[test]
    fn the_short_form_is_chosen_where_it_is_possible() {
        let mut log = ParameterLog::new(true, Parameter::COARSE_TUNING);
        log.entry_msb = Some(entry(64, true));
        log.uses_count = false;
        let mut logs = [log];
        assert_octets!(
            Parameters,
            Parameters::new(true, None, false, ParameterLogs::new(&logs)).unwrap(),
            [0x94, 0x05, 0x82, 0x82, 0xC0]
        );
        logs[0].parameter = Parameter::NonRegistered(U14::from_low_bits(8));
        assert_octets!(
            Parameters,
            Parameters::new(true, None, false, ParameterLogs::new(&logs)).unwrap(),
            [0x8C, 0x05, 0x88, 0x82, 0xC0]
        );
        let wrong = ParameterFlags {
            registered: true,
            ..ParameterFlags::NONE
        };
        assert_eq!(ParameterLogs::with_flags(&logs, wrong), None);
        logs[0].parameter = Parameter::NonRegistered(U14::MAX);
        assert!(!ParameterFlags::of(&logs).low);
    }

    #[test]
    fn both_kinds_at_once_are_read_as_registered() {
        let (_, chapter) = Parameters::read(&[0x9C, 0x04, 0x82, 0x02]).unwrap();
        let log = chapter.logs().iter().next().unwrap();
        assert_eq!(log.parameter, Parameter::COARSE_TUNING);
    }

    #[test]
    fn a_number_may_be_pending() {
        let value = U7::from_low_bits(53);
        for (pending, octet) in [
            (Pending::NonRegistered(value), 0xB5),
            (Pending::Registered(value), 0x35),
        ] {
            assert_octets!(
                Parameters,
                Parameters::new(false, Some(pending), false, ParameterLogs::new(&[])).unwrap(),
                [0x40, 0x03, octet]
            );
        }
    }

    #[test]
    fn button_counts_have_a_range() {
        assert_eq!(ButtonCount::new(16_384), None);
        assert_eq!(ButtonCount::new(-16_383), Some(ButtonCount::MIN));
    }
}
