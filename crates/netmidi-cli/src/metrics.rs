//! Counters for Prometheus: [`Metrics`] is told the same events as the console, and answers on a port
//! of its own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use netmidi::{Handle, Origin, ParticipantId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::console::Console;
use crate::event::{Event, Kind, Member, Reason};
use crate::failure::Failure;
use crate::place::Place;

/// The most peers that have labels of their own; those beyond share the peer `others`.
const MAX_PEERS: usize = 256;
/// So long after it left a peer keeps its labels, so that its last counters are read.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Requests that are answered at the same time; more wait.
const MAX_CLIENTS: usize = 8;
/// How long a request may take, all of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request, in octets.
const MAX_HEAD: usize = 16 << 10;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters for Prometheus.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Serve counters for Prometheus at http://ADDR:PORT/metrics; a PORT alone is for this machine
    /// only, 0 finds a free one.
    #[arg(long = "metrics", value_name = "[ADDR:]PORT", value_parser = address)]
    address: Option<SocketAddr>,
}

/// A port alone is of this machine.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    if let Some(Ok(port)) = text.strip_prefix(':').map(str::parse::<u16>) {
        return Ok((Ipv6Addr::UNSPECIFIED, port).into());
    }
    text.parse().map_err(|_| {
        format!("`{text}` is no address; write a port or an address in numbers, such as 9469 or 192.168.1.7:9469")
    })
}

impl MetricsArgs {
    pub(crate) const fn is_asked_for(self) -> bool {
        self.address.is_some()
    }

    /// Listens, if that is asked for, and tells where.
    pub(crate) async fn open<'a>(
        self,
        console: &Console,
        places: impl Iterator<Item = &'a Place>,
    ) -> Result<Option<Metrics>, Failure> {
        let Some(address) = self.address else {
            return Ok(None);
        };
        let handles = places
            .enumerate()
            .filter_map(|(number, place)| match place {
                Place::Rtp(place) => Some((number, place.handle().clone())),
                _ => None,
            });
        let metrics = Metrics::open(address, handles.collect()).await?;
        let at = metrics.address;
        let object = serde_json::json!({ "address": at.to_string() });
        console.report(
            "metrics",
            &object,
            &format!("metrics at http://{at}/metrics"),
        )?;
        Ok(Some(metrics))
    }
}

