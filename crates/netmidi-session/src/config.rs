//! Bounds and defaults.

use alloc::string::String;
use core::time::Duration;

use netmidi_message::SysEx;
use netmidi_wire::{PacketBudget, RunningStatus};

use crate::admission::Admission;
use crate::error::ConfigError;
use crate::pacing::Pacing;

/// The longest session name, in octets of UTF-8: what a DNS label can hold, since the name is
/// announced as one (DNS-SD instance names, RFC 6763 §4.1.1).
pub const MAX_NAME_OCTETS: usize = 63;

/// What becomes of the statuses that MIDI 1.0 leaves undefined: F4, F5, F9 and FD.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UndefinedCommands {
    /// Not delivered and not sent (RFC 6295 Appendix C.2: the default of every session).
    #[default]
    Drop,
    /// Delivered and sent.
    Carry,
}

/// Whether a participant is sent recovery journals, which repair what packet loss broke
/// (RFC 6295 §4; docs/journal.md).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum JournalPolicy {
    /// Whole ones as soon as the peer has shown that it knows them, and before that only such as
    /// every known peer takes: of one channel, no longer than 255 octets.
    #[default]
    Auto,
    /// Whole ones from the first packet on.
    Full,
    /// None: for a peer that journals break.
    Off,
}

/// What becomes of system exclusive messages that a participant sends.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum SysExPolicy {
    /// Delivered, up to [`Config::max_sysex`].
    #[default]
    Deliver,
    /// Delivered up to so many data octets between F0 and F7, and never beyond
    /// [`Config::max_sysex`]. Longer ones are dropped and counted.
    UpTo(usize),
    /// Dropped and counted.
    Drop,
}

impl SysExPolicy {
    pub(crate) const fn drops(self, sysex: SysEx<'_>) -> bool {
        match self {
            Self::Deliver => false,
            Self::UpTo(octets) => sysex.data().len() > octets,
            Self::Drop => true,
        }
    }
}

/// When the messages of a participant are played.
///
/// A delay evens out how unevenly packets travel: messages come out with the spacing that they were
/// sent with, and packets that overtook each other come out in order, without a repair. It is
/// counted from the time of sending, as far as the participant's clock is known; before its first
/// clock exchange there is none.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Playout {
    /// As soon as they arrive. [`Event::Message`](crate::Event::Message) tells when they were sent.
    #[default]
    Immediate,
    /// So long after they were sent. Should be more than packets are on the way.
    Fixed(Duration),
    /// As early as all but one in 64 packets arrive: rises at once when they take longer, falls by
    /// 2 ms in a second when they do not.
    Adaptive {
        /// The most that is waited beyond the time that the fastest of the last 256 packets took.
        max: Duration,
    },
}

/// What becomes of a message that arrives after it should have been played.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LatePolicy {
    /// It is played.
    #[default]
    Play,
    /// It is played if it is no note-on, or not later than this. Everything that a note-on may leave
    /// behind is played always.
    Drop {
        /// After the time that its event would have had: with [`Playout::Immediate`] that of
        /// sending.
        after: Duration,
    },
}

