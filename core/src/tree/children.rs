//! Walking down and up: names to nodes, nodes to paths, parents to children.

use alloc::string::String;
use alloc::vec::Vec;

use super::Tree;
use super::node::{NodeId, Record};
use crate::text::Text;

impl Tree {
    /// The node at a literal path. `""` and `/` are the root; a path that breaks the rules names nothing.
    pub(super) fn resolve(&self, path: &str) -> Option<NodeId> {
        if matches!(path, "" | "/") {
            return Some(self.root);
        }
        path.strip_prefix('/')?.split('/').try_fold(self.root, |at, name| self.child(at, name))
    }

    pub(super) fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.index.find(self.index.hash(parent, name), |id| {
            let node = self.nodes.get(id);
            node.parent == parent && node.name() == name
        })
    }

    /// The full path, `/` for the root.
    pub(super) fn path_of(&self, node: NodeId) -> Text {
        if node == self.root {
            return Text::from_static("/");
        }
        let mut names = Vec::new();
        let mut at = node;
        while at != self.root {
            let record = self.nodes.get(at);
            names.push(record.name());
            at = record.parent;
        }
        let mut path = String::with_capacity(names.iter().map(|n| n.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        Text::from(path)
    }

    /// How many nodes are below `top`.
    pub(super) fn descendants(&self, top: NodeId) -> usize {
        let mut count = 0;
        self.visit_below(top, |_, _| count += 1);
        count
    }

    /// Every node below `top`, parents first, without recursion: depth is bounded only by the frame size.
    pub(super) fn visit_below(&self, top: NodeId, mut visit: impl FnMut(NodeId, &Record)) {
        let mut at = top;
        loop {
            let mut next = self.nodes.get(at).first_child.some();
            while next.is_none() {
                if at == top {
                    return;
                }
                let record = self.nodes.get(at);
                next = record.next.some();
                at = next.unwrap_or(record.parent);
            }
            at = next.expect("the loop ends with one");
            visit(at, self.nodes.get(at));
        }
    }

    /// Children, the youngest first (in a loaded tree: in the reverse of the order they were loaded in).
    pub(super) fn children(&self, parent: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.nodes.get(parent).first_child.some();
        core::iter::successors(first, |id| self.nodes.get(*id).next.some())
    }
}
