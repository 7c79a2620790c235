//! A file with a set of bridges: `netmidi bridge --config FILE`. What can stand in it is in
//! docs/bridge.md.
//!
//! All errors of a file are found at once, each with its place in it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use netmidi::{IpNet, JournalPolicy};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::filter;
use crate::place::{Options, Spec};
use crate::plan::{Direction, Plan};

/// So many milliseconds at most for `break-circles`.
pub(crate) const MOST_MILLISECONDS: u64 = 10_000;

/// The bridges of a file by their names.
pub(crate) type Bridges = BTreeMap<String, Plan>;

/// Something wrong in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    /// Which octet of the file.
    offset: usize,
    line: usize,
    column: usize,
    sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.sentence)
    }
}

/// Reads a file's text.
pub(crate) fn read(text: &str) -> Result<Bridges, Vec<Problem>> {
    let mut reader = Reader {
        text,
        problems: Vec::new(),
        ports: Vec::new(),
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let sentence = format!("this is no TOML: {}", error.message().replace('\n', " "));
        reader.problem(error.span().unwrap_or_default(), sentence);
    }
    let mut bridges = Bridges::new();
    // What follows a wrong line may be misunderstood.
    if errors.is_empty() {
        reader.document(document.get_ref(), &mut bridges);
    }
    match reader.problems.is_empty() {
        true => Ok(bridges),
        false => {
            reader.problems.sort_by_key(|it| it.offset);
            Err(reader.problems)
        }
    }
}

const KEYS: [&str; 16] = [
    "between",
    "from",
    "to",
    "together",
    "channels",
    "types",
    "notes",
    "transpose",
    "no-clock",
    "no-sysex",
    "break-circles",
    "name",
    "allow",
    "journal",
    "max-peers",
    "no-announce",
];

/// A port that a bridge listens on.
struct Port {
    tcp: bool,
    host: Host,
    /// And with RTP-MIDI the one above it.
    number: u16,
    bridge: String,
    text: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Host {
    Number(IpAddr),
    Everywhere,
    Loopback,
    Name(String),
}

impl Host {
    /// Whether two cannot have the same port.
    fn meets(&self, other: &Self) -> bool {
        let is_everywhere = |it: &Self| match it {
            Self::Everywhere => true,
            Self::Number(number) => number.is_unspecified(),
            _ => false,
        };
        let is_v4_everywhere = |it: &Self| *it == Self::Number(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let is_loopback = |it: &Self| match it {
            Self::Number(IpAddr::V4(number)) => *number == Ipv4Addr::LOCALHOST,
            Self::Number(IpAddr::V6(number)) => number.is_loopback(),
            Self::Loopback => true,
            _ => false,
        };
        let is_v6 = |it: &Self| matches!(it, Self::Number(IpAddr::V6(it)) if !it.is_unspecified());
        if self == other {
            return true;
        }
        if (is_v4_everywhere(self) && is_v6(other)) || (is_v6(self) && is_v4_everywhere(other)) {
            return false;
        }
        is_everywhere(self)
            || is_everywhere(other)
            || ((*self == Self::Loopback || *other == Self::Loopback)
                && is_loopback(self)
                && is_loopback(other))
    }
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    ports: Vec<Port>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, sentence: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        self.problems.push(Problem {
            offset: span.start,
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            sentence,
        });
    }

    fn document(&mut self, document: &DeTable<'_>, bridges: &mut Bridges) {
        for (key, value) in document {
            if key.get_ref() != "bridge" {
                let sentence = format!(
                    "`{}` is no key; write [bridge.NAME] above what belongs to a bridge",
                    key.get_ref()
                );
                self.problem(key.span(), sentence);
                continue;
            }
            let Some(table) = value.get_ref().as_table() else {
                let sentence = "every bridge has a name; write [bridge.NAME]".to_owned();
                self.problem(value.span(), sentence);
                continue;
            };
            for (name, value) in table {
                let Some(table) = value.get_ref().as_table() else {
                    let sentence = format!(
                        "`{}` stands outside of a bridge; write [bridge.NAME] above it",
                        name.get_ref()
                    );
                    self.problem(name.span(), sentence);
                    continue;
                };
                if let Some(plan) = self.bridge(name, table) {
                    bridges.insert(name.get_ref().to_string(), plan);
                }
            }
        }
        if document.is_empty() {
            let sentence = "there is no bridge; write [bridge.NAME], and between = \
                [\"PLACE\", \"PLACE\"] below it";
            self.problem(0..0, sentence.to_owned());
        }
    }

