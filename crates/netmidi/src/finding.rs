//! Names of sessions: finding those of others, announcing ours.

#[cfg(feature = "discovery")]
pub(crate) use with::{Finder, keep_announced};
#[cfg(not(feature = "discovery"))]
pub(crate) use without::Finder;

#[cfg(feature = "discovery")]
mod with {
    use std::net::{IpAddr, SocketAddr};
    use std::pin::pin;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use futures::StreamExt;
    use futures::future::{Either, select};
    use netmidi_discovery::{Discovery, Error, Families};
    use tokio::sync::oneshot;

    use crate::shared::{Shared, Told};
    use crate::sockets::PairAddresses;

    /// How long a session of some name is waited for at a time.
    const FIND_TIMEOUT: Duration = Duration::from_secs(3);
    /// How soon announcing is tried again after it failed.
    const ANNOUNCE_AGAIN: Duration = Duration::from_secs(10);

    /// Multicast DNS, opened when it is first needed.
    #[derive(Debug)]
    pub(crate) struct Finder {
        /// Where it takes part unless it was given: at these addresses, or everywhere.
        addresses: Vec<IpAddr>,
        discovery: Mutex<Option<Discovery>>,
    }

    impl Finder {
        pub(crate) fn new(given: Option<Discovery>, pairs: &[PairAddresses]) -> Self {
            let port = announced_pair(pairs).map(|pair| pair.control.port());
            let everywhere = pairs.iter().any(|pair| pair.control.ip().is_unspecified());
            let addresses = pairs
                .iter()
                .filter(|pair| !everywhere && Some(pair.control.port()) == port)
                .map(|pair| pair.control.ip())
                .collect();
            Self {
                addresses,
                discovery: Mutex::new(given),
            }
        }

        /// The addresses of a session's control port; why there are none, in words.
        pub(crate) async fn find(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
            let found = match self.discovery() {
                Ok(discovery) => discovery.resolve(name, FIND_TIMEOUT).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(session) => Ok(session.addresses),
                Err(error) => Err(self.failed(&error)),
            }
        }

        fn discovery(&self) -> Result<Discovery, Error> {
            let mut kept = self
                .discovery
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(discovery) = &*kept {
                return Ok(discovery.clone());
            }
            let mut builder = Discovery::builder();
            for address in &self.addresses {
                builder = builder.address(*address);
            }
            let discovery = builder.build()?;
            *kept = Some(discovery.clone());
            Ok(discovery)
        }

        /// What an error says; after some, only a new beginning helps.
        fn failed(&self, error: &Error) -> String {
            if matches!(error, Error::Ended | Error::Request { .. }) {
                let mut kept = self
                    .discovery
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *kept = None;
            }
            error.to_string()
        }
    }

    /// The pair of which peers are told: the first that listens everywhere, else the first.
    fn announced_pair(pairs: &[PairAddresses]) -> Option<&PairAddresses> {
        let everywhere = |pair: &&PairAddresses| pair.control.ip().is_unspecified();
        pairs.iter().find(everywhere).or_else(|| pairs.first())
    }

    fn families(listening: &[PairAddresses], port: u16) -> Families {
        let mut both = (false, false);
        for ip in listening
            .iter()
            .filter(|pair| pair.control.port() == port)
            .map(|pair| pair.control.ip())
        {
            both.0 |= ip.is_ipv4() || ip.is_unspecified();
            both.1 |= ip.is_ipv6();
        }
        match both {
            (true, false) => Families::V4,
            (false, true) => Families::V6,
            _ => Families::Both,
        }
    }

    /// Keeps a session announced until `closing` is dropped, then says goodbye.
    pub(crate) async fn keep_announced(
        name: String,
        pairs: Vec<PairAddresses>,
        finder: Arc<Finder>,
        shared: Arc<Shared>,
        mut closing: oneshot::Receiver<()>,
    ) {
        let Some(port) = announced_pair(&pairs).map(|pair| pair.control.port()) else {
            return;
        };
        let families = families(&pairs, port);
        let mut told = None;
        loop {
            let announced = finder
                .discovery()
                .and_then(|discovery| discovery.announce(&name, port, families));
            let reason = match announced {
                Ok(mut announcement) => loop {
                    match select(announcement.next(), &mut closing).await {
                        Either::Left((Some(event), _)) => {
                            told = None;
                            shared.set_announced(Some(event.name().to_owned()));
                        }
                        Either::Left((None, _)) => break finder.failed(&Error::Ended),
                        Either::Right(_) => {
                            if let Err(error) = announcement.withdraw().await {
                                tracing::debug!(%error, "the session's name is not withdrawn");
                            }
                            return;
                        }
                    }
                },
                Err(error) => finder.failed(&error),
            };
            if told.as_ref() != Some(&reason) {
                shared.set_announced(None);
                shared.push_if_room(Told::NotAnnounced {
                    reason: reason.clone(),
                });
                told = Some(reason);
            }
            let again = pin!(tokio::time::sleep(ANNOUNCE_AGAIN));
            if let Either::Right(_) = select(again, &mut closing).await {
                return;
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn pairs(controls: &[&str]) -> Vec<PairAddresses> {
            let pair = |control: &&str| {
                let control: SocketAddr = control.parse().unwrap();
                let data = SocketAddr::new(control.ip(), control.port() + 1);
                PairAddresses { control, data }
            };
            controls.iter().map(pair).collect()
        }

        #[test]
        fn only_what_is_listened_on_is_announced() {
            for (listening, port, expected, at) in [
                (&["[::]:5004"][..], 5004, Families::Both, &[][..]),
                (&["0.0.0.0:5004"], 5004, Families::V4, &[]),
                (
                    &["192.0.2.7:5004", "[2001:db8::7]:5004"],
                    5004,
                    Families::Both,
                    &["192.0.2.7", "2001:db8::7"],
                ),
                (
                    &["192.0.2.7:5004", "192.0.2.8:5006"],
                    5004,
                    Families::V4,
                    &["192.0.2.7"],
                ),
                (&["[::1]:5008"], 5008, Families::V6, &["::1"]),
                // Everybody can reach the second one.
                (&["192.0.2.7:5004", "0.0.0.0:5006"], 5006, Families::V4, &[]),
            ] {
                let pairs = pairs(listening);
                assert_eq!(announced_pair(&pairs).unwrap().control.port(), port);
                assert_eq!(families(&pairs, port), expected, "{listening:?}");
                let at: Vec<IpAddr> = at.iter().map(|ip| ip.parse().unwrap()).collect();
                assert_eq!(Finder::new(None, &pairs).addresses, at, "{listening:?}");
            }
        }
    }
}

#[cfg(not(feature = "discovery"))]
mod without {
    use std::net::SocketAddr;

    /// Finds nobody.
    #[derive(Debug)]
    pub(crate) struct Finder;

    impl Finder {
        #[allow(clippy::unused_async, reason = "the same as the one with the feature")]
        pub(crate) async fn find(&self, _name: &str) -> Result<Vec<SocketAddr>, String> {
            Err(
                "this program was built without the feature `discovery` of netmidi and finds no \
                 sessions by name; use a host name or number"
                    .to_owned(),
            )
        }
    }
}