/// How a [`Session`](crate::Session) behaves, and how much a peer can make it hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The name that peers see, at most [`MAX_NAME_OCTETS`] octets, without NUL. Some receivers
    /// keep only 24 characters.
    pub name: String,
    /// Participants at the same time. Default 64. Further invitations are answered NO, unless more than
    /// 16 of the participants never exchanged clocks: then OK, and who does exchange clocks takes the
    /// place of one of them.
    pub max_participants: usize,
    /// Who may connect. Default everybody.
    pub admission: Admission,
    /// Invitations of which only the control half has come. For a further one the host that has most
    /// of them gives up its oldest. At most half of them wait for
    /// [`Session::decide`](crate::Session::decide), or have been refused by it lately; these are
    /// given up for nobody. Default 1,024, about 800 octets each.
    pub max_invitations: usize,
    /// Invitations that are looked at in a second; those beyond are not answered. Repetitions by
    /// participants and data halves of those that were answered OK are not counted. Default 20,000.
    ///
    /// Of this and of the next one as many as there are participants at most
    /// ([`max_participants`](Self::max_participants)), or one second's worth, may come at once.
    pub max_invitations_per_second: u32,
    /// The same for each host. Several hosts may share it, which is rare: hosts are told apart by
    /// hashes. Default 100: raise it when many sessions come from one address, as from a load
    /// generator or a gateway.
    pub max_invitations_per_host: u32,
    /// How long an invitation waits for [`Session::decide`](crate::Session::decide), counted from the
    /// last time that it came. Default 15 s: peers repeat theirs each second, macOS twelve times.
    pub decision_timeout: Duration,
    /// How long an invitation waits for its data half, counted from the last time that its control
    /// half came. Default 5 s.
    pub invitation_timeout: Duration,
    /// A participant that sends nothing valid for so long has left. Default 60 s, the longest time
    /// Apple's driver lets pass between clock exchanges.
    pub silence_timeout: Duration,
    /// The same for a participant that we invited and that answers our clock exchanges, and twice
    /// this for one that invited us and has exchanged clocks twelve times, never more than 2 s apart.
    /// Default 5 s.
    pub liveness_timeout: Duration,
    /// How often we exchange clocks with a participant that we invited, after the burst at the
    /// beginning (eight times 250 ms apart). So soon we find out that it has restarted. Default 1 s;
    /// at most half of [`liveness_timeout`](Self::liveness_timeout).
    pub clock_interval: Duration,
    /// How long one that answered NO is left alone before it is invited again. Default 30 s.
    pub refused_pause: Duration,
    /// Peers that we invite at the same time. Default 64. They come in even if
    /// [`max_participants`](Self::max_participants) is reached.
    pub max_invitees: usize,
    /// BY to strangers who think that they are in the session, per second at most. Default 1,000.
    pub max_strangers_told: u32,
    /// MIDI is held back from a new participant until its first clock exchange is complete or its
    /// first MIDI packet came, but no longer than this. Default 2 s.
    pub ready_timeout: Duration,
    /// The largest system exclusive message put together for the application, in data octets
    /// between F0 and F7. Default 1 MiB.
    pub max_sysex: usize,
    /// Whether system exclusive messages of participants are delivered, unless
    /// [`Session::set_sysex`](crate::Session::set_sysex) says otherwise for one. Default yes.
    pub sysex: SysExPolicy,
    /// Octets that may wait to be sent to one participant, counted as MIDI messages plus a small
    /// overhead for each. Default 4 MiB.
    pub max_queued_octets: usize,
    /// Messages that may wait to be polled; later ones are dropped and the number of them is
    /// reported. Those that silence a participant who leaves have as much room again. Default
    /// 16,384: more than one datagram can bring.
    pub max_queued_events: usize,
    /// Data octets of system exclusive messages that may wait to be polled; later ones are dropped
    /// like those above. Default 16 MiB.
    pub max_queued_event_octets: usize,
    /// Answers (OK, NO, clock) that may wait to be polled; later ones are dropped, peers ask again.
    /// BY has room beyond that, two for each of [`max_participants`](Self::max_participants).
    /// Default 256.
    pub max_queued_answers: usize,
    /// A message scheduled further ahead than this, or as long ago, is delivered as due now. Default
    /// 2 s.
    pub max_ahead: Duration,
    /// When messages are played, unless
    /// [`Session::set_playout`](crate::Session::set_playout) says otherwise for one participant.
    /// Default [`Playout::Immediate`].
    pub playout: Playout,
    /// What becomes of messages that arrive too late for that. Default [`LatePolicy::Play`].
    pub late: LatePolicy,
    /// Packets of one participant that may wait to be played; when there are more, the oldest is
    /// taken early, though its messages still wait. Default 1,024.
    pub max_held_packets: usize,
    /// Octets of these packets, and again of the system exclusive messages among
    /// [`max_held_messages`](Self::max_held_messages). Default 1 MiB.
    pub max_held_octets: usize,
    /// Messages of one participant that may wait for their own time, which a packet can give to each
    /// of them; when there are more, the oldest is played early. Default 4,096.
    pub max_held_messages: usize,
    /// How long before its time a message given to [`Session::send_at`](crate::Session::send_at)
    /// goes out, with that time as its timestamp. Default 0: it goes out when it is to sound, and
    /// sounds early nowhere. More makes up for the network's delay, but only with peers that hold
    /// back what is not due yet; many play everything at once.
    pub send_ahead: Duration,
    /// How far ahead a message may be scheduled. Default one hour.
    pub max_schedule_ahead: Duration,
    /// How slowly each participant is sent MIDI and in how small packets, unless
    /// [`Session::set_pacing`](crate::Session::set_pacing) says otherwise for one. Default `None`: as
    /// fast as it is sent. What a participant itself asks for (RL) holds beside that.
    pub pacing: Option<Pacing>,
    /// The most that each participant is asked to send us (RL), in bits of MIDI per second at ten
    /// bits an octet: 31,250 for a DIN plug, 0 for no limit. It is told once, when MIDI may flow, and
    /// may not obey. Default `None`: it is told nothing.
    pub announce_limit: Option<u32>,
    /// How large packets get, in octets of UDP payload. Default 1,024: some peers read no more.
    pub packet_budget: PacketBudget,
    /// Whether packets use running status. Default off: some receivers cannot read it.
    pub running_status: RunningStatus,
    /// What becomes of F4, F5, F9 and FD. Default dropped.
    pub undefined: UndefinedCommands,
    /// Whether participants are sent recovery journals, unless
    /// [`Session::set_journal_policy`](crate::Session::set_journal_policy) says otherwise for one.
    /// Default [`JournalPolicy::Auto`].
    pub journal: JournalPolicy,
    /// Whether journals list several commands of one controller (enhanced chapter C, RFC 6295
    /// §A.3.3). Default off: few receivers know them. Needs a [`packet_budget`](Self::packet_budget)
    /// of 1,024 octets or more, and as much in [`pacing`](Self::pacing).
    pub enhanced_controllers: bool,
    /// Whether the messages that silence what a participant left on (notes, pedals, pitch bend) are
    /// delivered when it leaves, marked [`Origin::Silence`](crate::Origin::Silence). Default on.
    pub silence_on_leave: bool,
    /// Whether each completed clock exchange is told
    /// ([`Event::Synchronised`](crate::Event::Synchronised)). Default off.
    pub clock_events: bool,
}

