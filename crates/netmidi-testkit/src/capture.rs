//! Captures: what dumpcap and tcpdump would have written of a session that never went over a network.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use netmidi_session::{Config, Port, UndefinedCommands};
use netmidi_wire::{Control, Exchange, ExchangeKind, SessionName, Ssrc, Token};

use crate::link::LinkQuality;
use crate::pair::{Pair, Side};
use crate::rng::Rng;
use crate::script::{Script, ScriptMix};

/// A UDP datagram that somebody sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// When, since 1970.
    pub at: Duration,
    /// From whom.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub payload: Vec<u8>,
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// Ethernet II.
    Ethernet,
    /// Ethernet with one tag (IEEE 802.1Q).
    Vlan,
    /// Ethernet with two tags (IEEE 802.1ad).
    QinQ,
    /// LINKTYPE_LINUX_SLL.
    Cooked,
    /// LINKTYPE_LINUX_SLL2.
    Cooked2,
    /// LINKTYPE_NULL, the family in the byte order of the file.
    Null,
    /// LINKTYPE_LOOP, the family in network byte order.
    Loop,
    /// LINKTYPE_RAW.
    Raw,
}

impl Framing {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ethernet,
        Self::Vlan,
        Self::QinQ,
        Self::Cooked,
        Self::Cooked2,
        Self::Null,
        Self::Loop,
        Self::Raw,
    ];

    const fn link_type(self) -> u16 {
        match self {
            Self::Ethernet | Self::Vlan | Self::QinQ => 1,
            Self::Cooked => 113,
            Self::Cooked2 => 276,
            Self::Null => 0,
            Self::Loop => 108,
            Self::Raw => 101,
        }
    }
}

/// The kind of file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Container {
    /// pcap.
    Pcap {
        /// Most significant octet first.
        big_endian: bool,
        /// Times in nanoseconds, not microseconds.
        nanos: bool,
    },
    /// pcapng with enhanced packets.
    PcapNg {
        /// Most significant octet first.
        big_endian: bool,
        /// Times in nanoseconds, not microseconds.
        nanos: bool,
    },
}

impl Container {
    /// All of them.
    pub const ALL: [Self; 8] = {
        let mut all = [Self::Pcap {
            big_endian: false,
            nanos: false,
        }; 8];
        let mut index = 0;
        while index < 8 {
            let (big_endian, nanos) = (index & 1 != 0, index & 2 != 0);
            all[index] = if index < 4 {
                Self::Pcap { big_endian, nanos }
            } else {
                Self::PcapNg { big_endian, nanos }
            };
            index += 1;
        }
        all
    };

    const fn is_big_endian(self) -> bool {
        match self {
            Self::Pcap { big_endian, .. } | Self::PcapNg { big_endian, .. } => big_endian,
        }
    }

    const fn has_nanos(self) -> bool {
        match self {
            Self::Pcap { nanos, .. } | Self::PcapNg { nanos, .. } => nanos,
        }
    }
}

/// A capture file while it is written.
#[derive(Clone, Debug)]
pub struct CaptureFile {
    container: Container,
    framing: Framing,
    octets: Vec<u8>,
    /// Where each frame begins, its header in the file included.
    starts: Vec<usize>,
    ip_id: u16,
}

impl CaptureFile {
    /// A file without packets.
    #[must_use]
    pub fn new(container: Container, framing: Framing) -> Self {
        let mut file = Self {
            container,
            framing,
            octets: Vec::new(),
            starts: Vec::new(),
            ip_id: 0,
        };
        match container {
            Container::Pcap { nanos, .. } => {
                file.word(if nanos { 0xA1B2_3C4D } else { 0xA1B2_C3D4 });
                file.half(2);
                file.half(4);
                file.word(0);
                file.word(0);
                file.word(262_144);
                file.word(framing.link_type().into());
            }
            Container::PcapNg { .. } => {
                file.section();
                file.interface(framing);
            }
        }
        file
    }

    /// A new section of a pcapng file; interfaces are counted anew.
    pub fn section(&mut self) {
        let mut body = Vec::new();
        self.put_word(&mut body, 0x1A2B_3C4D);
        self.put_half(&mut body, 1);
        self.put_half(&mut body, 0);
        body.extend([0xFF; 8]);
        self.block(0x0A0D_0D0A, &body);
    }

