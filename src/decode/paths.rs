//! The fields that a job names, as a trie over the keys of a JSON object.
//!
//! A path `host.os.name` is found as nested objects, as one literal dotted key, and as any mixture (`{"host.os": {"name": ...}}`):
//! a node is what has been spelled so far (`host.os`), and from it an edge leads to every longer beginning of a path that ends
//! before a dot. A *presence* is a path of which only matters whether something stands at it or below it: a node knows which presences a value
//! there shows, and which keys begin one. The path `a.keyword` is also found as `a`, if nobody names that: so Elastic calls a field that is indexed
//! another way. Built once a job; looking up a key touches a mask of key lengths first, which turns most keys away.

use crate::config::MULTI_FIELDS;
use crate::engine::event::mark::{MARKED_MAX, Mark, mark_of};
use std::collections::{BTreeMap, BTreeSet};

/// A place in the trie: a beginning of some path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

impl NodeId {
    /// Which one it is, from 0.
    #[inline(always)]
    pub(super) fn index(self) -> usize {
        self.0
    }
}

#[derive(Debug, Default)]
struct Node {
    /// The keys that lead on, and where to, shorter ones first.
    edges: Vec<Edge>,
    /// Bit `n`: some edge's key has `n` bytes (63: or more).
    lengths: u64,
    /// Where the edges whose key has `n` bytes begin (63: or more); those of the next length follow.
    starts: Vec<u32>,
    /// The slot of the path that ends here.
    slot: Option<usize>,
    /// Slots of the presences that end here or before.
    shows: Box<[usize]>,
    /// Presences that are longer: what a key must begin with to lie below one, and its slot.
    heads: Box<[(Box<str>, usize)]>,
    /// A key must have at least so many bytes to show a presence without leading anywhere.
    showing_bytes_min: usize,
}

/// A key that leads on, and where to.
#[derive(Debug)]
struct Edge {
    key: Box<str>,
    mark: Mark,
    to: NodeId,
}

/// The trie.
#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
}

impl Paths {
    /// Nothing spelled yet.
    pub(super) const ROOT: NodeId = NodeId(0);

    /// A trie of paths and of presences, each with its slot.
    pub(super) fn new(paths: &[(&str, usize)], presences: &[(&str, usize)]) -> Paths {
        let mut beginnings = vec![""];
        let mut known = BTreeSet::new();
        for (path, _) in paths.iter().chain(presences) {
            for end in path
                .match_indices('.')
                .map(|(at, _)| at)
                .chain([path.len()])
            {
                if end > 0 && known.insert(&path[..end]) {
                    beginnings.push(&path[..end]);
                }
            }
        }
        let slots: BTreeMap<&str, usize> = paths.iter().rev().copied().collect();
        let mut nodes: Vec<Node> = beginnings
            .iter()
            .map(|spelled| Node::new(slot_of(spelled, &slots), spelled, presences))
            .collect();
        let places: BTreeMap<&str, usize> =
            (0..).zip(&beginnings).map(|(at, b)| (*b, at)).collect();
        for (at, longer) in beginnings.iter().enumerate().skip(1) {
            nodes[0].lead(longer, NodeId(at));
            for (dot, _) in longer.match_indices('.') {
                if let Some(&from) = places.get(&longer[..dot]).filter(|_| dot > 0) {
                    nodes[from].lead(&longer[dot + 1..], NodeId(at));
                }
            }
        }
        nodes.iter_mut().for_each(Node::sort);
        Paths { nodes }
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where `key` leads from `node`.
    #[inline(always)]
    pub(super) fn step(&self, node: NodeId, key: &str) -> Option<NodeId> {
        let node = &self.nodes[node.0];
        match node.lengths >> key.len().min(63) & 1 {
            0 => None,
            _ => node.follow(key),
        }
    }

    /// The slot of the path that ends at `node`, if that is all that a value there is for: it shows no presence.
    pub(super) fn plain_slot(&self, node: NodeId) -> Option<usize> {
        let node = &self.nodes[node.0];
        node.slot.filter(|_| node.shows.is_empty())
    }

    /// The slot of the path that ends at `node`.
    #[inline]
    pub(super) fn slot(&self, node: NodeId) -> Option<usize> {
        self.nodes[node.0].slot
    }

    /// Whether longer paths go through `node`, or anything below it shows a presence.
    #[inline]
    pub(super) fn leads_on(&self, node: NodeId) -> bool {
        let node = &self.nodes[node.0];
        node.lengths != 0 || !node.shows.is_empty()
    }

    /// The presences that a value at `node` shows.
    #[inline]
    pub(super) fn shows(&self, node: NodeId) -> &[usize] {
        &self.nodes[node.0].shows
    }

    /// Whether a key that leads nowhere from `node` may still show a presence.
    #[inline(always)]
    pub(super) fn watches(&self, node: NodeId, key: &str) -> bool {
        key.len() >= self.nodes[node.0].showing_bytes_min
    }

    /// The presences that a value under such a key shows.
    pub(super) fn shown_by_key<'p>(
        &'p self,
        node: NodeId,
        key: &'p str,
    ) -> impl Iterator<Item = usize> + 'p {
        let node = &self.nodes[node.0];
        let heads = node.heads.iter();
        let begun = heads.filter(move |(head, _)| key.starts_with(&**head));
        node.shows
            .iter()
            .copied()
            .chain(begun.map(|(_, slot)| *slot))
    }
}

