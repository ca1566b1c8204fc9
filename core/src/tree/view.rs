//! [`Walk`]: all nodes of a view, parents first, a piece at a time.

use alloc::string::String;

use super::node::NodeId;
use super::{NodeRef, TreeView};

/// A resumable walk over a view; owns its view.
#[derive(Clone, Debug)]
pub struct Walk {
    view: TreeView,
    /// The node yielded last; `None` before the first.
    at: Option<NodeId>,
    /// Its path, `""` for the root.
    path: String,
    done: bool,
}

/// One step of a [`Walk`].
#[derive(Debug)]
pub struct Walked<'a> {
    /// Full path, `""` for the root.
    pub path: &'a str,
    /// The node.
    pub node: NodeRef<'a>,
}

impl Walk {
    pub(super) const fn new(view: TreeView) -> Self {
        Self { view, at: None, path: String::new(), done: false }
    }

    /// The view that is walked.
    pub const fn view(&self) -> &TreeView {
        &self.view
    }

    /// The next node, parents before children.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self) -> Option<Walked<'_>> {
        if self.done {
            return None;
        }
        let Some(at) = self.following() else {
            self.done = true;
            return None;
        };
        self.at = Some(at);
        Some(Walked { path: &self.path, node: self.view.node_ref(at) })
    }

    /// The first child, else the next sibling, else the next sibling of the nearest ancestor that has one; moves the
    /// path along.
    fn following(&mut self) -> Option<NodeId> {
        let Some(mut at) = self.at else { return Some(self.view.root) };
        if let Some(child) = self.view.nodes.get(at).first_child.some() {
            self.enter(child);
            return Some(child);
        }
        while at != self.view.root {
            self.leave();
            let record = self.view.nodes.get(at);
            if let Some(sibling) = record.next.some() {
                self.enter(sibling);
                return Some(sibling);
            }
            at = record.parent;
        }
        None
    }

    fn enter(&mut self, node: NodeId) {
        self.path.push('/');
        self.path.push_str(self.view.nodes.get(node).name());
    }

    fn leave(&mut self) {
        let slash = self.path.rfind('/').expect("invariant: below the root every path has a slash");
        self.path.truncate(slash);
    }
}