    /// Another interface of a pcapng file; packets that follow are framed as it does, but belong to
    /// the interface that they are given.
    pub fn interface(&mut self, framing: Framing) {
        let mut body = Vec::new();
        self.put_half(&mut body, framing.link_type());
        self.put_half(&mut body, 0);
        self.put_word(&mut body, 262_144);
        if self.container.has_nanos() {
            self.put_half(&mut body, 9);
            self.put_half(&mut body, 1);
            body.extend([9, 0, 0, 0]);
            body.extend([0; 4]);
        }
        self.block(1, &body);
        self.framing = framing;
    }

    /// A block of a pcapng file.
    pub fn block(&mut self, kind: u32, body: &[u8]) {
        let padding = body.len().next_multiple_of(4) - body.len();
        let len = (12 + body.len() + padding) as u32;
        self.word(kind);
        self.word(len);
        self.octets.extend(body);
        self.octets.extend(&[0; 4][..padding]);
        self.word(len);
    }

    /// A datagram in a frame of its own, on the first interface.
    pub fn datagram(&mut self, datagram: &Datagram) {
        self.datagram_on(0, datagram);
    }

    /// A datagram in a frame of its own.
    pub fn datagram_on(&mut self, interface: u32, datagram: &Datagram) {
        let udp = udp(datagram);
        let ip = self.ip(datagram, &udp, 0, false);
        let frame = self.framed(datagram, ip);
        self.frame(interface, datagram.at, &frame, frame.len());
    }

    /// A datagram of which the capture has only the first octets of its frame.
    pub fn cut_datagram(&mut self, datagram: &Datagram, snaplen: usize) {
        let udp = udp(datagram);
        let ip = self.ip(datagram, &udp, 0, false);
        let frame = self.framed(datagram, ip);
        let cut = &frame[..snaplen.min(frame.len())];
        self.frame(0, datagram.at, cut, frame.len());
    }

    /// A datagram in several pieces of up to `size` octets, a multiple of eight, in this order.
    pub fn fragments(&mut self, datagram: &Datagram, size: usize, order: &[usize]) {
        let udp = udp(datagram);
        let pieces: Vec<_> = udp.chunks(size).collect();
        for &index in order {
            let more = index + 1 < pieces.len();
            self.ip_id = self.ip_id.wrapping_sub(u16::from(index != order[0]));
            let ip = self.ip(datagram, pieces[index], index * size, more);
            let frame = self.framed(datagram, ip);
            self.frame(0, datagram.at, &frame, frame.len());
        }
    }

    /// Any octets as a frame that was `original` octets long.
    pub fn frame(&mut self, interface: u32, at: Duration, frame: &[u8], original: usize) {
        self.starts.push(self.octets.len());
        let (len, original) = (frame.len() as u32, original as u32);
        match self.container {
            Container::Pcap { nanos, .. } => {
                self.word(at.as_secs() as u32);
                let fraction = match nanos {
                    true => at.subsec_nanos(),
                    false => at.subsec_micros(),
                };
                self.word(fraction);
                self.word(len);
                self.word(original);
                self.octets.extend(frame);
            }
            Container::PcapNg { nanos, .. } => {
                let ticks = match nanos {
                    true => at.as_nanos() as u64,
                    false => at.as_micros() as u64,
                };
                let mut body = Vec::new();
                for word in [interface, (ticks >> 32) as u32, ticks as u32, len, original] {
                    self.put_word(&mut body, word);
                }
                body.extend(frame);
                self.block(6, &body);
            }
        }
    }

    /// Where each frame begins, its header in the file included.
    #[must_use]
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The file.
    #[must_use]
    pub fn into_octets(self) -> Vec<u8> {
        self.octets
    }

    fn word(&mut self, word: u32) {
        let mut octets = Vec::new();
        self.put_word(&mut octets, word);
        self.octets.extend(octets);
    }

    fn half(&mut self, half: u16) {
        let mut octets = Vec::new();
        self.put_half(&mut octets, half);
        self.octets.extend(octets);
    }

