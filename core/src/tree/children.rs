//! Walking down and up: names to nodes, nodes to paths, parents to children.

use alloc::string::String;
use alloc::vec::Vec;

use super::Tree;
use super::node::NodeId;
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

    /// How many nodes are below `top`, without recursion: depth is bounded only by the frame size.
    pub(super) fn descendants(&self, top: NodeId) -> usize {
        let (mut at, mut count) = (top, 0);
        loop {
            let record = self.nodes.get(at);
            if let Some(child) = record.first_child.some() {
                at = child;
                count += 1;
                continue;
            }
            loop {
                if at == top {
                    return count;
                }
                let record = self.nodes.get(at);
                if let Some(sibling) = record.next.some() {
                    at = sibling;
                    count += 1;
                    break;
                }
                at = record.parent;
            }
        }
    }

    /// Children, the youngest first (in a loaded tree: in the reverse of the order they were loaded in).
    pub(super) fn children(&self, parent: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.nodes.get(parent).first_child.some();
        core::iter::successors(first, |id| self.nodes.get(*id).next.some())
    }
}
