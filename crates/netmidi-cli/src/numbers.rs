//! What is counted of those who play: for the socket of `--socket` and for `monitor`.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use netmidi::{ClockEstimate, PeerStats};
use serde_json::{Value, json};

use crate::hub::Hub;
use crate::place::Place;

/// The counters of one peer since it connected.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    /// The `peer` of the other events.
    pub(crate) key: String,
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    /// Packets missing in the sequence, those that came late taken off again.
    pub(crate) lost: Option<u64>,
    /// Messages that put right what lost packets did.
    pub(crate) repaired: Option<u64>,
    pub(crate) jitter_us: Option<u64>,
    pub(crate) clock: Option<Clock>,
    /// Grows with each packet and each answer: as long as it does, the peer is there.
    pub(crate) signs: u64,
}

/// A peer's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) latency_us: u64,
    pub(crate) offset_us: i64,
    pub(crate) uncertainty_us: u64,
}

impl Numbers {
    fn of(stats: &PeerStats) -> Self {
        let counters = &stats.counters;
        Self {
            key: format!("{:#010x}", stats.ssrc.0),
            messages_received: counters.messages_received,
            messages_sent: counters.messages_sent,
            lost: Some(counters.lost),
            repaired: Some(counters.messages_repaired),
            jitter_us: Some(counters.jitter_micros),
            clock: stats.clock.as_ref().map(Clock::of),
            signs: counters
                .packets_received
                .saturating_add(counters.clock_exchanges)
                .saturating_add(counters.feedback_received),
        }
    }

    /// The event `stats`.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({
            "event": "stats",
            "peer": self.key,
            "messages_received": self.messages_received,
            "messages_sent": self.messages_sent,
            "signs": self.signs,
        });
        if let Some(fields) = value.as_object_mut() {
            let clock = self.clock;
            let more = [
                ("lost", self.lost.map(Value::from)),
                ("repaired", self.repaired.map(Value::from)),
                ("jitter_us", self.jitter_us.map(Value::from)),
                ("latency_us", clock.map(|clock| clock.latency_us.into())),
                ("offset_us", clock.map(|clock| clock.offset_us.into())),
                (
                    "uncertainty_us",
                    clock.map(|clock| clock.uncertainty_us.into()),
                ),
            ];
            for (name, value) in more {
                if let Some(value) = value {
                    fields.insert(name.to_owned(), value);
                }
            }
        }
        value
    }
}

impl Clock {
    fn of(clock: &ClockEstimate) -> Self {
        let micros = |it: std::time::Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        Self {
            latency_us: micros(clock.latency),
            offset_us: clock.offset,
            uncertainty_us: micros(clock.uncertainty),
        }
    }
}

/// Asks for the counters of all peers. What is asked of the hub is asked at once; the future does not
/// need it.
pub(crate) fn ask(hub: &Hub) -> BoxFuture<'static, Vec<Numbers>> {
    let mut handles = Vec::new();
    let mut known = Vec::new();
    for place in hub.places() {
        match place {
            Place::Rtp(place) => handles.push(place.handle().clone()),
            Place::TcpServer(place) => known.extend(place.counters().map(tcp)),
            Place::TcpClient(place) => known.extend(place.counters().map(tcp)),
            // Nothing is counted there.
            Place::Local(_) | Place::File(_) | Place::Stdio(_) => {}
        }
    }
    async move {
        let stats = handles.iter().map(netmidi::Handle::stats);
        // One that is closed has no peers.
        for stats in join_all(stats).await.into_iter().flatten() {
            known.extend(stats.peers.iter().map(Numbers::of));
        }
        known
    }
    .boxed()
}

fn tcp((member, stats): (Arc<crate::event::Member>, netmidi::tcp::PortStats)) -> Numbers {
    Numbers {
        key: member.key(),
        messages_received: stats.messages_received,
        messages_sent: stats.messages_sent,
        lost: None,
        repaired: None,
        jitter_us: None,
        clock: None,
        signs: stats.octets_received,
    }
}
