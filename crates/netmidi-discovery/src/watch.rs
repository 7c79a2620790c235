//! What one reader has not heard yet: the present state of what changed, never a backlog.

use core::task::Waker;
use std::collections::{BTreeMap, VecDeque};

use crate::directory::{Change, Directory};
use crate::session::Session;

/// What happened to the sessions in the network.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A session that was not there before.
    Found(Session),
    /// A session has another address, port or host now.
    Changed(Session),
    /// The session of this name is gone: it said goodbye, or was not heard of for too long.
    Lost(String),
}

/// One reader. Its queue holds a name at most once, so it is bounded as the directory is.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    told: BTreeMap<String, Session>,
    changed: VecDeque<String>,
    waker: Option<Waker>,
}

impl Watch {
    /// A reader who will hear of everything that is there.
    pub(crate) fn new(directory: &Directory) -> Self {
        Self {
            changed: directory.names().cloned().collect(),
            ..Self::default()
        }
    }

    /// Notes the change; the waker is to be called once no lock is held.
    pub(crate) fn note(&mut self, change: &Change) -> Option<Waker> {
        if !self.changed.contains(&change.name) {
            self.changed.push_back(change.name.clone());
        }
        self.waker.take()
    }

    /// What to tell next.
    pub(crate) fn next(&mut self, directory: &Directory) -> Option<Event> {
        while let Some(name) = self.changed.pop_front() {
            match (self.told.get(&name), directory.get(&name)) {
                (Some(told), Some(session)) if told == session => {}
                (told, Some(session)) => {
                    let event = match told {
                        None => Event::Found(session.clone()),
                        Some(_) => Event::Changed(session.clone()),
                    };
                    self.told.insert(name, session.clone());
                    return Some(event);
                }
                (Some(_), None) => {
                    self.told.remove(&name);
                    return Some(Event::Lost(name));
                }
                (None, None) => {}
            }
        }
        None
    }

    pub(crate) fn wake_later(&mut self, waker: &Waker) {
        self.waker = Some(waker.clone());
    }

    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::sighting;

    fn see(directory: &mut Directory, watch: &mut Watch, name: &str, ip: &str) {
        if let Some(change) = directory.seen(sighting(name, "h.local.", &[(ip, 2)])) {
            watch.note(&change);
        }
    }

    fn lose(directory: &mut Directory, watch: &mut Watch, name: &str) {
        if let Some(change) = directory.removed(name) {
            watch.note(&change);
        }
    }

    #[test]
    fn a_late_reader_hears_of_what_is_there() {
        let mut directory = Directory::default();
        see(&mut directory, &mut Watch::default(), "Piano", "10.0.0.1");
        let mut watch = Watch::new(&directory);
        assert!(
            matches!(watch.next(&directory), Some(Event::Found(found)) if found.name == "Piano")
        );
        assert_eq!(watch.next(&directory), None);
    }

    #[test]
    fn a_slow_reader_gets_the_present_state() {
        let (mut directory, mut watch) = (Directory::default(), Watch::default());
        see(&mut directory, &mut watch, "Organ", "10.0.0.1");
        see(&mut directory, &mut watch, "Harp", "10.0.0.3");
        assert!(matches!(watch.next(&directory), Some(Event::Found(_))));
        for number in 2..200 {
            see(
                &mut directory,
                &mut watch,
                "Organ",
                &format!("10.0.0.{number}"),
            );
            lose(&mut directory, &mut watch, "Harp");
            see(&mut directory, &mut watch, "Harp", "10.0.0.3");
        }
        assert!(watch.changed.len() <= 2);
        lose(&mut directory, &mut watch, "Harp");
        let Some(Event::Changed(organ)) = watch.next(&directory) else {
            panic!("the organ has changed");
        };
        assert_eq!(organ.addresses[0].to_string(), "10.0.0.199:5004");
        assert_eq!(
            watch.next(&directory),
            None,
            "the harp came and went unseen"
        );
    }

    #[test]
    fn there_and_back_is_no_change() {
        let (mut directory, mut watch) = (Directory::default(), Watch::default());
        see(&mut directory, &mut watch, "Piano", "10.0.0.1");
        watch.next(&directory);
        see(&mut directory, &mut watch, "Piano", "10.0.0.2");
        see(&mut directory, &mut watch, "Piano", "10.0.0.1");
        assert_eq!(watch.next(&directory), None);
        lose(&mut directory, &mut watch, "Piano");
        assert_eq!(
            watch.next(&directory),
            Some(Event::Lost("Piano".to_owned()))
        );
    }
}