    /// None when something is wrong, which is told then.
    fn bridge(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        table: &DeTable<'_>,
    ) -> Option<Plan> {
        let problems = self.problems.len();
        let bridge = name.get_ref().as_ref();
        let mut plan = Plan {
            options: Options {
                name: bridge.to_owned(),
                ..Options::default()
            },
            ..Plan::default()
        };
        let (mut between, mut from, mut to) = (None, None, None);
        let (mut no_clock, mut no_sysex) = (false, false);
        for (key, value) in table {
            let here = Here {
                bridge,
                key: key.get_ref(),
            };
            match key.get_ref().as_ref() {
                "between" => between = Some((key.span(), self.places(&here, value, false))),
                "from" => from = Some((key.span(), self.places(&here, value, true))),
                "to" => to = Some((key.span(), self.places(&here, value, true))),
                "together" => plan.together = self.truth(&here, value),
                "channels" => self.parsed(&here, value, filter::channels, |it| {
                    plan.filter.channels = it;
                }),
                "types" => self.parsed(&here, value, filter::types, |it| plan.filter.types = it),
                "notes" => self.parsed(&here, value, filter::keys, |it| plan.filter.keys = it),
                "transpose" => self.parsed(&here, value, filter::transpose, |it| {
                    plan.filter.transpose = it;
                }),
                "no-clock" => no_clock = self.truth(&here, value),
                "no-sysex" => no_sysex = self.truth(&here, value),
                "break-circles" => {
                    let most = MOST_MILLISECONDS;
                    if let Some(it) = self.number(&here, value, 1..=most, "milliseconds") {
                        plan.break_circles = Some(Duration::from_millis(it));
                    }
                }
                "name" => {
                    if let Some(it) = self.string(&here, value, "\"Stage Left\"") {
                        match crate::run::name(it) {
                            Ok(name) => plan.options.name = name,
                            Err(why) => {
                                let sentence = format!("bridge.{bridge}.name: {why}");
                                self.problem(value.span(), sentence);
                            }
                        }
                    }
                }
                "allow" => plan.options.allow = self.networks(&here, value),
                "journal" => {
                    let journal = |it: &str| match it {
                        "auto" => Ok(JournalPolicy::Auto),
                        "full" => Ok(JournalPolicy::Full),
                        "off" => Ok(JournalPolicy::Off),
                        _ => Err(format!(
                            "`{it}` is no policy; write \"auto\", \"full\" or \"off\""
                        )),
                    };
                    self.parsed(&here, value, journal, |it| plan.options.journal = it);
                }
                "max-peers" => {
                    if let Some(it) = self.number(&here, value, 1..=65_535, "peers") {
                        plan.options.max_peers = usize::try_from(it).ok();
                    }
                }
                "no-announce" => plan.options.announce = !self.truth(&here, value),
                unknown => {
                    let sentence = format!(
                        "bridge.{bridge}: `{unknown}` is no key; write one of {}",
                        KEYS.join(", ")
                    );
                    self.problem(key.span(), sentence);
                }
            }
        }
        if let (Err(why), None) = (crate::run::name(bridge), table.get("name")) {
            let sentence = format!(
                "bridge.{bridge}: others see this name, and {why}; write a shorter one, or name = \
                 \"NAME\" below it"
            );
            self.problem(name.span(), sentence);
        }
        if no_clock {
            plan.filter = plan.filter.without_clock();
        }
        if no_sysex {
            plan.filter = plan.filter.without_sysex();
            plan.options.sysex = false;
        }
        match (between, from, to) {
            (Some((span, places)), None, None) => {
                if places.as_ref().is_some_and(|it| it.len() < 2) {
                    let sentence = format!(
                        "bridge.{bridge}: one place alone has nothing to be joined with; write \
                         two or more, such as between = [\"rtp-listen:5004\", \"tcp-listen:8080\"]"
                    );
                    self.problem(span, sentence);
                }
                plan.places = places.unwrap_or_default();
            }
            (None, Some((_, from)), Some((_, to))) => {
                let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
                plan.direction = Direction::OneWay {
                    players: from.len(),
                };
                plan.places = from;
                plan.places.extend(to);
                if plan.together {
                    let sentence = format!(
                        "bridge.{bridge}: `together` is for bridges with `between`; leave it out, \
                         because with `from` and `to` nobody hears those at the same place"
                    );
                    let span = table.keys().find(|it| it.get_ref() == "together");
                    self.problem(span.map_or(name.span(), Spanned::span), sentence);
                }
            }
            (None, Some((span, _)), None) | (None, None, Some((span, _))) => {
                let sentence = format!(
                    "bridge.{bridge}: `from` and `to` belong together; write both, or between = \
                     [\"PLACE\", \"PLACE\"]"
                );
                self.problem(span, sentence);
            }
            (None, None, None) => {
                let sentence = format!(
                    "bridge.{bridge} joins nothing; write between = [\"PLACE\", \"PLACE\"], or \
                     from = \"PLACE\" and to = \"PLACE\""
                );
                self.problem(name.span(), sentence);
            }
            (Some((span, _)), ..) => {
                let sentence = format!(
                    "bridge.{bridge}: `between` is both ways; write it without `from` and `to`, or \
                     those without it"
                );
                self.problem(span, sentence);
            }
        }
        (self.problems.len() == problems).then_some(plan)
    }

