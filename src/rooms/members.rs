//! The members of a room.

use super::member::Member;
use std::sync::Arc;

/// Members in one part: joining and leaving during a flush copies one.
const PART: usize = 256;

/// The members of a room, in parts that a flush shares while members join and leave. Their order has no meaning.
#[derive(Clone, Default)]
pub struct Members {
    /// All but the last are full.
    parts: Vec<Arc<Vec<Arc<Member>>>>,
}

impl Members {
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, |last| (self.parts.len() - 1) * PART + last.len())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// Adds a member, and tells it its place.
    pub fn push(&mut self, member: Arc<Member>) {
        member.set_place(self.len());
        match self.parts.last_mut().filter(|last| last.len() < PART) {
            Some(last) => Arc::make_mut(last).push(member),
            None => self.parts.push(Arc::new(vec![member])),
        }
    }

    /// Removes a member that was [added](Self::push). The last one takes its place.
    pub fn remove(&mut self, leaving: &Member) {
        let place = leaving.place();
        let Some(part) = self.parts.last_mut() else { return };
        let Some(last) = Arc::make_mut(part).pop() else { return };
        if part.is_empty() {
            self.parts.pop();
        }
        let freed = self.parts.get_mut(place / PART).and_then(|part| Arc::make_mut(part).get_mut(place % PART));
        if let Some(freed) = freed.filter(|_| last.id != leaving.id) {
            last.set_place(place);
            *freed = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::outbox::Outbox;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ids(members: &Members) -> BTreeSet<u64> {
        let ids: BTreeSet<_> = members.iter().map(|member| member.id).collect();
        assert_eq!(ids.len(), members.len());
        ids
    }

    proptest! {
        #[test]
        fn members_join_and_leave_while_a_flush_has_them(steps in prop::collection::vec(any::<u16>(), 0..900)) {
            let (mut members, mut inside, mut expected) = (Members::default(), Vec::new(), BTreeSet::new());
            let mut flush = None;
            for (id, step) in (0..).zip(steps) {
                if step % 50 == 0 {
                    flush = Some((members.clone(), expected.clone()));
                }
                if step % 4 == 0 && !inside.is_empty() {
                    let leaving: Arc<Member> = inside.swap_remove(usize::from(step) % inside.len());
                    members.remove(&leaving);
                    expected.remove(&leaving.id);
                } else {
                    let member = Arc::new(Member::new(id, None, None, Outbox::new("member".into(), 0)));
                    members.push(member.clone());
                    inside.push(member);
                    expected.insert(id);
                }
            }
            prop_assert_eq!(ids(&members), expected);
            if let Some((members, expected)) = flush {
                prop_assert_eq!(ids(&members), expected, "a flush sees what there was when it began");
            }
            inside.iter().for_each(|member| members.remove(member));
            prop_assert_eq!(members.len(), 0);
        }
    }
}
