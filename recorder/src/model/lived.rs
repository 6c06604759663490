//! What goes over a restart of the recorder: which tasks are whose.

use serde::{Deserialize, Serialize};

use super::{Bytes, Confidence, Handed, LoginWitness, Mark, SessionId, TaskId, Trigger};

/// A session that was open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lived {
    /// What the kernel side called it. Marks rise within a boot, so none is given again.
    pub mark: Mark,
    /// Its id then.
    pub id: SessionId,
    /// Who logged in.
    pub login: LoginWitness,
    /// What it came of, if it did not begin with an elevation.
    pub came: Option<Came>,
    /// Its tasks.
    pub tasks: Vec<TaskId>,
}

/// By what means a session came of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    trigger: u16,
    confidence: u16,
    to: Bytes,
    what: Bytes,
}

impl Came {
    /// As it was then.
    pub fn of(handed: &Handed) -> Self {
        let (trigger, confidence) = (handed.trigger.code(), handed.confidence.code());
        Self { trigger, confidence, to: handed.to.clone(), what: handed.what.clone() }
    }
}

impl Lived {
    /// Puts other texts in the place of what was asked for, where `text` gives some.
    pub fn replace(&mut self, text: impl Fn(&Bytes) -> Option<Bytes>) {
        for field in self.came.iter_mut().flat_map(|came| [&mut came.to, &mut came.what]) {
            if let Some(other) = text(field) {
                *field = other;
            }
        }
    }

    /// What ties what is left of it to what it was; `None` if it began with an elevation, and what is left shows by itself whose it is.
    pub fn handed(&self) -> Option<Handed> {
        let came = self.came.as_ref()?;
        Some(Handed {
            from: Some(self.mark),
            trigger: Trigger::from_code(came.trigger),
            confidence: Confidence::from_code(came.confidence),
            to: came.to.clone(),
            what: came.what.clone(),
            evidence: Bytes::from("the recorder started again meanwhile"),
        })
    }
}
