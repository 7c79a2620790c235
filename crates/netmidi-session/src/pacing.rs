//! How much MIDI a participant is sent in a time: its bitrate receive limit (RL) and our own pacing.

use core::time::Duration;

use netmidi_wire::PacketBudget;

use crate::time::Time;

/// The slowest that a participant is sent MIDI, in bits per second at ten bits an octet, whatever it
/// asks for or is configured: a tenth of a DIN plug, a hundred messages a second.
///
/// Nothing that receives MIDI is slower than 31,250 bit/s (MIDI 1.0), so less is a mistake or malice,
/// and what is sent would wait for ever.
pub const MIN_BITRATE: u32 = 3_125;

/// Bits that an octet of MIDI takes on a DIN plug, with its start and stop bit.
const BITS: u32 = 10;
/// What may go out at once is what the limit carries in so long a time: at 31,250 bit/s that makes 62
/// octets, and the serial buffers of small boards have 64. Shorter, and a timer that is late by a few
/// milliseconds would leave the line idle.
const BURST: Duration = Duration::from_millis(20);
/// And no less than this, so that the pieces of a long message are not shorter than their headers.
const MIN_BURST: u64 = 32;
/// After a wait half of the burst goes out together, but it is not waited for more than this: else
/// there would be a packet for each message.
const MAX_CHUNK: u64 = 256;

/// How a participant that takes little at a time is sent MIDI; see
/// [`Session::set_pacing`](crate::Session::set_pacing).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Pacing {
    /// Octets of MIDI in a second, journals and headers not counted; 0 for any number. Less than a
    /// tenth of [`MIN_BITRATE`] counts as that.
    pub octets_per_second: u32,
    /// The largest packet, in octets of UDP payload, if that is smaller than
    /// [`Config::packet_budget`](crate::Config::packet_budget).
    pub packet: PacketBudget,
}

impl Pacing {
    /// What a DIN plug carries, 31,250 bit/s, in packets of 256 octets: for boards like Arduino that
    /// have one behind them, or little memory.
    pub const DIN: Self = Self {
        octets_per_second: 3_125,
        packet: PacketBudget::MIN,
    };
}

/// A token bucket: what may be sent to one participant now.
///
/// Counts in millionths of a bit, so that a microsecond at any limit is a whole number of them and
/// nothing is ever rounded.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// What the peer asked for, in bits per second; 0 is no limit.
    asked: u32,
    pacing: Option<Pacing>,
    /// The smaller of both, if there is one.
    limit: Option<u32>,
    /// What may go out, as of `counted_at`; below 0 after a message that is longer than the bucket
    /// and cannot be cut.
    credit: i64,
    counted_at: Time,
}

/// What an octet costs.
const OCTET: i64 = BITS as i64 * 1_000_000;

impl Pacer {
    pub(crate) fn new(pacing: Option<Pacing>) -> Self {
        let mut pacer = Self {
            asked: 0,
            pacing,
            limit: None,
            credit: i64::MAX,
            counted_at: Time::ZERO,
        };
        pacer.update(Time::ZERO);
        pacer
    }

    /// The limit in force, in bits per second.
    pub(crate) const fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// How long packets may get.
    pub(crate) fn packet(&self) -> PacketBudget {
        self.pacing.map_or(PacketBudget::MAX, |it| it.packet)
    }

    /// The peer asked for no more than so many bits per second; 0 for any number. Returns whether
    /// that changes anything.
    pub(crate) fn ask(&mut self, now: Time, bits_per_second: u32) -> bool {
        self.asked = bits_per_second;
        self.update(now)
    }

    pub(crate) fn set_pacing(&mut self, now: Time, pacing: Option<Pacing>) -> bool {
        self.pacing = pacing;
        self.update(now)
    }

    fn update(&mut self, now: Time) -> bool {
        let paced = self
            .pacing
            .map_or(0, |pacing| pacing.octets_per_second.saturating_mul(BITS));
        let limit = [self.asked, paced]
            .into_iter()
            .filter(|limit| *limit > 0)
            .min()
            .map(|limit| limit.max(MIN_BITRATE));
        if limit == self.limit {
            return false;
        }
        // What went out under the old limit stays counted: asking again and again gains nothing.
        self.refill(now);
        self.credit = if self.limit.is_some() {
            self.credit
        } else {
            i64::MAX
        };
        self.limit = limit;
        self.credit = self.credit.min(self.full());
        self.counted_at = now;
        true
    }

    /// What may go out at once, in octets.
    pub(crate) fn burst(&self) -> usize {
        (self.full() / OCTET) as usize
    }

    /// A full bucket.
    fn full(&self) -> i64 {
        self.limit.map_or(i64::MAX, |limit| {
            let octets = u64::from(limit) * BURST.as_millis() as u64 / 1000 / u64::from(BITS);
            octets.max(MIN_BURST) as i64 * OCTET
        })
    }

    /// What is worth a packet after a wait, in octets.
    pub(crate) fn chunk(&self) -> usize {
        (self.burst() / 2).min(MAX_CHUNK as usize)
    }

