//! All participants of a session.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::event::ParticipantId;
use crate::participant::Participant;

/// Participants by their ids. An id tells in which slot its participant is, so that finding one costs
/// the same among one as among thousands; slots are used again, ids never.
#[derive(Debug, Default)]
pub(crate) struct Participants {
    slots: Vec<Option<Taken>>,
    free: Vec<usize>,
    /// In the order of joining.
    order: BTreeSet<ParticipantId>,
    /// How many have ever joined.
    joins: u64,
}

#[derive(Debug)]
struct Taken {
    id: ParticipantId,
    participant: Box<Participant>,
}

impl Participants {
    /// The id of the next one to join.
    pub(crate) fn next_id(&self) -> ParticipantId {
        let slot = self.free.last().copied().unwrap_or(self.slots.len());
        ParticipantId::new(self.joins, slot)
    }

    /// Whether there is no id for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.order.len() >= ParticipantId::SLOTS
    }

    /// Takes in one, under the id that is next, and returns that.
    pub(crate) fn insert(&mut self, participant: Participant) -> ParticipantId {
        let id = self.next_id();
        self.joins += 1;
        let taken = Some(Taken {
            id,
            participant: Box::new(participant),
        });
        match self.free.pop() {
            Some(slot) => {
                if let Some(slot) = self.slots.get_mut(slot) {
                    *slot = taken;
                }
            }
            None => self.slots.push(taken),
        }
        self.order.insert(id);
        id
    }

    pub(crate) fn remove(&mut self, id: &ParticipantId) -> Option<Box<Participant>> {
        let slot = self.slots.get_mut(id.slot())?;
        let taken = slot.take_if(|taken| taken.id == *id)?;
        self.free.push(id.slot());
        self.order.remove(id);
        Some(taken.participant)
    }

    #[inline]
    pub(crate) fn get(&self, id: &ParticipantId) -> Option<&Participant> {
        let taken = self.slots.get(id.slot())?.as_ref()?;
        (taken.id == *id).then_some(&*taken.participant)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: &ParticipantId) -> Option<&mut Participant> {
        let taken = self.slots.get_mut(id.slot())?.as_mut()?;
        (taken.id == *id).then_some(&mut *taken.participant)
    }

    pub(crate) fn contains_key(&self, id: &ParticipantId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// In the order of joining.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ParticipantId> {
        self.order.iter()
    }

    /// In the order of joining.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ParticipantId, &Participant)> {
        self.order.iter().filter_map(|id| Some((id, self.get(id)?)))
    }
}