/// Counters, and the listener that gives them away; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    state: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Metrics {
    /// Listens at `address`; the counters of endpoints are asked for at each request.
    async fn open(address: SocketAddr, handles: Vec<(usize, Handle)>) -> Result<Self, Failure> {
        let failed = |error| {
            Failure::failed(format!(
                "cannot serve metrics at {address}: {error}; choose another port with --metrics"
            ))
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(Shared(Mutex::new(State::default())));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&state)));
        let page = Arc::new(Page {
            registry,
            state: Arc::clone(&state),
            handles,
        });
        let task = tokio::spawn(listen(listener, page));
        Ok(Self {
            state,
            address,
            task,
        })
    }

    /// Something that was told.
    pub(crate) fn observe(&self, event: &Event) {
        self.state.lock().observe(event, Instant::now());
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is given away.
struct Page {
    registry: Registry,
    state: Arc<Shared>,
    handles: Vec<(usize, Handle)>,
}

async fn listen(listener: TcpListener, page: Arc<Page>) {
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        // Who comes when there are many waits in the listener's queue.
        let Ok(client) = Arc::clone(&clients).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no client for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let page = Arc::clone(&page);
        tokio::spawn(async move {
            let _client = client;
            let answer = hyper::service::service_fn(|request| {
                let page = Arc::clone(&page);
                async move { Ok::<_, Infallible>(page.answer(&request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(MAX_HEAD)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            let connection = pin!(connection);
            // One that takes longer is cut.
            match tokio::time::timeout(PATIENCE, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a client for metrics"),
                Err(_) => tracing::debug!("a client for metrics was too slow"),
            }
        });
    }
}

impl Page {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != "/metrics" {
            return told(StatusCode::NOT_FOUND, "the counters are at /metrics\n");
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        for (place, handle) in &self.handles {
            // One that is closed keeps what was counted.
            if let Ok(stats) = handle.stats().await {
                self.state.lock().sample(*place, &stats);
            }
        }
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            return told(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot write the counters\n",
            );
        }
        let accepts = request.headers().get_all(ACCEPT).iter();
        let open = accepts
            .filter_map(|it| it.to_str().ok())
            .any(|it| it.contains("application/openmetrics-text"));
        let kind = match open {
            true => OPEN_METRICS,
            false => {
                text = plain(&text);
                PLAIN
            }
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

fn told(status: StatusCode, sentence: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(sentence.as_bytes())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// OpenMetrics as the older text format: there counters are called in full where they are described,
/// and units and the end are not told.
fn plain(text: &str) -> String {
    let counter = |line: &str| {
        let name = line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?;
        Some(name.to_owned())
    };
    let counters: std::collections::BTreeSet<String> = text.lines().filter_map(counter).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name)) if counters.contains(name) => {
                out.push_str(&format!("# {kind} {name}_total "));
                out.push_str(words.next().unwrap_or_default());
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// The labels of a peer.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Label {
    peer: String,
    name: String,
    transport: &'static str,
}

impl Label {
    fn of(member: &Member) -> Self {
        Self {
            peer: member.key(),
            name: member.name(),
            transport: match member.kind {
                Kind::Rtp(_) => "rtp",
                Kind::Tcp { .. } => "tcp",
                Kind::Port { .. } => "port",
                Kind::File { .. } => "file",
                Kind::Stdio => "stdio",
            },
        }
    }

    fn others() -> Self {
        Self {
            peer: "others".to_owned(),
            name: String::new(),
            transport: "any",
        }
    }

    fn pairs(&self) -> [(&str, &str); 3] {
        [
            ("peer", &self.peer),
            ("name", &self.name),
            ("transport", self.transport),
        ]
    }
}

#[derive(Debug)]
struct Shared(Mutex<State>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters are whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that is counted.
#[derive(Debug, Default)]
struct State {
    peers: BTreeMap<Label, Counts>,
    /// The session of a place, and whose it is.
    sessions: BTreeMap<(usize, ParticipantId), (Label, Tally)>,
    /// Over all peers that there ever were.
    total: Counts,
    errors: u64,
}

/// What the endpoint counts of a session.
type Tally = [u64; ENDPOINT.len()];

/// What is counted of a peer.
#[derive(Debug)]
struct Counts {
    /// How often it is there.
    here: u64,
    gone: Option<Instant>,
    messages: [u64; ORIGINS.len()],
    sysex: u64,
    connected: u64,
    disconnected: [u64; REASONS.len()],
    losses: u64,
    lost: u64,
    loss_repaired: u64,
    syncs: u64,
    latency: f64,
    offset: f64,
    octets: Histogram,
    latencies: Histogram,
    jitters: Histogram,
    repairs: Histogram,
    endpoint: Tally,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            here: 0,
            gone: None,
            messages: [0; ORIGINS.len()],
            sysex: 0,
            connected: 0,
            disconnected: [0; REASONS.len()],
            losses: 0,
            lost: 0,
            loss_repaired: 0,
            syncs: 0,
            latency: 0.0,
            offset: 0.0,
            octets: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            latencies: Histogram::new(exponential_buckets(0.000_1, 2.0, 14)),
            jitters: Histogram::new(exponential_buckets(0.000_01, 2.0, 14)),
            repairs: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            endpoint: [0; ENDPOINT.len()],
        }
    }
}

const ORIGINS: [&str; 4] = ["live", "repaired", "silence", "restored"];
const REASONS: [Reason; 5] = [
    Reason::Bye,
    Reason::Timeout,
    Reason::Refused,
    Reason::Error,
    Reason::Local,
];

impl Counts {
    /// What an event adds.
    fn observe(&mut self, event: &Event) {
        match event {
            Event::Connected { .. } => {
                self.connected += 1;
                self.here += 1;
            }
            Event::Midi {
                message, origin, ..
            } => {
                let origin = match origin {
                    Origin::Live => 0,
                    Origin::Repaired => 1,
                    Origin::Silence => 2,
                    Origin::Restored => 3,
                };
                if let Some(count) = self.messages.get_mut(origin) {
                    *count += 1;
                }
                let message = message.as_message();
                self.sysex += u64::from(message.status() == 0xF0);
                #[allow(clippy::cast_precision_loss, reason = "a histogram")]
                self.octets.observe(message.encoded_len() as f64);
            }
            Event::Sync { clock, .. } => {
                self.syncs += 1;
                self.latency = clock.latency.as_secs_f64();
                #[allow(clippy::cast_precision_loss, reason = "a gauge")]
                let offset = clock.offset as f64 / 1e6;
                self.offset = offset;
                self.latencies.observe(self.latency);
            }
            Event::Loss { lost, repaired, .. } => {
                self.losses += 1;
                self.lost += u64::from(*lost);
                self.loss_repaired += u64::from(*repaired);
                self.repairs.observe(f64::from(*repaired));
            }
            Event::Disconnected { reason, .. } => {
                self.here = self.here.saturating_sub(1);
                self.left(*reason);
            }
            Event::NotConnected { reason, .. } => self.left(*reason),
            _ => {}
        }
    }

    fn left(&mut self, reason: Reason) {
        let place = REASONS.iter().position(|it| *it == reason);
        if let Some(count) = place.and_then(|place| self.disconnected.get_mut(place)) {
            *count += 1;
        }
    }

    /// What the endpoint has counted since the last time.
    fn add(&mut self, tally: &Tally, before: &Tally) {
        for ((sum, now), before) in self.endpoint.iter_mut().zip(tally).zip(before) {
            *sum += now.saturating_sub(*before);
        }
    }
}

impl State {
    fn observe(&mut self, event: &Event, now: Instant) {
        self.total.observe(event);
        let member = match event {
            Event::Connected { member }
            | Event::Midi { member, .. }
            | Event::Sync { member, .. }
            | Event::Loss { member, .. }
            | Event::Disconnected { member, .. } => member,
            Event::Error { .. } => {
                self.errors += 1;
                return;
            }
            _ => return,
        };
        let label = self.label(member, now);
        let counts = self.peers.entry(label.clone()).or_default();
        counts.observe(event);
        match event {
            Event::Connected { .. } => {
                counts.gone = None;
                if let Kind::Rtp(peer) = &member.kind {
                    let session = (member.place, peer.id);
                    self.sessions.insert(session, (label, [0; ENDPOINT.len()]));
                }
            }
            Event::Disconnected { .. } => {
                counts.gone = (counts.here == 0).then_some(now);
                if let Kind::Rtp(peer) = &member.kind {
                    self.sessions.remove(&(member.place, peer.id));
                }
            }
            _ => {}
        }
    }

    /// Its own label, if there is room.
    fn label(&mut self, member: &Member, now: Instant) -> Label {
        let label = Label::of(member);
        if self.peers.contains_key(&label) {
            return label;
        }
        let is_kept = |it: &Counts| it.gone.is_none_or(|gone| now - gone < KEPT);
        self.peers.retain(|_, counts| is_kept(counts));
        if self.peers.len() >= MAX_PEERS {
            let gone = self
                .peers
                .iter()
                .filter_map(|(label, it)| Some((it.gone?, label)));
            match gone.min().map(|it| it.1.clone()) {
                Some(oldest) => _ = self.peers.remove(&oldest),
                None => return Label::others(),
            }
        }
        label
    }

    /// What an endpoint has counted of its peers.
    fn sample(&mut self, place: usize, stats: &netmidi::Stats) {
        for peer in &stats.peers {
            let Some((label, before)) = self.sessions.get_mut(&(place, peer.id)) else {
                continue;
            };
            let tally = ENDPOINT.map(|it| (it.2)(&peer.counters));
            self.total.add(&tally, before);
            if let Some(counts) = self.peers.get_mut(label) {
                counts.add(&tally, before);
                #[allow(clippy::cast_precision_loss, reason = "a histogram")]
                counts
                    .jitters
                    .observe(peer.counters.jitter_micros as f64 / 1e6);
            }
            *before = tally;
        }
    }
}

/// What endpoints count: name, meaning and where it is.
type Counter = (
    &'static str,
    &'static str,
    fn(&netmidi::ParticipantStats) -> u64,
);

const ENDPOINT: [Counter; 18] = [
    ("packets_received", "RTP packets that were taken", |it| {
        it.packets_received
    }),
    ("packets_sent", "RTP packets sent", |it| it.packets_sent),
    ("messages_sent", "MIDI messages sent whole", |it| {
        it.messages_sent
    }),
    (
        "packets_reordered",
        "Packets that came after a later one",
        |it| it.reordered,
    ),
    ("packets_duplicated", "Packets that came twice", |it| {
        it.duplicates
    }),
    (
        "packets_malformed",
        "Packets whose commands could not be read",
        |it| it.malformed_commands,
    ),
    (
        "journals_received",
        "Packets with a recovery journal",
        |it| it.journals_received,
    ),
    (
        "journals_damaged",
        "Recovery journals that could not be read when they were needed",
        |it| it.journals_damaged,
    ),
    (
        "journals_sent",
        "Packets sent with a recovery journal",
        |it| it.journals_sent,
    ),
    (
        "journal_sent_octets",
        "Octets of recovery journals sent",
        |it| it.journal_octets_sent,
    ),
    ("losses_uncovered", "Losses that no journal covered", |it| {
        it.uncovered_losses
    }),
    (
        "sysex_abandoned",
        "System exclusive messages given up: cut, cancelled, or with a part lost",
        |it| it.sysex_abandoned,
    ),
    (
        "sysex_lost",
        "System exclusive messages lost for good",
        |it| it.sysex_lost,
    ),
    (
        "resynchronisations",
        "Times that the sequence of packets was taken up anew",
        |it| it.resynchronised,
    ),
    (
        "clock_exchanges",
        "Clock exchanges that were completed",
        |it| it.clock_exchanges,
    ),
    ("feedback_received", "Receiver feedback packets", |it| {
        it.feedback_received
    }),
    (
        "guards_sent",
        "Packets sent for the sake of their journal",
        |it| it.guards_sent,
    ),
    (
        "midi_sent_octets",
        "Octets of MIDI sent, journals not counted",
        |it| it.midi_octets_sent,
    ),
];

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.lock();
        let all = &state.peers;
        let mut family = |name: &str, help: &str, kind, write: &Write<'_>| {
            let name = format!("netmidi_{name}");
            let mut metric = encoder.encode_descriptor(&name, help, None, kind)?;
            for (label, counts) in all {
                write(&mut metric, label, counts)?;
            }
            Ok::<_, fmt::Error>(())
        };
        family(
            "messages_received",
            "MIDI messages handed out, by where they come from",
            MetricType::Counter,
            &|metric, label, counts| {
                for (origin, count) in ORIGINS.iter().zip(counts.messages) {
                    let [peer, name, transport] = label.pairs();
                    let labels = [peer, name, transport, ("origin", *origin)];
                    ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
                }
                Ok(())
            },
        )?;
        family(
            "disconnections",
            "Sessions and connections that ended, by the reason",
            MetricType::Counter,
            &|metric, label, counts| {
                for (reason, count) in REASONS.iter().zip(counts.disconnected) {
                    let [peer, name, transport] = label.pairs();
                    let labels = [peer, name, transport, ("reason", reason.word())];
                    ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
                }
                Ok(())
            },
        )?;
        for (name, help, value) in COUNTERS {
            family(name, help, MetricType::Counter, &|metric, label, counts| {
                let labels = label.pairs();
                ConstCounter::new(value(counts)).encode(metric.encode_family(&labels)?)
            })?;
        }
        for (place, (name, help, _)) in ENDPOINT.iter().enumerate() {
            family(name, help, MetricType::Counter, &|metric, label, counts| {
                let value = counts.endpoint.get(place).copied().unwrap_or(0);
                ConstCounter::new(value).encode(metric.encode_family(&label.pairs())?)
            })?;
        }
        for (name, help, value) in GAUGES {
            family(name, help, MetricType::Gauge, &|metric, label, counts| {
                let labels = label.pairs();
                ConstGauge::new(value(counts)).encode(metric.encode_family(&labels)?)
            })?;
        }
        for (name, help, histogram) in HISTOGRAMS {
            family(
                name,
                help,
                MetricType::Histogram,
                &|metric, label, counts| {
                    histogram(counts).encode(metric.encode_family(&label.pairs())?)
                },
            )?;
        }
        let total = &state.total;
        let here = total.here;
        for (name, help, value) in [
            (
                "all_messages_received",
                "MIDI messages of all peers that there ever were",
                total.messages.iter().sum(),
            ),
            (
                "all_connections",
                "Sessions and connections that there ever were",
                total.connected,
            ),
            (
                "all_disconnections",
                "Those of them that ended, and refusals",
                total.disconnected.iter().sum(),
            ),
            (
                "all_packets_lost",
                "Lost packets of all peers that there ever were",
                total.lost,
            ),
            ("errors", "Errors that were told", state.errors),
        ] {
            let name = format!("netmidi_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let help = "Those who are connected now";
        let metric = encoder.encode_descriptor("netmidi_peers", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(here).unwrap_or(i64::MAX)).encode(metric)
    }
}

/// Writes what is known of a peer.
type Write<'a> = dyn Fn(&mut MetricEncoder<'_>, &Label, &Counts) -> fmt::Result + 'a;

/// Where a histogram is.
type Found = fn(&Counts) -> &Histogram;
/// A metric: its name, what it means, and where it is.
type Metric<T> = (&'static str, &'static str, fn(&Counts) -> T);

const COUNTERS: [Metric<u64>; 6] = [
    (
        "connections",
        "Sessions and connections that came up",
        |it| it.connected,
    ),
    (
        "sysex_received",
        "System exclusive messages handed out",
        |it| it.sysex,
    ),
    ("losses", "Gaps in the sequence of packets", |it| it.losses),
    ("packets_lost", "Packets missing in those gaps", |it| {
        it.lost
    }),
    (
        "loss_repairs",
        "Messages that put right what those packets did",
        |it| it.loss_repaired,
    ),
    ("clock_syncs", "Clock comparisons that were told", |it| {
        it.syncs
    }),
];

const GAUGES: [Metric<f64>; 3] = [
    ("up", "Sessions or connections that it has now", |it| {
        #[allow(clippy::cast_precision_loss, reason = "it is small")]
        let here = it.here as f64;
        here
    }),
    (
        "latency_seconds",
        "Half the smallest round trip of the last clock comparisons",
        |it| it.latency,
    ),
    (
        "clock_offset_seconds",
        "The peer's clock minus ours",
        |it| it.offset,
    ),
];

const HISTOGRAMS: [(&str, &str, Found); 4] = [
    ("message_octets", "How long messages are", |it| &it.octets),
    (
        "sync_latency_seconds",
        "Half the smallest round trip, at each clock comparison",
        |it| &it.latencies,
    ),
    (
        "jitter_seconds",
        "Interarrival jitter (RFC 3550), looked at whenever the counters are asked for",
        |it| &it.jitters,
    ),
    (
        "loss_repair_messages",
        "Messages that put a gap right",
        |it| &it.repairs,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_for_this_machine() {
        assert_eq!(
            address("9469"),
            Ok("127.0.0.1:9469".parse().expect("an address"))
        );
        assert_eq!(address(":0"), Ok("[::]:0".parse().expect("an address")));
        assert!(address("localhost:1").is_err_and(|it| it.contains("write a port")));
    }

    #[test]
    fn the_older_format_names_counters_in_full() {
        let open = "# HELP a_b Some words.\n# TYPE a_b counter\na_b_total{x=\"# TYPE\"} 1\n\
            # HELP c d\n# TYPE c gauge\n# UNIT c s\nc 2\n# EOF\n";
        let expected = "# HELP a_b_total Some words.\n# TYPE a_b_total counter\n\
            a_b_total{x=\"# TYPE\"} 1\n# HELP c d\n# TYPE c gauge\nc 2\n";
        assert_eq!(plain(open), expected);
    }
}
