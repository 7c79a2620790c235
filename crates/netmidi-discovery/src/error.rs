//! What can go wrong, and what to do next.

use core::time::Duration;
use std::io;

use crate::naming::MAX_NAME_OCTETS;

/// Why something could not be announced, browsed or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A session needs a name.
    #[error("the session has no name; give it one of 1 to {MAX_NAME_OCTETS} octets")]
    NameEmpty,
    /// The name does not fit into a DNS label (RFC 6763 §4.1.1).
    #[error(
        "the session name \"{name}\" has {} octets in UTF-8; shorten it to {MAX_NAME_OCTETS}",
        .name.len()
    )]
    NameTooLong {
        /// The name asked for.
        name: String,
    },
    /// The name holds a control character (RFC 6763 §4.1.1).
    #[error(
        "the session name {name:?} holds a control character; leave out line breaks and the like"
    )]
    NameControl {
        /// The name asked for.
        name: String,
    },
    /// Port 0 and port 65535 cannot be the control port of a pair.
    #[error(
        "cannot announce control port {port}: announce the port that is really listened on, \
         1 to 65534"
    )]
    Port {
        /// The port asked for.
        port: u16,
    },
    /// None of the interfaces asked for is there, up, and able to multicast.
    #[error("{}", no_interface(.wanted, .there))]
    NoInterface {
        /// What was asked for.
        wanted: String,
        /// Names and addresses of those that could be used.
        there: Vec<String>,
    },
    /// Another program holds UDP port 5353 for itself.
    #[error(
        "UDP port 5353 is taken by a program that does not share it; end that program, or let it \
         share the port as avahi, mDNSResponder and systemd-resolved do"
    )]
    PortTaken {
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system does not tell its interfaces.
    #[error("cannot list the network interfaces; is this process allowed to?")]
    Interfaces {
        /// What the operating system says.
        source: io::Error,
    },
    /// A thread or socket could not be had.
    #[error("multicast DNS did not start: {reason}; end some programs and try again")]
    Start {
        /// What was said about it.
        reason: String,
    },
    /// The operating system gave no random numbers, which make host names unique.
    #[error("the operating system gives no random numbers for a host name: {0}")]
    Random(getrandom::Error),
    /// Multicast DNS is overloaded, or it is over with it.
    #[error("multicast DNS did not take the request: {reason}; make a new Discovery and try again")]
    Request {
        /// What was said about it.
        reason: String,
    },
    /// The thread that does the work has ended.
    #[error("discovery has ended; make a new Discovery")]
    Ended,
    /// The goodbye was not sent in time.
    #[error(
        "the goodbye was not sent within {waited:?}; peers forget the session by themselves \
         within two hours"
    )]
    Goodbye {
        /// How long it was waited for.
        waited: Duration,
    },
    /// No session of that name was seen.
    #[error("{}", not_found(.name, *.waited, .seen))]
    NotFound {
        /// The name asked for.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// The names that were seen instead.
        seen: Vec<String>,
    },
    /// Several sessions differ from the name asked for in upper and lower case only.
    #[error("\"{name}\" may be {}; write it exactly", quoted(.candidates, " or "))]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// The sessions that it may mean.
        candidates: Vec<String>,
    },
}

fn no_interface(wanted: &str, there: &[String]) -> String {
    if there.is_empty() {
        format!("no network interface for {wanted}, nor any other; bring one up first")
    } else {
        format!(
            "no network interface for {wanted}; there are {}",
            there.join(", ")
        )
    }
}

fn not_found(name: &str, waited: Duration, seen: &[String]) -> String {
    let seconds = waited.as_secs_f32();
    if seen.is_empty() {
        format!(
            "no session \"{name}\" was seen in {seconds} s, nor any other; is it running, in the \
             same network, and UDP port 5353 open in the firewalls? An address in numbers needs \
             no discovery"
        )
    } else {
        format!(
            "no session \"{name}\" was seen in {seconds} s, only {}",
            quoted(seen, ", ")
        )
    }
}

fn quoted(names: &[String], between: &str) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_found_says_what_was_seen_instead() {
        let error = |seen: &[&str]| {
            Error::NotFound {
                name: "Piano".to_owned(),
                waited: Duration::from_secs(3),
                seen: seen.iter().map(|&name| name.to_owned()).collect(),
            }
            .to_string()
        };
        assert_eq!(
            error(&["Organ", "Harp"]),
            "no session \"Piano\" was seen in 3 s, only \"Organ\", \"Harp\""
        );
        assert!(error(&[]).contains("nor any other"));
    }

    #[test]
    fn an_ambiguity_lists_the_candidates() {
        let error = Error::Ambiguous {
            name: "piano".to_owned(),
            candidates: vec!["Piano".to_owned(), "PIANO".to_owned()],
        };
        assert_eq!(
            error.to_string(),
            "\"piano\" may be \"Piano\" or \"PIANO\"; write it exactly"
        );
    }
}
