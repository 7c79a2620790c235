//! What a bridge is to be, from the command line or a file.

use std::time::Duration;

use netmidi::bridge::Circles;

use crate::failure::Failure;
use crate::filter::Filter;
use crate::hub::{Hub, Ways};
use crate::place::{Options, Place, Spec};

/// Which of the places hear which.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Direction {
    /// All hear all others.
    #[default]
    Between,
    /// The first ones play, and the rest hear them.
    OneWay {
        /// How many play.
        players: usize,
    },
}

/// A bridge: its places, and what passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) places: Vec<Spec>,
    pub(crate) direction: Direction,
    /// Those at the same place hear each other.
    pub(crate) together: bool,
    pub(crate) filter: Filter,
    /// So long after it was played what comes back is dropped. Without it that is done only where almost
    /// everything comes back.
    pub(crate) break_circles: Option<Duration>,
    pub(crate) options: Options,
}

impl Plan {
    /// Opens all places; none stays open when one of them does not open.
    pub(crate) async fn open(&self) -> Result<Hub, Failure> {
        let mut places = Vec::new();
        for (number, spec) in self.places.iter().enumerate() {
            let options = Options {
                reads: match self.direction {
                    Direction::Between => true,
                    Direction::OneWay { players } => number < players,
                },
                ..self.options.clone()
            };
            match Place::open(number, spec, &options).await {
                Ok(place) => places.push(place),
                Err(failure) => {
                    for mut place in places {
                        place.close();
                        place.finish().await;
                    }
                    return Err(failure);
                }
            }
        }
        let circles = match self.break_circles {
            Some(within) => Circles::Break { within },
            None => Circles::Tell,
        };
        let hub = Hub::new(places, self.ways(), circles);
        Ok(hub.filter(self.filter.clone()).break_circles())
    }

    fn ways(&self) -> Ways {
        let (silent_for, deaf_to) = match self.direction {
            Direction::Between => (Vec::new(), Vec::new()),
            Direction::OneWay { players } => (
                (0..players).collect(),
                (players..self.places.len()).collect(),
            ),
        };
        Ways {
            across: true,
            together: self.together,
            echo: false,
            deaf_to,
            silent_for,
        }
    }
}