    fn wrong(&mut self, here: &Here<'_>, value: &Value<'_>, what: &str) {
        let kind = value.get_ref().type_str();
        let Here { bridge, key } = here;
        let sentence = format!("bridge.{bridge}.{key}: this is of the kind {kind}; write {what}");
        self.problem(value.span(), sentence);
    }

    fn truth(&mut self, here: &Here<'_>, value: &Value<'_>) -> bool {
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.wrong(here, value, "true or false");
        }
        truth.unwrap_or_default()
    }

    fn string<'v>(
        &mut self,
        here: &Here<'_>,
        value: &'v Value<'_>,
        example: &str,
    ) -> Option<&'v str> {
        let string = value.get_ref().as_str();
        if string.is_none() {
            self.wrong(here, value, &format!("a text such as {example}"));
        }
        string
    }

    fn number(
        &mut self,
        here: &Here<'_>,
        value: &Value<'_>,
        range: std::ops::RangeInclusive<u64>,
        of_what: &str,
    ) -> Option<u64> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|it| u64::from_str_radix(it.as_str(), it.radix()).ok());
        let number = number.filter(|it| range.contains(it));
        if number.is_none() {
            let Here { bridge, key } = here;
            let (least, most) = (range.start(), range.end());
            let sentence = format!(
                "bridge.{bridge}.{key}: this is no number of {of_what}; write one from {least} to \
                 {most}"
            );
            self.problem(value.span(), sentence);
        }
        number
    }

    /// A text, a number, or a list of them, read as the option of the same name is.
    fn parsed<T>(
        &mut self,
        here: &Here<'_>,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
        keep: impl FnOnce(T),
    ) {
        let one = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            _ => None,
        };
        let text = match value.get_ref() {
            DeValue::Array(values) => {
                let texts: Option<Vec<String>> =
                    values.iter().map(|it| one(it.get_ref())).collect();
                texts.map(|it| it.join(","))
            }
            value => one(value),
        };
        let Some(text) = text else {
            return self.wrong(here, value, "it as on the command line, in quotation marks");
        };
        match parse(&text) {
            Ok(it) => keep(it),
            Err(sentence) => {
                let Here { bridge, key } = here;
                let sentence = format!("bridge.{bridge}.{key}: {sentence}");
                self.problem(value.span(), sentence);
            }
        }
    }

    fn networks(&mut self, here: &Here<'_>, value: &Value<'_>) -> Vec<IpNet> {
        const EXAMPLE: &str = "a network such as \"192.168.1.0/24\"";
        let mut networks = Vec::new();
        for value in list(value) {
            match value.get_ref().as_str().map(str::parse) {
                Some(Ok(network)) => networks.push(network),
                _ => {
                    let Here { bridge, key } = here;
                    let sentence =
                        format!("bridge.{bridge}.{key}: this is no network; write {EXAMPLE}");
                    self.problem(value.span(), sentence);
                }
            }
        }
        networks
    }

    /// None when one of them is wrong.
    fn places(&mut self, here: &Here<'_>, value: &Value<'_>, alone: bool) -> Option<Vec<Spec>> {
        let Here { bridge, key } = *here;
        if !alone && !value.get_ref().is_array() {
            self.wrong(
                here,
                value,
                "a list such as [\"rtp-listen:5004\", \"tcp-listen:8080\"]",
            );
            return None;
        }
        let problems = self.problems.len();
        let mut places: Vec<Spec> = Vec::new();
        for value in list(value) {
            let Some(text) = self.string(here, value, "\"rtp-listen:5004\"") else {
                continue;
            };
            let sentence = match text.parse::<Spec>() {
                Ok(Spec::Stdio) => {
                    "`-` is standard input and output, which a set of bridges has not; write \
                     another place"
                        .to_owned()
                }
                Ok(spec) if places.contains(&spec) => {
                    format!("`{text}` stands here twice; write it once")
                }
                Ok(spec) => {
                    self.port(bridge, text, &spec, value.span());
                    places.push(spec);
                    continue;
                }
                Err(sentence) => sentence,
            };
            self.problem(value.span(), format!("bridge.{bridge}.{key}: {sentence}"));
        }
        if places.is_empty() && self.problems.len() == problems {
            let sentence =
                format!("bridge.{bridge}.{key}: no place stands here; write at least one");
            self.problem(value.span(), sentence);
        }
        (self.problems.len() == problems).then_some(places)
    }

    /// Sees that nobody else listens where this place does.
    fn port(&mut self, bridge: &str, text: &str, spec: &Spec, span: Range<usize>) {
        let (tcp, host, number) = match spec {
            Spec::RtpListen(address) => (false, Host::Number(address.ip()), address.port()),
            Spec::TcpListen(_) => {
                let rest = text.split_once(':').map_or(text, |(_, rest)| rest.trim());
                match (rest.parse::<SocketAddr>(), rest.parse::<u16>()) {
                    (Ok(address), _) => (true, Host::Number(address.ip()), address.port()),
                    (_, Ok(port)) => (true, Host::Loopback, port),
                    _ => {
                        let (host, port) = rest.rsplit_once(':').unwrap_or_default();
                        let host = match host {
                            "" => Host::Everywhere,
                            "localhost" => Host::Loopback,
                            name => Host::Name(name.to_owned()),
                        };
                        (true, host, port.parse().unwrap_or_default())
                    }
                }
            }
            _ => return,
        };
        if number == 0 {
            return;
        }
        let near = |other: u16| match tcp {
            true => other == number,
            false => other.abs_diff(number) <= 1,
        };
        let taken = self
            .ports
            .iter()
            .find(|it| it.tcp == tcp && near(it.number) && it.host.meets(&host));
        if let Some(other) = taken {
            let pair = if tcp {
                ""
            } else {
                " (each takes the data port above it, too)"
            };
            let sentence = format!(
                "bridge.{bridge}: `{text}` listens where `{}` of bridge.{} does{pair}; write \
                 another port",
                other.text, other.bridge
            );
            return self.problem(span, sentence);
        }
        self.ports.push(Port {
            tcp,
            host,
            number,
            bridge: bridge.to_owned(),
            text: text.to_owned(),
        });
    }
}