impl Config {
    /// The defaults, with the name that peers see.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            max_participants: 64,
            admission: Admission::default(),
            max_invitations: 1024,
            max_invitations_per_second: 20_000,
            max_invitations_per_host: 100,
            decision_timeout: Duration::from_secs(15),
            invitation_timeout: Duration::from_secs(5),
            silence_timeout: Duration::from_secs(60),
            liveness_timeout: Duration::from_secs(5),
            clock_interval: Duration::from_secs(1),
            refused_pause: Duration::from_secs(30),
            max_invitees: 64,
            max_strangers_told: 1000,
            ready_timeout: Duration::from_secs(2),
            max_sysex: netmidi_message::DEFAULT_SYSEX_LIMIT,
            sysex: SysExPolicy::default(),
            max_queued_octets: 4 << 20,
            max_queued_events: 16_384,
            max_queued_event_octets: 16 << 20,
            max_queued_answers: 256,
            max_ahead: Duration::from_secs(2),
            playout: Playout::default(),
            late: LatePolicy::default(),
            max_held_packets: 1024,
            max_held_octets: 1 << 20,
            max_held_messages: 4096,
            send_ahead: Duration::ZERO,
            max_schedule_ahead: Duration::from_secs(3600),
            pacing: None,
            announce_limit: None,
            packet_budget: PacketBudget::DEFAULT,
            running_status: RunningStatus::default(),
            undefined: UndefinedCommands::default(),
            journal: JournalPolicy::default(),
            enhanced_controllers: false,
            silence_on_leave: true,
            clock_events: false,
        }
    }

    /// How long packets get for somebody who is paced so.
    pub(crate) fn packet_of(&self, pacing: Option<Pacing>) -> PacketBudget {
        pacing.map_or(self.packet_budget, |it| it.packet.min(self.packet_budget))
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.name.len() > MAX_NAME_OCTETS {
            return Err(ConfigError::NameTooLong {
                octets: self.name.len(),
                max: MAX_NAME_OCTETS,
            });
        }
        if let Some(offset) = self.name.bytes().position(|octet| octet == 0) {
            return Err(ConfigError::NulInName { offset });
        }
        let packet = self.packet_of(self.pacing);
        if self.enhanced_controllers && packet < PacketBudget::DEFAULT {
            return Err(ConfigError::EnhancedBudget {
                octets: packet.get(),
                min: PacketBudget::DEFAULT.get(),
            });
        }
        if self.clock_interval.is_zero() || self.clock_interval > self.liveness_timeout / 2 {
            return Err(ConfigError::ClockInterval {
                interval: self.clock_interval,
                max: self.liveness_timeout / 2,
            });
        }
        let bounds = [
            ("max_participants", self.max_participants),
            ("max_invitations", self.max_invitations),
            (
                "max_invitations_per_second",
                usize::from(self.max_invitations_per_second > 0),
            ),
            (
                "max_invitations_per_host",
                usize::from(self.max_invitations_per_host > 0),
            ),
            ("max_invitees", self.max_invitees),
            ("max_sysex", self.max_sysex),
            ("max_queued_octets", self.max_queued_octets),
            ("max_queued_events", self.max_queued_events),
            ("max_queued_event_octets", self.max_queued_event_octets),
            ("max_queued_answers", self.max_queued_answers),
            ("max_held_packets", self.max_held_packets),
            ("max_held_octets", self.max_held_octets),
            ("max_held_messages", self.max_held_messages),
        ];
        match bounds.into_iter().find(|(_, bound)| *bound == 0) {
            Some((field, _)) => Err(ConfigError::Zero { field }),
            None => Ok(()),
        }
    }
}
