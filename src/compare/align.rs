//! Aligns two lists of marks: which child of the one is which child of the other, and which has none.

use super::scan::{Mark, Mark16};

/// No partner.
const NONE: u32 = u32::MAX;

/// How two lists belong together. Indices are those of the lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    /// For each of the first list its partner in the second.
    partners: Vec<u32>,
    /// Those of the second list without a partner.
    pub only_b: Vec<usize>,
}

impl Alignment {
    /// The first list with the partners, in its order.
    pub fn partners(&self) -> impl Iterator<Item = (usize, Option<usize>)> + '_ {
        self.partners.iter().map(|partner| (*partner != NONE).then_some(*partner as usize)).enumerate()
    }
}

/// Aligns by key, of those that share one by equal content, then by place. Children without a label are matched by equal
/// content; what is left of them is matched when it is alone of its name on both sides, or stands between the same
/// neighbours.
pub(super) fn align(a: &[Mark], b: &[Mark]) -> Alignment {
    let mut found = Pairs { a, b, partners: vec![NONE; a.len()], back: vec![NONE; b.len()] };
    // Equal ends first: among children that are all the same, the place decides which one is missing.
    let same = |(x, y): &(&Mark, &Mark)| x.key == y.key && x.digest == y.digest;
    let head = a.iter().zip(b).take_while(same).count();
    (0..head).for_each(|index| found.join(index, index));
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(same).count();
    (1..=tail).for_each(|back| found.join(a.len() - back, b.len() - back));
    found.by(|mark, _| Some((mark.key, mark.digest)));
    found.by(|mark, _| mark.keyed.then_some((mark.key, Mark16::default())));
    found.lonely();
    found.between_neighbours();
    let only_b = (0..).zip(&found.back).filter(|(_, partner)| **partner == NONE).map(|(i, _)| i).collect();
    Alignment { partners: found.partners, only_b }
}

/// Pairs so far, seen from both sides.
struct Pairs<'m> {
    a: &'m [Mark],
    b: &'m [Mark],
    partners: Vec<u32>,
    back: Vec<u32>,
}

fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(NONE)
}

/// Indices of the marks without a partner that have a key, sorted by key and place.
fn open<K: Ord + Copy>(
    marks: &[Mark],
    partners: &[u32],
    key: impl Fn(&Mark, usize) -> Option<K>,
) -> Vec<(K, u32)> {
    let free = (0..).zip(marks).filter(|(i, _): &(usize, _)| partners[*i] == NONE);
    let mut keys: Vec<(K, u32)> = free.filter_map(|(i, mark)| Some((key(mark, i)?, index(i)))).collect();
    keys.sort_unstable();
    keys
}

impl Pairs<'_> {
    fn join(&mut self, one: usize, other: usize) {
        self.partners[one] = index(other);
        self.back[other] = index(one);
    }

    /// Matches what has the same key, in order of place.
    fn by<K: Ord + Copy>(&mut self, key: impl Fn(&Mark, usize) -> Option<K>) {
        let left = open(self.a, &self.partners, &key);
        let right = open(self.b, &self.back, &key);
        self.merge(&left, &right);
    }

    fn merge<K: Ord>(&mut self, left: &[(K, u32)], right: &[(K, u32)]) {
        let (mut i, mut j) = (0, 0);
        while let (Some((one, x)), Some((other, y))) = (left.get(i), right.get(j)) {
            match one.cmp(other) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    self.join(*x as usize, *y as usize);
                    (i, j) = (i + 1, j + 1);
                }
            }
        }
    }

    /// Matches children without a label that are alone of their name on both sides.
    fn lonely(&mut self) {
        let name = |mark: &Mark| (!mark.keyed).then_some(mark.key);
        let alone = |marks: &[Mark]| {
            let all = open(marks, &vec![NONE; marks.len()], |mark, _| name(mark));
            all.chunk_by(|x, y| x.0 == y.0).filter(|same| same.len() == 1).map(|same| same[0]).collect()
        };
        let (left, right): (Vec<_>, Vec<_>) = (alone(self.a), alone(self.b));
        let free = |list: &[(Mark16, u32)], partners: &[u32]| -> Vec<(Mark16, u32)> {
            list.iter().copied().filter(|(_, i)| partners[*i as usize] == NONE).collect()
        };
        let (left, right) = (free(&left, &self.partners), free(&right, &self.back));
        self.merge(&left, &right);
    }

    /// Matches children without a label that stand behind the same pair.
    fn between_neighbours(&mut self) {
        let mut last = NONE;
        let behind: Vec<u32> = (0..)
            .zip(&self.partners)
            .map(|(i, partner): (usize, _)| {
                if *partner != NONE {
                    last = index(i);
                }
                last
            })
            .collect();
        let mut last = NONE;
        let behind_back: Vec<u32> = self
            .back
            .iter()
            .map(|partner| {
                if *partner != NONE {
                    last = *partner;
                }
                last
            })
            .collect();
        let key = |mark: &Mark, at: u32| (!mark.keyed).then_some((at, mark.key));
        let left = open(self.a, &self.partners, |mark, i| key(mark, behind[i]));
        let right = open(self.b, &self.back, |mark, i| key(mark, behind_back[i]));
        self.merge(&left, &right);
    }
}
