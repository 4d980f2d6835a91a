//! The fields that a job names, as a trie over the keys of a JSON object.
//!
//! A path `host.os.name` is found as nested objects, as one literal dotted key, and as any mixture (`{"host.os": {"name": ...}}`):
//! a node is what has been spelled so far (`host.os`), and from it an edge leads to every longer beginning of a path that ends
//! before a dot. Built once a job; looking up a key touches a mask of key lengths first, which turns most keys away.

/// A place in the trie: a beginning of some path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

#[derive(Debug, Default)]
struct Node {
    /// The keys that lead on, and where to.
    edges: Vec<(Box<str>, NodeId)>,
    /// Bit `n`: some edge's key has `n` bytes (63: or more).
    lengths: u64,
    /// The slot of the path that ends here.
    slot: Option<usize>,
}

/// The trie.
#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
}

impl Paths {
    /// Nothing spelled yet.
    pub(super) const ROOT: NodeId = NodeId(0);

    /// A trie of `paths`; a path's slot is its position.
    pub(super) fn new(paths: &[String]) -> Paths {
        let mut beginnings = vec![""];
        for path in paths {
            for end in path
                .match_indices('.')
                .map(|(at, _)| at)
                .chain([path.len()])
            {
                if end > 0 && !beginnings.contains(&&path[..end]) {
                    beginnings.push(&path[..end]);
                }
            }
        }
        let nodes = beginnings
            .iter()
            .map(|spelled| Node::new(spelled, &beginnings, paths));
        Paths {
            nodes: nodes.collect(),
        }
    }

    /// Where `key` leads from `node`.
    #[inline]
    pub(super) fn step(&self, node: NodeId, key: &str) -> Option<NodeId> {
        let node = &self.nodes[node.0];
        if node.lengths >> key.len().min(63) & 1 == 0 {
            return None;
        }
        node.edges
            .iter()
            .find(|(edge, _)| **edge == *key)
            .map(|(_, to)| *to)
    }

    /// The slot of the path that ends at `node`.
    #[inline]
    pub(super) fn slot(&self, node: NodeId) -> Option<usize> {
        self.nodes[node.0].slot
    }

    /// Whether longer paths go through `node`.
    #[inline]
    pub(super) fn leads_on(&self, node: NodeId) -> bool {
        self.nodes[node.0].lengths != 0
    }
}

impl Node {
    fn new(spelled: &str, beginnings: &[&str], paths: &[String]) -> Node {
        let mut node = Node {
            slot: paths.iter().position(|path| path == spelled),
            ..Node::default()
        };
        for (at, longer) in beginnings.iter().enumerate().skip(1) {
            let key = match spelled {
                "" => Some(*longer),
                _ => longer
                    .strip_prefix(spelled)
                    .and_then(|rest| rest.strip_prefix('.')),
            };
            if let Some(key) = key {
                node.lengths |= 1 << key.len().min(63);
                node.edges.push((key.into(), NodeId(at)));
            }
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_spelling_a_path_leads_to_its_slot() {
        let paths = Paths::new(&["a.b.c".into(), "a".into(), "a.b".into(), "x..y".into()]);
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
}
