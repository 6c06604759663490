//! What walks are made of: a systemd machine that is seen from outside only, people elsewhere who sign, and the recorder as its
//! service. A walk is a story of people at work (docs/testing.md); its steps call these.

pub mod line;
pub mod machine;
pub mod office;
pub mod service;