    /// Counts the time that went by.
    pub(crate) fn refill(&mut self, now: Time) {
        let Some(limit) = self.limit else {
            return;
        };
        let micros = now.as_micros().saturating_sub(self.counted_at.as_micros());
        let gained = u64::from(limit).saturating_mul(micros);
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_add(gained).min(self.full());
        self.counted_at = self.counted_at.max(now);
    }

    /// Octets that may go out at the time of the last [`refill`](Self::refill); `None` for any number.
    pub(crate) fn allowance(&self) -> Option<usize> {
        self.limit
            .map(|_| usize::try_from(self.credit / OCTET).unwrap_or(0))
    }

    pub(crate) fn spend(&mut self, octets: usize) {
        if self.limit.is_some() {
            let cost = i64::try_from(octets)
                .unwrap_or(i64::MAX)
                .saturating_mul(OCTET);
            self.credit = self.credit.saturating_sub(cost);
        }
    }

    /// When so many octets may have gone out; together if the bucket holds them.
    pub(crate) fn ready_at(&self, octets: usize) -> Time {
        let Some(limit) = self.limit else {
            return self.counted_at;
        };
        let wanted = i64::try_from(octets)
            .unwrap_or(i64::MAX)
            .saturating_mul(OCTET);
        let missing = wanted.saturating_sub(self.credit).max(0).cast_unsigned();
        self.counted_at + Duration::from_micros(missing.div_ceil(u64::from(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(bits: u32) -> Pacer {
        let mut pacer = Pacer::new(None);
        assert!(pacer.ask(Time::ZERO, bits));
        pacer
    }

    #[test]
    fn the_smaller_limit_counts_and_nothing_is_below_the_floor() {
        let din = Some(Pacing::DIN);
        for (asked, pacing, limit) in [
            (0, None, None),
            (31_250, None, Some(31_250)),
            (0, din, Some(31_250)),
            (20_000, din, Some(20_000)),
            (40_000, din, Some(31_250)),
            (1, din, Some(MIN_BITRATE)),
            (u32::MAX, None, Some(u32::MAX)),
        ] {
            let mut pacer = Pacer::new(pacing);
            pacer.ask(Time::ZERO, asked);
            assert_eq!(pacer.limit(), limit, "{asked} {pacing:?}");
        }
        let slow = Pacing {
            octets_per_second: 1,
            ..Pacing::DIN
        };
        assert_eq!(Pacer::new(Some(slow)).limit(), Some(MIN_BITRATE));
        let fast = Pacing {
            octets_per_second: u32::MAX,
            ..Pacing::DIN
        };
        assert_eq!(Pacer::new(Some(fast)).limit(), Some(u32::MAX));
    }

    #[test]
    fn the_bucket_holds_what_a_fiftieth_of_a_second_carries() {
        for (bits, burst, chunk) in [
            (31_250, 62, 31),
            (MIN_BITRATE, 32, 16),
            (1, 32, 16),
            (1_000_000, 2_000, 256),
        ] {
            let pacer = limited(bits);
            assert_eq!((pacer.burst(), pacer.chunk()), (burst, chunk), "{bits}");
            assert_eq!(pacer.allowance(), Some(burst), "full at first");
        }
    }

    #[test]
    fn it_is_ready_when_it_says_and_not_a_microsecond_before() {
        for bits in [MIN_BITRATE, 31_250, 38_401, 999_983, u32::MAX] {
            let mut pacer = limited(bits);
            for octets in [1, 3, pacer.chunk(), pacer.burst()] {
                pacer.spend(pacer.allowance().unwrap());
                let ready = pacer.ready_at(octets);
                if ready > pacer.counted_at {
                    pacer.refill(ready - Duration::from_micros(1));
                    assert!(pacer.allowance().unwrap() < octets, "{bits} {octets}");
                    assert_eq!(pacer.ready_at(octets), ready, "{bits} {octets}");
                }
                pacer.refill(ready);
                assert!(pacer.allowance().unwrap() >= octets, "{bits} {octets}");
            }
        }
    }

    #[test]
    fn a_new_limit_does_not_fill_the_bucket() {
        let mut pacer = limited(31_250);
        pacer.spend(62);
        for n in 0..100 {
            pacer.ask(Time::ZERO, 31_250 + n % 2);
        }
        assert_eq!(pacer.allowance(), Some(0));
        // Nor do more bits in a second than there were.
        pacer.ask(Time::ZERO, 10_000_000);
        assert_eq!(pacer.allowance(), Some(0));
    }

    #[test]
    fn debts_are_paid() {
        let mut pacer = limited(31_250);
        pacer.spend(62 + 3_125);
        assert_eq!(pacer.allowance(), Some(0));
        assert_eq!(pacer.ready_at(1), Time::from_micros(1_000_320));
    }

    #[test]
    fn ages_overflow_nothing() {
        let mut pacer = limited(u32::MAX);
        pacer.spend(usize::MAX);
        pacer.refill(Time::from_micros(u64::MAX));
        pacer.refill(Time::from_micros(u64::MAX));
        assert!(pacer.ready_at(usize::MAX) >= Time::from_micros(u64::MAX));
    }
}
