//! Counters for the operator.

use core::time::Duration;

/// What a session saw that belongs to no participant.
///
/// A datagram that is not a participant's own, or not taken as such, is counted once among the
/// counters up to [`stale_bye`](Self::stale_bye) and the invitations that came. What was done about
/// it is counted beside, if anything was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Datagrams handed in.
    pub datagrams: u64,
    /// Session packets (FF FF) that could not be read.
    pub malformed_control: u64,
    /// RTP packets whose header could not be read.
    pub malformed_rtp: u64,
    /// RTP packets with a payload type that is not in the dynamic range, 96 to 127.
    pub foreign_payload: u64,
    /// RTP packets that came to a control port.
    pub rtp_on_control: u64,
    /// Packets of a kind other than an invitation with an identity that is not in the session.
    pub unknown_sender: u64,
    /// Packets with the identity of a participant from another source than that participant.
    pub wrong_source: u64,
    /// OK and NO which answer nothing that we asked.
    pub unexpected_answer: u64,
    /// Clock packets that no exchange of ours was waiting for.
    pub unexpected_clock: u64,
    /// BY with the token of an earlier session, right after a new one began.
    pub stale_bye: u64,
    /// Clock packets of those who have yet to prove that they are there: who may replace a
    /// participant ([`successions`](Self::successions)), and newcomers while there are many others
    /// who never compared clocks.
    pub newcomer_clocks: u64,
    /// Control invitations answered OK for the first time, or put to the application.
    pub invitations_begun: u64,
    /// Invitations that came again and got the same answer, or wait for it still.
    pub invitations_repeated: u64,
    /// Data invitations that were accepted. They led to a participant, at once or when it had proved
    /// that it is there.
    pub invitations_accepted: u64,
    /// Invitations answered NO because there was no place, no fitting control invitation before, or
    /// because they were our own.
    pub invitations_refused: u64,
    /// Invitations answered NO by the policy or by the application
    /// ([`Config::admission`](crate::Config::admission)).
    pub invitations_barred: u64,
    /// BY that took an unfinished invitation back.
    pub invitations_withdrawn: u64,
    /// Invitations not answered because too many came
    /// ([`Config::max_invitations_per_second`](crate::Config::max_invitations_per_second),
    /// [`Config::max_invitations_per_host`](crate::Config::max_invitations_per_host)).
    pub invitations_limited: u64,
    /// Invitations not answered because events were not polled, because too many wait for the
    /// application, or because the session is closed.
    pub invitations_ignored: u64,
    /// Invitations whose data half never came, that were not decided in time, or for which there was
    /// no place without a proof.
    pub invitations_expired: u64,
    /// Invitations that gave up their place to another one before they led to a
    /// participant.
    pub invitations_displaced: u64,
    /// Participants that gave up their place to another one ([`LeaveReason::Displaced`]).
    ///
    /// [`LeaveReason::Displaced`]: crate::LeaveReason::Displaced
    pub participants_displaced: u64,
    /// Peers that came with another SSRC from the control port of a participant: after a restart, or
    /// with a forged address. They take its place only when they prove that they are there.
    pub successions: u64,
    /// Those of them that did not.
    pub successions_failed: u64,
    /// Invitations that we sent, repetitions included.
    pub invitations_sent: u64,
    /// Series of invitations of ours that nobody answered.
    pub invitations_unanswered: u64,
    /// NO to invitations of ours.
    pub refusals_received: u64,
    /// Strangers who seemed to think that they are in the session and were told BY.
    pub strangers_told: u64,
    /// BY from the address of a participant with an identity that is not in the session: the
    /// participant was asked whether it still is.
    pub doubts: u64,
    /// CK0 sent to addresses that claimed to be a participant's new one.
    pub moves_checked: u64,
    /// Participants that have moved to another port of their host.
    pub moves: u64,
    /// Answers dropped because too many waited to be polled.
    pub answers_dropped: u64,
    /// Events dropped because too many waited to be polled.
    pub events_dropped: u64,
}