impl Node {
    fn new(slot: Option<usize>, spelled: &str, presences: &[(&str, usize)]) -> Node {
        let begins = |path: &str, longer: &str| match longer.strip_prefix(path) {
            Some(rest) => rest.is_empty() || rest.starts_with('.'),
            None => false,
        };
        let shown = presences.iter().filter(|(path, _)| begins(path, spelled));
        let heads = presences.iter().filter_map(|(path, slot)| {
            let rest = match spelled {
                "" => path,
                _ => path.strip_prefix(spelled)?.strip_prefix('.')?,
            };
            Some((format!("{rest}.").into(), *slot))
        });
        let shows: Box<[usize]> = shown.map(|(_, slot)| *slot).collect();
        let heads: Box<[(Box<str>, usize)]> = heads.collect();
        let shortest = heads.iter().map(|(head, _)| head.len()).min();
        Node {
            slot,
            showing_bytes_min: match shows.is_empty() {
                true => shortest.unwrap_or(usize::MAX),
                false => 0,
            },
            shows,
            heads,
            ..Node::default()
        }
    }

    fn lead(&mut self, key: &str, to: NodeId) {
        self.lengths |= 1 << key.len().min(63);
        self.edges.push(Edge {
            mark: mark_of(key.as_bytes()),
            key: key.into(),
            to,
        });
    }

    /// Where a key leads whose length some edge has.
    #[inline(always)]
    fn follow(&self, key: &str) -> Option<NodeId> {
        let (mark, length) = (mark_of(key.as_bytes()), key.len().min(63));
        let mut at = *self.starts.get(length)? as usize;
        loop {
            let edge = self.edges.get(at)?;
            if edge.key.len().min(63) != length {
                return None;
            }
            if edge.mark == mark && (key.len() <= MARKED_MAX || *edge.key == *key) {
                return Some(edge.to);
            }
            at += 1;
        }
    }

    fn sort(&mut self) {
        let length = |edge: &Edge| edge.key.len().min(63);
        self.edges.sort_by_key(length);
        let ends = (0..=64).map(|n| self.edges.partition_point(|edge| length(edge) < n));
        let ends = ends.map(|at| u32::try_from(at).expect("a job names fewer paths"));
        self.starts = ends.collect();
    }
}

/// The slot of a path, or of the multi-field that goes by its name.
pub(super) fn slot_of(spelled: &str, slots: &BTreeMap<&str, usize>) -> Option<usize> {
    let own = slots.get(spelled).copied();
    let read_otherwise = || {
        let mut names = MULTI_FIELDS
            .iter()
            .map(|suffix| format!("{spelled}{suffix}"));
        names.find_map(|name| slots.get(&*name).copied())
    };
    own.or_else(read_otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_spelling_a_path_leads_to_its_slot() {
        let paths = Paths::new(&[("a.b.c", 0), ("a", 1), ("a.b", 2), ("x..y", 3)], &[]);
        let walk = |keys: &[&str]| {
            let end = keys
                .iter()
                .try_fold(Paths::ROOT, |node, key| paths.step(node, key))?;
            paths.slot(end)
        };
        for keys in [
            &["a", "b", "c"][..],
            &["a.b", "c"],
            &["a", "b.c"],
            &["a.b.c"],
        ] {
            assert_eq!(walk(keys), Some(0), "{keys:?}");
        }
        assert_eq!((walk(&["a"]), walk(&["a", "b"])), (Some(1), Some(2)));
        assert_eq!(
            (walk(&["x..y"]), walk(&["x", "", "y"]), walk(&["x", ".y"])),
            (Some(3), Some(3), Some(3))
        );
        for keys in [&["b"][..], &["a", "c"], &["ab"], &["a.b.c", "d"], &[""]] {
            assert_eq!(walk(keys), None, "{keys:?}");
        }
    }

    #[test]
    fn keys_of_any_length_lead_where_they_say() {
        for length in 1..80 {
            let key = "k".repeat(length);
            let mut other = key.clone();
            other.replace_range(length / 2..length / 2 + 1, "x");
            // A longer one with the same ends stands behind it.
            let longer = format!("{key}{}{key}", "-".repeat(70));
            let paths = Paths::new(&[(&longer, 0)], &[]);
            let slot = |paths: &Paths, key: &str| {
                let end = paths.step(Paths::ROOT, key);
                end.and_then(|end| paths.slot(end))
            };
            assert_eq!(slot(&paths, &key), None, "{length}");
            let paths = Paths::new(&[(&longer, 1), (&key, 0)], &[]);
            let found = [&key, &other, &longer].map(|key| slot(&paths, key));
            assert_eq!(found, [Some(0), None, Some(1)], "{length}");
        }
    }

    #[test]
    fn a_field_indexed_as_keyword_is_found_by_its_own_name_too() {
        let paths = Paths::new(&[("a.keyword", 0), ("b.keyword", 1), ("b", 2)], &[]);
        let slot = |key| {
            paths
                .step(Paths::ROOT, key)
                .and_then(|node| paths.slot(node))
        };
        assert_eq!((slot("a"), slot("a.keyword")), (Some(0), Some(0)));
        assert_eq!((slot("b"), slot("b.keyword")), (Some(2), Some(1)));
    }
}
