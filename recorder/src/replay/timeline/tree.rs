//! Depth of processes, from forks where they were seen and parent pids where not. Only living processes are kept.

use std::collections::HashMap;

use crate::model::{Task, TaskId};

#[derive(Clone, Copy)]
struct Node {
    depth: u16,
    /// Its program's item and start, once it has started one.
    exec: Option<(usize, u64)>,
    /// The item of the program that it came of.
    under: Option<usize>,
}

/// The living processes of a session.
#[derive(Default)]
pub(super) struct Tree {
    nodes: HashMap<TaskId, Node>,
    by_pid: HashMap<u32, TaskId>,
}

impl Tree {
    fn node(&mut self, task: &Task) -> Node {
        if let Some(node) = self.nodes.get(&task.id) {
            return *node;
        }
        let parent = self.by_pid.get(&task.ppid).and_then(|id| self.nodes.get(id));
        let node = Node { depth: parent.map_or(0, below), exec: None, under: parent.and_then(program) };
        self.insert(task.id, node);
        node
    }

    fn insert(&mut self, id: TaskId, node: Node) {
        self.nodes.insert(id, node);
        self.by_pid.insert(id.pid, id);
    }

    /// Depth of what a task does: one below its program, so that its acts stand under it.
    pub(super) fn depth(&mut self, task: &Task) -> u16 {
        below(&self.node(task))
    }

    /// A child was made.
    pub(super) fn fork(&mut self, task: &Task, child: TaskId) {
        let parent = self.node(task);
        if !self.nodes.contains_key(&child) {
            self.insert(child, Node { depth: below(&parent), exec: None, under: program(&parent) });
        }
    }

    /// A program was started; it will be item number `item`. Gives its depth.
    pub(super) fn exec(&mut self, task: &Task, item: usize, now: u64) -> u16 {
        let Node { depth, under, .. } = self.node(task);
        self.insert(task.id, Node { depth, exec: Some((item, now)), under });
        depth
    }

    /// The item of the program that a task's acts belong to.
    pub(super) fn program(&mut self, task: &Task) -> Option<usize> {
        program(&self.node(task))
    }

    /// The item of the program that a task's own program came of.
    pub(super) fn parent(&mut self, task: &Task) -> Option<usize> {
        self.node(task).under
    }

    /// A process ended. Gives its program's item and start.
    pub(super) fn exit(&mut self, id: TaskId) -> Option<(usize, u64)> {
        let node = self.nodes.remove(&id);
        if self.by_pid.get(&id.pid) == Some(&id) {
            self.by_pid.remove(&id.pid);
        }
        node.and_then(|node| node.exec)
    }
}

fn program(node: &Node) -> Option<usize> {
    node.exec.map(|(item, _)| item).or(node.under)
}

/// A process that started no program is a stretch of its parent's.
fn below(node: &Node) -> u16 {
    if node.exec.is_some() { node.depth.saturating_add(1) } else { node.depth }
}
