//! What the numbers of namespaces and cgroups mean: the host's, or a container's.

use std::{collections::HashMap, sync::Arc};

use super::container;
use crate::model::{Bytes, Place, Task, TaskContext};

/// Places and cgroups remembered; beyond that they are looked at anew.
const MOST: usize = 4096;

/// Turns a task's numbers into words, each once.
#[derive(Debug, Default)]
pub(super) struct Atlas {
    /// Where the host's own processes live; zeros are not known, and nothing differs from them.
    host: Option<Place>,
    paths: HashMap<u64, Bytes>,
    known: HashMap<Place, Arc<TaskContext>>,
    last: Option<(Place, Arc<TaskContext>)>,
}

impl Atlas {
    /// A cgroup's path, as the kernel told.
    pub(super) fn learn(&mut self, cgroup: u64, path: Bytes) {
        if self.paths.len() >= MOST {
            self.paths.clear();
        }
        self.paths.insert(cgroup, path);
        self.known.retain(|place, _| place.cgroup != cgroup);
        self.last = None;
    }

    /// The words for a task's numbers; `None` where they are not known (a task that is ending has lost some).
    pub(super) fn of(
        &mut self,
        task: &Task,
        place: Place,
        host: &mut impl super::Host,
    ) -> Option<Arc<TaskContext>> {
        if place.mnt_ns == 0 {
            return None;
        }
        if let Some((last, context)) = &self.last
            && *last == place
        {
            return Some(Arc::clone(context));
        }
        let context = match self.known.get(&place) {
            Some(context) => Arc::clone(context),
            None => self.look(task, place, host),
        };
        self.last = Some((place, Arc::clone(&context)));
        Some(context)
    }

    fn look(&mut self, task: &Task, place: Place, host: &mut impl super::Host) -> Arc<TaskContext> {
        let home = *self.host.get_or_insert_with(|| host.namespaces());
        let path = self.paths.get(&place.cgroup).cloned().unwrap_or_else(|| {
            // Moved there since it was last told of; as long as it lives, /proc knows.
            let path = host.cgroup(task.id);
            if !path.is_empty() {
                self.paths.insert(place.cgroup, path.clone());
            }
            path
        });
        let (engine, container) = container::named_by(path.as_slice());
        let differs = [
            (place.mnt_ns, home.mnt_ns, TaskContext::MNT),
            (place.pid_ns, home.pid_ns, TaskContext::PID),
            (place.user_ns, home.user_ns, TaskContext::USER),
            (place.cgroup_ns, home.cgroup_ns, TaskContext::CGROUP),
        ];
        let own = differs.iter().filter(|(is, was, _)| *is != 0 && *was != 0 && is != was);
        let own = own.fold(0, |own, (_, _, bit)| own | bit);
        let Place { cgroup, mnt_ns, pid_ns, user_ns, cgroup_ns } = place;
        let context = Arc::new(TaskContext {
            own,
            mnt_ns,
            pid_ns,
            user_ns,
            cgroup_ns,
            cgroup,
            path,
            engine,
            container,
        });
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(place, Arc::clone(&context));
        context
    }
}