/// What a session saw of one participant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ParticipantStats {
    /// RTP packets that were taken.
    pub packets_received: u64,
    /// Messages that went to the application.
    pub messages_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Messages sent whole.
    pub messages_sent: u64,
    /// Packets missing in the sequence, those that came late taken off again.
    pub lost: u64,
    /// Packets that came after a later one; they are dropped, but for
    /// [`messages_late`](Self::messages_late).
    pub reordered: u64,
    /// Packets that came twice; the second one is dropped.
    pub duplicates: u64,
    /// Times that the sequence jumped and was taken up anew, or fell back although time went on
    /// (rtp-midi-rs continues with the numbers that it receives).
    pub resynchronised: u64,
    /// Packets dropped to see whether a jump in the sequence was one.
    pub held_back: u64,
    /// Packets taken although their sequence number did not move, told apart by their timestamp
    /// (pymidi's client sends one and the same number always).
    pub stuck_sequence: u64,
    /// Packets whose command section could not be read; they count as lost as well.
    pub malformed_commands: u64,
    /// Packets with octets after the command section although J=0; their commands are taken.
    pub trailing_octets: u64,
    /// Messages with an undefined status that the configuration does not carry.
    pub undefined_dropped: u64,
    /// System exclusive messages given up: cut, cancelled, or with a part lost.
    pub sysex_abandoned: u64,
    /// System exclusive messages given up because they passed the bound.
    pub sysex_too_long: u64,
    /// System exclusive messages not delivered because the policy says so
    /// ([`SysExPolicy`](crate::SysExPolicy)).
    pub sysex_dropped: u64,
    /// Messages whose time was too far away to be believed; delivered as due now.
    pub implausible_time: u64,
    /// How unevenly packets arrive: the interarrival jitter of RFC 3550 §6.4.1, in microseconds, as
    /// it is now. It compares times of arrival with those of sending, so a sender that schedules
    /// ahead has more than its network.
    pub jitter_micros: u64,
    /// The playout delay of the last packet, in microseconds after its time of sending
    /// ([`Playout`](crate::Playout)).
    pub playout_delay_micros: u64,
    /// Messages that arrived after they should have been played, where there is a playout delay.
    pub overdue: u64,
    /// Note-ons that were dropped because they were too late ([`LatePolicy`](crate::LatePolicy)).
    pub overdue_dropped: u64,
    /// Packets that were taken and messages that were played before their time, because more waited
    /// than the configuration allows.
    pub played_early: u64,
    /// Clock exchanges that were completed.
    pub clock_exchanges: u64,
    /// Packets with a recovery journal.
    pub journals_received: u64,
    /// Recovery journals that could not be read, at least in part, when they were needed.
    pub journals_damaged: u64,
    /// Losses that no journal covered.
    pub uncovered_losses: u64,
    /// Messages delivered to put right what lost packets did.
    pub messages_repaired: u64,
    /// Messages that restored the state of an application that had missed some
    /// ([`Event::Overflow`](crate::Event::Overflow)).
    pub messages_restored: u64,
    /// System exclusive messages that an application missed for good, because it polled too slowly.
    pub sysex_missed: u64,
    /// Lost note-ons that were too old to be played when the loss showed.
    pub notes_skipped: u64,
    /// System exclusive messages that were lost for good.
    pub sysex_lost: u64,
    /// Messages from packets that came late, executed because the peer sends no journal and nothing
    /// newer had come.
    pub messages_late: u64,
    /// Packets sent with a recovery journal.
    pub journals_sent: u64,
    /// Octets of recovery journals sent.
    pub journal_octets_sent: u64,
    /// Packets sent with a journal that could not hold all that is not acknowledged, or without one
    /// for that reason.
    pub journal_overflow: u64,
    /// System exclusive messages sent for which the journal had no room until they were
    /// acknowledged: if one was lost, it cannot be repaired.
    pub sysex_unprotected: u64,
    /// Packets sent for the sake of their journal.
    pub guards_sent: u64,
    /// Receiver feedback sent.
    pub feedback_sent: u64,
    /// Receiver feedback that acknowledged what was never sent, or nothing new.
    pub feedback_ignored: u64,
    /// Receiver feedback packets.
    pub feedback_received: u64,
    /// Bitrate limits (RL).
    pub bitrate_limits_received: u64,
    /// The limit that is kept to, in bits of MIDI per second at ten bits an octet: the smaller of the
    /// one received and our own pacing.
    pub bitrate_limit: Option<u32>,
    /// Octets of MIDI sent, as they are on a DIN plug without running status; journals not counted.
    pub midi_octets_sent: u64,
    /// Times that MIDI had to wait for the limit.
    pub pacing_waits: u64,
    /// How long it waited, all together.
    pub pacing_waited: Duration,
    /// Messages that were dropped because we left and the limit would not have let them out in time.
    pub paced_dropped: u64,
    /// Scheduled messages that were dropped because we left or took them back.
    pub scheduled_dropped: u64,
}

/// How far what was sent to a participant has got. Octets come with an overhead for each message: as
/// [`Config::max_queued_octets`](crate::Config::max_queued_octets) counts them.
///
/// The difference of the first two is what is in packets already or was taken back. What was accepted before
/// a moment, and is not scheduled for later, has gone out once that difference has reached what
/// `accepted` was then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Outgoing {
    /// All octets that were ever sent to it.
    pub accepted: u64,
    /// What of them waits, scheduled messages included.
    pub waiting: u64,
    /// Packets that went out to it, those included that only have a journal.
    pub packets: u64,
    /// How many of these had gone out with the last one that it has told to have (RS): that one and
    /// all before it have arrived, or their journals have put right what did not. 0 as long as it
    /// has told nothing; some peers never do.
    pub acknowledged: u64,
}

impl Outgoing {
    /// What does not wait any more.
    #[must_use]
    pub const fn gone(&self) -> u64 {
        self.accepted.saturating_sub(self.waiting)
    }
}