/// Which key is read.
struct Here<'a> {
    bridge: &'a str,
    key: &'a str,
}

/// The elements of a list, or the one value.
fn list<'v, 'i>(value: &'v Value<'i>) -> Vec<&'v Value<'i>> {
    match value.get_ref() {
        DeValue::Array(values) => values.iter().collect(),
        _ => vec![value],
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = read(text).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_that_others_cannot_show_is_told() {
        let places = "between = [\"tcp-listen:0\", \"rtp-listen:0\"]\n";
        let long = "x".repeat(70);
        let of_its_own = problems(&format!("[bridge.a]\n{places}name = \"{long}\"\n"));
        let of_the_bridge = problems(&format!("[bridge.{long}]\n{places}"));
        for told in [of_its_own, of_the_bridge] {
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains("it has 70 octets"), "{told:?}");
        }
    }

    #[test]
    fn a_whole_file_is_read() {
        let bridges = read(
            r#"
[bridge.stage]
between = ["rtp-listen:5004", "tcp-listen::8080", "port:Launchpad"]
together = true
channels = "1-4,10"
types = ["note", "control"]
notes = "C3-C5"
transpose = -12
break-circles = 50
name = "Stage Left"
allow = ["192.168.1.0/24", "10.0.0.0/8"]
journal = "full"
max-peers = 8
no-announce = true

[bridge.lights]
from = "rtp:desk.local"
to = ["tcp:localhost:9000", "tcp:localhost:9001"]
channels = [1, 16]
no-clock = true
no-sysex = true
"#,
        )
        .unwrap();
        let stage = &bridges["stage"];
        assert_eq!(stage.places.len(), 3);
        assert_eq!(stage.direction, Direction::Between);
        assert!(stage.together && !stage.options.announce);
        assert_eq!(stage.options.name, "Stage Left");
        assert_eq!(stage.options.allow.len(), 2);
        assert_eq!(stage.options.max_peers, Some(8));
        assert_eq!(stage.options.journal, JournalPolicy::Full);
        assert_eq!(stage.filter.transpose, -12);
        assert_eq!(stage.filter.channels, filter::channels("1-4,10").unwrap());
        assert_eq!(stage.break_circles, Some(Duration::from_millis(50)));
        let lights = &bridges["lights"];
        assert_eq!(lights.direction, Direction::OneWay { players: 1 });
        assert_eq!(lights.options.name, "lights");
        assert!(!lights.options.sysex);
        assert_eq!(lights.filter.channels, filter::channels("1,16").unwrap());
    }

    #[test]
    fn every_error_has_its_place_and_says_what_to_write() {
        for (text, expected) in [
            (
                "",
                "1:1: there is no bridge; write [bridge.NAME], and between = [\"PLACE\", \"PLACE\"] below it",
            ),
            (
                "x = 1",
                "1:1: `x` is no key; write [bridge.NAME] above what belongs to a bridge",
            ),
            (
                "[bridge]\nbetween = []",
                "2:1: `between` stands outside of a bridge; write [bridge.NAME] above it",
            ),
            (
                "[bridge.a]",
                "1:9: bridge.a joins nothing; write between = [\"PLACE\", \"PLACE\"], or from = \"PLACE\" and to = \"PLACE\"",
            ),
            (
                "[bridge.a]\nfrom = \"tcp:h:1\"",
                "2:1: bridge.a: `from` and `to` belong together; write both, or between = [\"PLACE\", \"PLACE\"]",
            ),
            (
                "[bridge.a]\nbetween = [\"tcp:h:1\"]",
                "2:1: bridge.a: one place alone has nothing to be joined with; write two or more, such as between = [\"rtp-listen:5004\", \"tcp-listen:8080\"]",
            ),
            (
                "[bridge.a]\nbetween = [\"tcp:h:1\", \"tcp:h:1\"]",
                "2:23: bridge.a.between: `tcp:h:1` stands here twice; write it once",
            ),
            (
                "[bridge.a]\nbetween = [\"-\", \"tcp:h:1\"]",
                "2:12: bridge.a.between: `-` is standard input and output, which a set of bridges has not; write another place",
            ),
            (
                "[bridge.a]\nbetween = [\"tcp:h:1\", \"tcp:h:2\"]\nchannels = \"17\"",
                "3:12: bridge.a.channels: `17` is no channel; write numbers from 1 to 16, such as 10 or 1-4,10",
            ),
            (
                "[bridge.a]\nbetween = [\"tcp:h:1\", \"tcp:h:2\"]\nno-clock = 1",
                "3:12: bridge.a.no-clock: this is of the kind integer; write true or false",
            ),
            (
                "[bridge.a]\nbetween = [\"tcp:h:1\", \"tcp:h:2\"]\nbreak-circles = -1",
                "3:17: bridge.a.break-circles: this is no number of milliseconds; write one from 1 to 10000",
            ),
            (
                "[bridge.a]\nbetween = [\"tcp:h:1\", \"tcp:h:2\"]\nallow = \"x\"",
                "3:9: bridge.a.allow: this is no network; write a network such as \"192.168.1.0/24\"",
            ),
            (
                "[bridge.é]\nbetween = []",
                "1:9: this is no TOML: invalid unquoted key, expected letters, numbers, `-`, `_`",
            ),
        ] {
            assert_eq!(problems(text), [expected], "{text}");
        }
    }

    #[test]
    fn all_errors_are_told_at_once_in_order() {
        let all = problems(
            "[bridge.b]\nbetween = [\"udp:x\", \"tcp:h:1\"]\nchanels = 1\n\n[bridge.a]\n\
             between = [\"tcp:h:2\", \"tcp:h:3\"]\njournal = \"no\"\n",
        );
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[0].starts_with("2:12: bridge.b.between: `udp:` is no kind"));
        assert!(all[1].starts_with("3:1: bridge.b: `chanels` is no key; write one of between,"));
        assert_eq!(
            all[2],
            "7:11: bridge.a.journal: `no` is no policy; write \"auto\", \"full\" or \"off\""
        );
    }

    #[test]
    fn two_that_listen_on_the_same_port_are_an_error() {
        let both = |one: &str, other: &str| {
            read(&format!(
                "[bridge.a]\nbetween = [\"{one}\", \"tcp:h:1\"]\n[bridge.b]\nbetween = \
                 [\"{other}\", \"tcp:h:1\"]\n"
            ))
            .is_ok()
        };
        for (one, other) in [
            ("rtp-listen:5004", "rtp-listen:5004"),
            ("rtp-listen:5004", "rtp-listen:5005"),
            ("rtp-listen:5004", "rtp-listen:127.0.0.1:5004"),
            ("rtp-listen:0.0.0.0:5004", "rtp-listen:127.0.0.1:5004"),
            ("tcp-listen:8080", "tcp-listen::8080"),
            ("tcp-listen:8080", "tcp-listen:127.0.0.1:8080"),
            ("tcp-listen:stage:8080", "tcp-listen:stage:8080"),
        ] {
            assert!(!both(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("rtp-listen:5004", "rtp-listen:5006"),
            ("rtp-listen:0", "rtp-listen:0"),
            ("rtp-listen:127.0.0.1:5004", "rtp-listen:127.0.0.2:5004"),
            ("rtp-listen:0.0.0.0:5004", "rtp-listen:[::1]:5004"),
            ("rtp-listen:8080", "tcp-listen::8080"),
            ("tcp-listen:8080", "tcp-listen:192.0.2.7:8080"),
            ("tcp-listen:8080", "tcp-listen:8081"),
        ] {
            assert!(both(one, other), "{one} {other}");
        }
        assert_eq!(
            problems(
                "[bridge.a]\nbetween = [\"tcp-listen:8080\", \"tcp:h:1\"]\n[bridge.b]\nbetween = \
                 [\"tcp:h:1\", \"tcp-listen::8080\"]"
            ),
            [
                "4:23: bridge.b: `tcp-listen::8080` listens where `tcp-listen:8080` of bridge.a does; \
              write another port"
            ]
        );
    }
}