    fn put_word(&self, out: &mut Vec<u8>, word: u32) {
        out.extend(match self.container.is_big_endian() {
            true => word.to_be_bytes(),
            false => word.to_le_bytes(),
        });
    }

    fn put_half(&self, out: &mut Vec<u8>, half: u16) {
        out.extend(match self.container.is_big_endian() {
            true => half.to_be_bytes(),
            false => half.to_le_bytes(),
        });
    }

    fn ip(&mut self, datagram: &Datagram, payload: &[u8], offset: usize, more: bool) -> Vec<u8> {
        const UDP: u8 = 17;
        self.ip_id = self.ip_id.wrapping_add(1);
        let fragment = (offset as u16) | u16::from(more);
        let mut ip = Vec::new();
        match (datagram.from.ip(), datagram.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                ip.extend([0x45, 0]);
                ip.extend(((20 + payload.len()) as u16).to_be_bytes());
                ip.extend(self.ip_id.to_be_bytes());
                // Here the offset is counted in eights and "more" is a bit in front of it.
                ip.extend(((offset / 8) as u16 | u16::from(more) << 13).to_be_bytes());
                ip.extend([64, UDP, 0, 0]);
                ip.extend(from.octets());
                ip.extend(to.octets());
                let words = ip
                    .chunks(2)
                    .map(|it| u32::from(it[0]) << 8 | u32::from(it[1]));
                let sum: u32 = words.sum();
                let sum = !((sum & 0xFFFF) + (sum >> 16)) as u16;
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let in_pieces = offset > 0 || more;
                // Options for the destination, which say nothing, and in pieces a fragment header.
                let extensions = if in_pieces { 16 } else { 8 };
                ip.extend([0x60, 0, 0, 0]);
                ip.extend(((extensions + payload.len()) as u16).to_be_bytes());
                ip.extend([if in_pieces { 44 } else { 60 }, 64]);
                ip.extend(from.octets());
                ip.extend(to.octets());
                if in_pieces {
                    // The destination options count as part of what is in pieces: none here.
                    ip[4..6].copy_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
                    ip.extend([UDP, 0]);
                    ip.extend(fragment.to_be_bytes());
                    ip.extend(u32::from(self.ip_id).to_be_bytes());
                } else {
                    ip.extend([UDP, 0, 1, 4, 0, 0, 0, 0]);
                }
            }
            _ => panic!("addresses of two kinds"),
        }
        ip.extend(payload);
        ip
    }

    fn framed(&self, datagram: &Datagram, ip: Vec<u8>) -> Vec<u8> {
        const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let is_v4 = datagram.from.is_ipv4();
        let ether_type: [u8; 2] = if is_v4 { [0x08, 0x00] } else { [0x86, 0xDD] };
        // AF_INET everywhere, AF_INET6 of macOS.
        let family: u32 = if is_v4 { 2 } else { 30 };
        let mut frame = Vec::new();
        match self.framing {
            Framing::Ethernet => frame.extend(MACS),
            Framing::Vlan => {
                frame.extend(MACS);
                frame.extend([0x81, 0x00, 0, 5]);
            }
            Framing::QinQ => {
                frame.extend(MACS);
                frame.extend([0x88, 0xA8, 0, 5, 0x81, 0x00, 0, 6]);
            }
            Framing::Cooked => frame.extend([0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]),
            Framing::Cooked2 => {}
            Framing::Null => self.put_word(&mut frame, family),
            Framing::Loop => frame.extend(family.to_be_bytes()),
            Framing::Raw => {}
        }
        match self.framing {
            Framing::Null | Framing::Loop | Framing::Raw => {}
            _ => frame.extend(ether_type),
        }
        if self.framing == Framing::Cooked2 {
            frame.extend([0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
        }
        frame.extend(ip);
        // Short frames are filled up on Ethernet.
        if self.framing == Framing::Ethernet {
            frame.resize(frame.len().max(60), 0);
        }
        frame
    }
}

fn udp(datagram: &Datagram) -> Vec<u8> {
    let mut udp = Vec::new();
    udp.extend(datagram.from.port().to_be_bytes());
    udp.extend(datagram.to.port().to_be_bytes());
    udp.extend(((8 + datagram.payload.len()) as u16).to_be_bytes());
    // No check sum.
    udp.extend([0, 0]);
    udp.extend(&datagram.payload);
    udp
}

/// About so many datagrams of random sessions, each from the first invitation on, one session after
/// the other and each between two ports of its own; `seed` decides everything.
///
/// Most are RTP packets with a journal; some are lost on their way, behind whoever captured.
///
/// # Panics
/// When a session refuses a message.
#[must_use]
pub fn sessions(seed: u64, count: usize) -> Vec<Datagram> {
    let mut rng = Rng::new(seed);
    let mut datagrams = Vec::new();
    let mut begin = Duration::from_secs(1_700_000_000);
    let mut port = FIRST_PORT;
    while datagrams.len() < count {
        let session = session(&mut rng, begin, port);
        begin = session.last().map_or(begin, |it| it.at) + Duration::from_secs(1);
        port = if port > 27_000 { FIRST_PORT } else { port + 2 };
        datagrams.extend(session);
    }
    datagrams.truncate(count);
    datagrams
}

/// Up from here no port means anything else to Wireshark.
const FIRST_PORT: u16 = 20_004;

/// A session of some two thousand datagrams.
fn session(rng: &mut Rng, begin: Duration, port: u16) -> Vec<Datagram> {
    let loss = LinkQuality {
        latency: Duration::from_millis(3),
        jitter: Duration::from_millis(1),
        loss: 20_000,
        ..LinkQuality::default()
    };
    let [a, b] = ["Stage", "Piano"].map(|name| {
        let mut config = Config::new(name);
        config.undefined = UndefinedCommands::Carry;
        config
    });
    let mut pair = Pair::joined(loss, loss, rng.bits(), a, b);
    let [host_a, host_b] = [7, 9].map(|host| IpAddr::from(Ipv4Addr::new(192, 0, 2, host)));
    let start = pair.now();
    let address = |host, on: Port| match on {
        Port::Control => SocketAddr::new(host, port),
        Port::Data => SocketAddr::new(host, port + 1),
    };

    let mut datagrams = Vec::new();
    let token = Token(rng.bits() as u32);
    let [ssrc_a, ssrc_b] = Side::BOTH.map(|side| pair.session(side).ssrc());
    for (index, on) in [Port::Control, Port::Data].into_iter().enumerate() {
        let mut say = |from, to, kind, ssrc: Ssrc, name, millis| {
            let name = Some(SessionName::new(name));
            let exchange = Exchange {
                kind,
                token,
                ssrc,
                name,
            };
            datagrams.push(Datagram {
                at: begin + Duration::from_millis(10 * index as u64 + millis),
                from: address(from, on),
                to: address(to, on),
                payload: Control::Exchange(exchange).to_vec(),
            });
        };
        say(host_a, host_b, ExchangeKind::Invitation, ssrc_a, "Stage", 0);
        say(host_b, host_a, ExchangeKind::Accepted, ssrc_b, "Piano", 4);
    }

    let mix = ScriptMix::everything();
    for step in Script::new(&mix, rng.bits()).steps {
        pair.run_for(step.wait, &mut |_, _| {});
        for message in &step.messages {
            pair.send(Side::A, message.as_message()).expect("room");
        }
    }
    pair.run_for(Duration::from_secs(1), &mut |_, _| {});
    let first = datagrams.last().map_or(begin, |it| it.at);
    let mut sent: Vec<_> = Side::BOTH
        .into_iter()
        .flat_map(|side| pair.take_log(side).into_iter().map(move |it| (side, it)))
        .collect();
    sent.sort_by_key(|(_, packet)| packet.at);
    datagrams.extend(sent.into_iter().map(|(side, packet)| {
        let (from, to) = match side {
            Side::A => (host_a, host_b),
            Side::B => (host_b, host_a),
        };
        let since = packet.at.as_micros().saturating_sub(start.as_micros());
        Datagram {
            at: first + Duration::from_micros(since),
            from: address(from, packet.port),
            to: address(to, packet.port),
            payload: packet.octets,
        }
    }));
    datagrams
}
